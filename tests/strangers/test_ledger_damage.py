"""A ledger that is damaged, forged or on a read-only disk: one sentence, never a traceback, and no file is lost."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("filelock", reason="a batch runs beside PyTorch, which Blender 5.2's Python has not here")

from histalk_blender.batch.job import Job
from histalk_blender.batch.ledger import Ledger, Outcome
from histalk_blender.batch.ledger_file import read_ledger
from histalk_blender.batch.report import write_report
from histalk_blender.batch.run import merge_ledgers
from histalk_blender.cli import batch as cli_batch
from histalk_blender.cli.main import main
from histalk_blender.errors import HiSTalkError


def jobs_of(folder):
    (folder / "a.wav").write_bytes(b"a sound, as far as a ledger knows")
    return [Job(row=i + 1, name=f"line {i}", audio=folder / "a.wav", bake="basis") for i in range(40)]


@pytest.fixture
def jobs(tmp_path):
    return jobs_of(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    ledger = Ledger(folder / "out" / "histalk.sqlite")
    ledger.begin(jobs_of(folder), "m")
    for job in jobs_of(folder):
        finish(ledger, job.name)
    ledger.close()
    return folder / "out"


@pytest.fixture
def ledger_path(tmp_path, made):
    """A ledger of forty clips that are done."""
    return Path(shutil.copytree(made, tmp_path / "out"), "histalk.sqlite")


def finish(ledger, name):
    (ledger.path.parent / f"{name}.pc2").write_bytes(b"1234")
    ledger.ended(
        Outcome(name, remarks=("Fine.",), seconds=1.0, outputs=({"path": f"{name}.pc2", "bytes": 4, "sha256": "a"},))
    )


def changed(ledger_path, statement, *values):
    database = sqlite3.connect(ledger_path)
    with database:
        database.execute(statement, values)
    database.close()


def batch(capfd, *arguments):
    capfd.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["batch", *map(str, arguments)])
    return left.value.code, *capfd.readouterr()


def todo(ledger_path, jobs):
    ledger = Ledger(ledger_path)
    try:
        return [job.name for job in ledger.begin(jobs, "m")]
    finally:
        ledger.close()


def cut(data):
    return data[: len(data) // 2]


def garbled(data):
    return data[:4096] + bytes(byte ^ 0x5A for byte in data[4096:12_000]) + data[12_000:]


DAMAGES = {
    "cut off": cut,
    "garbled pages": garbled,
    "garbled header": lambda data: os.urandom(100) + data[100:],
    "text": lambda data: b"no database, but long enough to be read as one" * 50,
    "zeros": lambda data: bytes(len(data)),
    "one page": lambda data: data[:4096],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_is_reported_and_left_unchanged(ledger_path, jobs, capfd, damage):
    ledger_path.write_bytes(DAMAGES[damage](ledger_path.read_bytes()))
    before = ledger_path.read_bytes()
    code, _, said = batch(capfd, "--out", ledger_path.parent, "--status")
    assert code == 2 and said.count("\n") == 1 and "histalk.sqlite" in said and "Traceback" not in said, said
    assert "move it elsewhere" in said or "something else" in said
    code, _, said = batch(capfd, jobs[0].audio.parent, "--out", ledger_path.parent)
    assert code == 2 and said.count("\n") == 1 and "histalk.sqlite" in said
    assert ledger_path.read_bytes() == before, "it may still be rescued"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TABLE jobs DROP COLUMN decode_s", "'decode_s'"),
        ("DROP TABLE files", "'files'"),
        ("ALTER TABLE jobs RENAME COLUMN state TO status", "'state'"),
        ("PRAGMA user_version = 99", "newer HiSTalk"),
        ("DROP TABLE jobs", "'jobs'"),
    ],
)
def test_a_ledger_of_another_version_is_refused(ledger_path, jobs, capfd, statement, said):
    changed(ledger_path, statement)
    for arguments in (["--out", ledger_path.parent, "--status"], [jobs[0].audio.parent, "--out", ledger_path.parent]):
        code, _, complained = batch(capfd, *arguments)
        assert code == 2 and said in complained and complained.count("\n") == 1, complained


def test_a_database_of_another_program_is_left_unchanged(tmp_path, capfd):
    ledger_path = tmp_path / "places.sqlite"
    changed(ledger_path, "CREATE TABLE bookmarks (url TEXT)")
    before = ledger_path.read_bytes()
    with pytest.raises(HiSTalkError, match="something else"):
        Ledger(ledger_path)
    assert ledger_path.read_bytes() == before


STRANGE = [
    "finished = 1e300",
    "finished = -1e300",
    "finished = 9e999",
    "finished = 'yesterday'",
    "seconds = 'long'",
    "seconds = -5",
    "seconds = x'00ff'",
    "row = 'first'",
    "row = NULL",
    "attempts = 'many'",
    "state = 'perhaps'",
    "state = NULL",
    "state = x'ff'",
    "error = x'fffe'",
    "error = NULL",
    "audio = 7",
    "remarks = '7'",
    "remarks = 'no json'",
    "remarks = NULL",
    "remarks = '[[], 7, null]'",
    "settings = '['",
    "settings = '[]'",
    "settings = NULL",
    "settings = x'00'",
    "outputs = '{}'",
    "outputs = 'no json'",
    "outputs = NULL",
    "outputs = '[7]'",
    "outputs = '[{}]'",
    "outputs = '[{\"path\": 7}]'",
    "network_s = 'x'",
    "name = NULL",
    "name = x'fffe'",
    "name = '../../etc/passwd'",
    "name = 'a' || char(0)",
    "input = 7",
    "model = NULL",
    "decode_s = 1e308, network_s = 1e308, write_s = 1e308",
]


def test_wrong_values_affect_their_own_row_only(ledger_path, jobs):
    whole = ledger_path.read_bytes()
    for strange in [*STRANGE, f"settings = '{'[' * 100_000}'", f"outputs = '{'[' * 100_000}'"]:
        ledger_path.write_bytes(whole)
        changed(ledger_path, f"UPDATE jobs SET {strange} WHERE name = 'line 7'")
        rows = read_ledger(ledger_path)
        assert len(rows) == 40 and sum(row["state"] == "done" for row in rows) >= 39, strange
        write_report(rows, ledger_path.parent, "report")
        assert set(todo(ledger_path, jobs)) <= {"line 7"}, strange
        assert cli_batch._summary(rows)["done"] >= 39
    ledger_path.write_bytes(whole)
    for column, value in (("sha256", "7"), ("bytes", "'x'"), ("changed", "NULL"), ("path", "x'ff'")):
        changed(ledger_path, f"UPDATE files SET {column} = {value} WHERE rowid = (SELECT min(rowid) FROM files)")
        todo(ledger_path, jobs)


def test_only_a_clips_own_files_below_the_folder_count_as_done(ledger_path, jobs):
    out = ledger_path.parent
    (out.parent / "other.pc2").write_bytes(b"1234")
    (out / "elsewhere").symlink_to(out.parent)
    (out / "more").mkdir()

    def tell(*paths, **more):
        outputs = [{"path": str(path), "bytes": 4, "sha256": "a"} | more for path in paths]
        changed(ledger_path, "UPDATE jobs SET outputs = ? WHERE name = 'line 3'", json.dumps(outputs))
        left = todo(ledger_path, jobs)
        ledger = Ledger(ledger_path)
        finish(ledger, "line 3")
        ledger.close()
        return left

    assert tell("line 3.pc2") == []
    for paths in (
        ["../other.pc2"],
        [out.parent / "other.pc2"],
        ["elsewhere/other.pc2"],
        [],
        ["line 4.pc2"],
        ["line 3.pc2", "../other.pc2"],
        ["more/../line 3.pc2"],
    ):
        assert tell(*paths) == ["line 3"], paths
    for size in (5, -4, "4", 4.5, None, True):
        assert tell("line 3.pc2", bytes=size) == ["line 3"], size
    (out / "line 3.pc2").unlink()
    (out / "line 3.pc2").symlink_to(out.parent / "other.pc2")
    assert todo(ledger_path, jobs) == ["line 3"], "a link is no output of ours"


@pytest.mark.parametrize("side", ["", "-journal", "-wal", ".lock"])
def test_a_link_in_place_of_a_ledger_is_not_followed(tmp_path, jobs, capfd, side):
    victim, out = tmp_path / "precious.sqlite", tmp_path / "out"
    changed(victim, "CREATE TABLE mine (a)")
    before = victim.read_bytes()
    out.mkdir()
    (out / f"histalk.sqlite{side}").symlink_to(victim)
    code, _, said = batch(capfd, tmp_path, "--out", out)
    assert code == 2 and "is a link" in said and victim.read_bytes() == before
    code, _, said = batch(capfd, "--out", out, "--status")
    assert code == 2 and victim.read_bytes() == before


@pytest.mark.parametrize("place", ["report", "ledgers"])
def test_the_batchs_own_folders_must_not_be_links(tmp_path, jobs, capfd, place):
    victim, out = tmp_path / "home", tmp_path / "out"
    victim.mkdir()
    out.mkdir()
    (out / place).symlink_to(victim)
    arguments = [tmp_path, "--out", out] if place == "report" else ["--out", out, "--merge"]
    code, _, said = batch(capfd, *arguments)
    assert code == 2 and "by a link" in said and not list(victim.iterdir())
    if place == "ledgers":
        code, _, said = batch(capfd, tmp_path, "--out", out, "--ledger", out / "ledgers" / "1.sqlite")
        assert code == 2 and "by a link" in said and not list(victim.iterdir())


def test_a_pipe_in_place_of_a_ledger_is_refused(tmp_path, jobs, capfd):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "histalk.sqlite")
    for arguments in ([tmp_path, "--out", tmp_path / "out"], ["--out", tmp_path / "out", "--status"]):
        code, _, said = batch(capfd, *arguments)
        assert code == 2 and "is no file" in said


def test_a_journal_of_an_interrupted_run_is_read_without_changing_the_ledger(ledger_path, jobs):
    wal = sqlite3.connect(ledger_path)
    wal.execute("PRAGMA journal_mode = WAL")
    wal.execute("UPDATE jobs SET state = 'failed' WHERE name = 'line 5'")
    wal.commit()
    torn = ledger_path.parent.parent / "torn"
    torn.mkdir()
    for path in ledger_path.parent.glob("histalk.sqlite*"):
        (torn / path.name).write_bytes(path.read_bytes())
    wal.close()
    assert (torn / "histalk.sqlite-wal").stat().st_size
    before = {path.name: path.read_bytes() for path in torn.iterdir() if path.suffix != ".sqlite-shm"}
    assert [row["name"] for row in read_ledger(torn / "histalk.sqlite") if row["state"] == "failed"] == ["line 5"]
    after = {path.name: path.read_bytes() for path in torn.iterdir() if path.suffix != ".sqlite-shm"}
    assert after["histalk.sqlite"] == before["histalk.sqlite"]


def test_status_works_on_a_read_only_disk(ledger_path, capfd, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        (disk / "histalk.sqlite").write_bytes(ledger_path.read_bytes())
        changed(disk / "histalk.sqlite", "PRAGMA journal_mode = WAL")  # needs files beside it even to be read
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        code, said, complained = batch(capfd, "--out", disk, "--status")
        assert code == 0 and "40 done" in said, complained
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_merge_reports_a_damaged_ledger_and_merges_the_others(ledger_path, capfd):
    farm = ledger_path.parent / "ledgers"
    farm.mkdir()
    whole = ledger_path.read_bytes()
    (farm / "1.sqlite").write_bytes(whole)
    (farm / "2.sqlite").write_bytes(garbled(whole))
    os.mkfifo(farm / "3.sqlite")
    (farm / "4.sqlite").symlink_to(ledger_path)
    rows, wrong = merge_ledgers(ledger_path.parent)
    assert len(rows) == 40 and [re.search(r"\d\.sqlite", sentence)[0] for sentence in wrong] == [
        "2.sqlite",
        "3.sqlite",
        "4.sqlite",
    ]
    code, said, complained = batch(capfd, "--out", ledger_path.parent, "--merge")
    assert code == 1 and "40 done" in said and "2.sqlite' is damaged" in complained
    (farm / "1.sqlite").unlink()
    code, _, complained = batch(capfd, "--out", ledger_path.parent, "--merge")
    assert code == 2 and "2.sqlite" in complained
