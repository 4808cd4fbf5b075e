"""`histalk batch`: all clips are made, whatever goes wrong, and none is made twice."""

import csv
import hashlib
import itertools
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH
from filelock import FileLock
from forked import Forked

from histalk_blender.batch import worker_pool
from histalk_blender.batch.ledger import Ledger
from histalk_blender.cli.main import main
from histalk_blender.runtime import processes


def clips(folder, count, seconds=0.8):
    """Recordings of different pieces of real speech."""
    folder.mkdir(exist_ok=True)
    sound, rate = sf.read(SPEECH)
    size = int(seconds * rate)
    for i, first in enumerate(np.linspace(0, len(sound) - 2 * size, count).astype(int)):
        sf.write(folder / f"line {i:03}.wav", sound[first : first + size + 40 * i], rate)
    return folder


def batch(capfd, *arguments):
    """The command in this process: its exit code, stdout and stderr."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["batch", *map(str, arguments)])
    return left.value.code, *capfd.readouterr()


def made(folder):
    """sha256 of every file of motion."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.suffix in (".pc2", ".npz", ".mdd")
    }


def rows(folder):
    ledger = Ledger(folder / "histalk.sqlite")
    try:
        return {row["name"]: row for row in ledger.rows()}
    finally:
        ledger.close()


def plant(folder):
    """Ten faulty rows, and a piece of the error of each."""
    good, rate = sf.read(SPEECH)
    (folder / "text.wav").write_text("no sound")
    (folder / "empty.wav").write_bytes(b"")
    sf.write(folder / "silent.wav", np.zeros(rate), rate)
    sf.write(folder / "short.wav", good[:800], rate)
    sf.write(folder / "nan.wav", np.full(rate, np.nan, np.float32), rate, subtype="FLOAT")
    sf.write(folder / "long.wav", np.zeros(3700 * 1000, np.int16), 1000, subtype="PCM_U8")
    sf.write(folder / "cut.flac", good, rate)
    whole = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    return {
        "text.wav": "not audio",
        "empty.wav": "empty",
        "silent.wav": "silent",
        "short.wav": "0.1 s",
        "nan.wav": "not numbers",
        "long.wav": "an hour or less",
        "cut.flac": "copy or export",
        "missing.wav": "check the path",
        "line 000.wav,../up": "cannot be the name",
        "line 001.wav,x,fast": "'fps' is 'fast'",
    }


def test_faulty_clips_are_reported_and_stop_no_others(tmp_path, capfd):
    folder, out = clips(tmp_path / "in", 6), tmp_path / "out"
    faults = plant(folder)
    good = [path.name for path in sorted(folder.glob("line *.wav"))]
    lines = [row for pair in itertools.zip_longest(good, faults) for row in pair if row]
    (folder / "jobs.csv").write_text(
        "audio,name,fps\n" + "".join(line + "," * (2 - line.count(",")) + "\n" for line in lines)
    )
    code, said, complained = batch(capfd, folder / "jobs.csv", "--out", out, "--outputs", "pc2,npz")
    assert code == 1 and "6 done, 10 failed" in said and "'fps' is 'fast'" in complained
    assert len(made(out)) == 12 and not list(out.rglob("*.part*")) and not (tmp_path / "up.pc2").exists()
    with open(out / "report.csv", newline="", encoding="utf-8-sig") as file:
        told = {int(row["row"]): row for row in csv.DictReader(file)}
    for number, line in enumerate(lines, 1):
        wrong = faults.get(line)
        assert told[number]["state"] == ("failed" if wrong else "done"), line
        assert (wrong or "") in told[number]["error"]
    done = rows(out)["line 005"]
    frames = round(len(sf.read(folder / "line 005.wav")[0]) / 16_000 * 30)
    with np.load(out / "line 005.npz") as data:
        assert data["displacements"].shape[0] == frames and np.abs(data["displacements"]).max() > 0.003
    assert (
        done["seconds"] == pytest.approx(frames / 30, abs=0.02) and done["network_s"] > 0 and len(done["outputs"]) == 2
    )
    for kind in ("png", "svg"):
        assert (out / "report" / f"line 005.{kind}").stat().st_size > 1000
    page = (out / "report.html").read_text()
    assert "line 005" in page and "is silent" in page
    resumes(capfd, folder, out)


def resumes(capfd, folder, out):
    """The same command again does nothing; only a fixed or changed clip is made again."""
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.pc2")}
    arguments = (folder / "jobs.csv", "--out", out, "--outputs", "pc2,npz")
    assert batch(capfd, *arguments)[0] == 1
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.pc2")} == times
    sf.write(folder / "silent.wav", *sf.read(folder / "line 003.wav"))
    (out / "line 002.pc2").unlink()
    code, said, _ = batch(capfd, *arguments)
    assert code == 1 and "7 done, 9 failed" in said
    changed = {path.name for path in out.rglob("*.pc2") if times.get(path) != path.stat().st_mtime_ns}
    assert changed == {"line 002.pc2", "silent.pc2"}
    code, said, complained = batch(capfd, "--out", out, "--status")
    assert code == 1 and "7 done, 9 failed" in said and "long: " in complained


def finished(folder):
    return sum(not path.name.startswith(".") for path in folder.rglob("*.npz"))


def test_a_run_killed_ten_times_ends_with_the_same_bytes(tmp_path):
    folder = clips(tmp_path / "in", 24)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    command = ["batch", folder, "--outputs", "pc2,npz", "--out"]
    assert Forked(tmp_path, *command, whole).wait()[0] == 0
    chance = random.Random(time.time())
    for _ in range(10):
        enough = finished(torn) + 1  # else a clip is begun so often that it is given up
        process = Forked(tmp_path, *command, torn)
        while finished(torn) < enough:
            assert process.is_running
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
    before = {name: row["finished"] for name, row in rows(torn).items() if row["state"] == "done"}
    assert 0 < len(before) < 24
    assert Forked(tmp_path, *command, torn).wait()[0] == 0
    assert made(torn) == made(whole) and len(made(torn)) == 48
    after = rows(torn)
    assert all(after[name]["finished"] == end for name, end in before.items()), "what was done is not done again"
    assert not list(torn.rglob("*.part*"))


def test_a_worker_that_dies_is_replaced(tmp_path):
    folder, out = clips(tmp_path / "in", 10), tmp_path / "out"
    process = Forked(tmp_path, "batch", folder, "--out", out, "--workers", "2", "--device", "cpu")
    while len(list(out.rglob("*.pc2"))) < 2:
        assert process.is_running, process.wait()
        time.sleep(0.05)
    (victim, *_) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    os.kill(victim, signal.SIGKILL)
    code, said, complained = process.wait()
    assert code == 0 and "10 done, 0 failed" in said, complained
    assert len(made(out)) == 10


def test_one_row_makes_every_output_and_a_shot_is_baked_on(tmp_path, capfd):
    folder, out = clips(tmp_path / "in", 2), tmp_path / "out"
    everything = "blend pc2 mdd abc usd glb fbx livelink npz"
    (folder / "jobs.csv").write_text(
        f"audio,name,outputs,shot,start,bake\nline 000.wav,one/first,{everything},,5,\n"
        f"line 001.wav,second,pc2 blend npz,shot.blend,101,cache\n"
    )
    bake = ["bake", str(folder / "line 000.wav"), "--out", str(folder / "shot.blend"), "--fps", "25"]
    assert main.main(bake, standalone_mode=False) is None
    code, said, complained = batch(capfd, folder / "jobs.csv", "--out", out)
    assert code == 0, complained
    suffixes = {path.suffix for path in (out / "one").iterdir()}
    assert suffixes == {".blend", ".pc2", ".mdd", ".abc", ".usdc", ".glb", ".fbx", ".csv", ".npz"}
    told = {output["path"] for output in rows(out)["one/first"]["outputs"]}
    assert told == {path.relative_to(out).as_posix() for path in (out / "one").iterdir()}
    bpy.ops.wm.open_mainfile(filepath=str(out / "second.blend"))
    scene, head = bpy.context.scene, bpy.data.objects["HiSTalk Head"]
    assert scene.render.fps == 25 and [strip.frame_final_start for strip in scene.sequence_editor.strips] == [1, 101]
    assert head.modifiers[0].filepath == "//second.pc2"
    with np.load(out / "second.npz") as data:
        spoken = data["neutral_vertices"] + data["displacements"][8]
    scene.frame_set(101 + 8)
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    got = np.empty(spoken.size, np.float32)
    mesh.vertices.foreach_get("co", got)
    np.testing.assert_allclose(got.reshape(-1, 3), spoken, atol=1e-5)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_the_run_ends_if_workers_only_die(tmp_path, capfd, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(
        "import os; from histalk_blender.batch import worker_process\n"
        "worker_process.run_worker = lambda *_: os._exit(3); worker_process.serve()"
    )
    monkeypatch.setattr(worker_pool, "worker_command", lambda: processes.script_command(script))
    code, _, complained = batch(
        capfd, clips(tmp_path / "in", 3), "--out", tmp_path / "out", "--workers", "2", "--device", "cpu"
    )
    assert code == 2 and "--workers 1" in complained
    assert [row["state"] for row in rows(tmp_path / "out").values()] == ["waiting"] * 3


def test_a_second_run_on_the_same_folder_is_refused(tmp_path, capfd):
    folder, out = clips(tmp_path / "in", 1), tmp_path / "out"
    out.mkdir()
    with FileLock(out / "histalk.sqlite.lock"):
        code, _, complained = batch(capfd, folder, "--out", out)
    assert code == 2 and "Another run uses" in complained and not list(out.rglob("*.pc2"))


def test_a_dry_run_lists_everything_and_writes_nothing(tmp_path, capfd):
    folder = clips(tmp_path / "in", 2)
    (folder / "text.wav").write_text("no sound")
    (folder / "jobs.csv").write_text("audio,start\nline 000.wav,x\ngone.wav,\ntext.wav,\nline 001.wav,5\n")
    code, said, complained = batch(capfd, folder / "jobs.csv", "--out", tmp_path / "out", "--dry-run")
    assert code == 1 and "1 clips would be made, 3 rows are wrong" in said and complained.count("\n") == 3
    assert all(piece in complained for piece in ("'start' is 'x'", "gone.wav", "not audio"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{in}", "--out", "{in}/line 000.wav"], "is a file"),
        (["--out", "{out}"], "No manifest"),
        (["{in}", "--out", "{in}/line 000.wav/x"], "name another --out"),
        (["{in}", "--out", "{out}", "--rows", "9-12"], "no rows"),
        (["{in}", "--out", "{out}", "--weights", "{in}/none"], "No checkpoint"),
        (["--out", "{out}", "--status"], "no ledger"),
        (["{in}", "--out", "{out}", "--device", "tpu"], "no device"),
        (["--out", "{out}", "--merge"], "no ledgers"),
    ],
)
def test_refused_commands_print_one_sentence_and_exit_with_2(tmp_path, capfd, arguments, said):
    folder = clips(tmp_path / "in", 1)
    places = {"{in}": str(folder), "{out}": str(tmp_path / "out")}
    for place, real in places.items():
        arguments = [argument.replace(place, real) for argument in arguments]
    code, _, complained = batch(capfd, *arguments)
    assert code == 2 and complained.count("\n") == 1 and said in complained and "Traceback" not in complained


def test_a_full_or_read_only_disk_stops_the_run_without_loss(tmp_path):
    folder, out = clips(tmp_path / "in", 12), tmp_path / "out"
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", out], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        code, _, complained = Forked(tmp_path, "batch", folder, "--out", out).wait()
        assert code == 2 and "make room" in complained and "Traceback" not in complained
        done = {name for name, row in rows(out).items() if row["state"] == "done"}
        assert 0 < len(done) < 12 and not any(row["state"] == "failed" for row in rows(out).values())
        assert not list(out.rglob("*.part*"))
        subprocess.run(["mount", "-o", "remount,ro", out], check=True)
        code, _, complained = Forked(tmp_path, "batch", folder, "--out", out).wait()
        assert code == 2 and complained.count("\n") == 1 and "--out" in complained
        subprocess.run(["mount", "-o", "remount,rw,size=64m", out], check=True)
        assert Forked(tmp_path, "batch", folder, "--out", out).wait()[0] == 0 and len(made(out)) == 12
    finally:
        subprocess.run(["umount", "-l", out], check=True)
