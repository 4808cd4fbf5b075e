"""Links that somebody left where we write lead nobody else's file into harm."""

import json
import os
import subprocess
import sys
import time

import bpy
import numpy as np
import pytest

from histalk_blender import files
from histalk_blender.bake.exporters import export
from histalk_blender.bake.scene import add_head, save_blend
from histalk_blender.batch.report import write_report
from histalk_blender.errors import HiSTalkError
from histalk_blender.motion.arkit_fit import write_arkit_weights
from histalk_blender.motion.point_cache import write_mdd, write_pc2
from histalk_blender.synthesis.performance import save_motion

ROW = {
    "state": "done",
    "row": 1,
    "name": "line",
    "audio": "line.wav",
    "seconds": 1.0,
    "decode_s": 0.1,
    "network_s": 0.1,
    "write_s": 0.1,
    "finished": 0.0,
    "error": "",
    "remarks": [],
    "settings": {},
    "outputs": [],
}


@pytest.fixture
def short(spoken):
    return spoken.between(20, 24)


@pytest.fixture
def speaking(head):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    obj = add_head(head)
    yield obj
    bpy.ops.wm.read_factory_settings(use_empty=True)


def writers(head, motion, obj):
    """Every way that we write a file: its name, and what writes it."""
    weights = np.zeros((4, 52), np.float32)
    return {
        "a.pc2": lambda path: files.commit_file(write_pc2(path, head.vertices, motion), path),
        "a.mdd": lambda path: files.commit_file(write_mdd(path, head.vertices, motion), path),
        "a.npz": lambda path: save_motion(path, motion, {}),
        "a.csv": lambda path: write_arkit_weights(path, weights, 30.0),
        "a.json": lambda path: write_arkit_weights(path, weights, 30.0),
        "report.html": lambda path: write_report([ROW], path.parent, "report"),
        "report.csv": lambda path: write_report([ROW], path.parent, "report"),
        "a.blend": save_blend,
        "a.abc": lambda path: export(obj, path, 1, 2),
        "a.usdc": lambda path: export(obj, path, 1, 2),
    }


def test_temporary_names_cannot_be_predicted(tmp_path, head, short, speaking):
    victim = tmp_path / "precious.txt"
    victim.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    for name, write in writers(head, short, speaking).items():
        path = out / name
        for guess in (f"{name}.part", f"{path.stem}.part{path.suffix}", f"{path.stem}.part"):
            (out / guess).unlink(missing_ok=True)
            (out / guess).symlink_to(victim)
        write(path)
        assert path.stat().st_size > 20 and victim.read_text() == "mine", name


def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(tmp_path, head, short, speaking):
    victim = tmp_path / "precious.txt"
    victim.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    for name, write in writers(head, short, speaking).items():
        path = out / name
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        write(path)
        assert victim.read_text() == "mine" and not path.is_symlink() and path.stat().st_size > 20, name


def test_failed_writes_leave_nothing_and_name_the_file(tmp_path, head, short, speaking):
    for name, write in writers(head, short, speaking).items():
        out = tmp_path / name.replace(".", "-")
        (out / name).mkdir(parents=True)  # a folder of that name cannot become a file
        try:
            write(out / name)
        except OSError:
            assert name in ("a.pc2", "a.mdd")  # whose callers give the file its name
        except HiSTalkError as error:
            assert name in str(error)
        else:
            pytest.fail(f"{name} was written over a folder")
        left = [path.name for path in out.iterdir() if not path.name.startswith("report")]
        assert left == [name] or name.startswith("report") and not left, name


def test_leftovers_of_dead_processes_are_deleted_and_those_of_live_ones_kept(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from histalk_blender import files\n"
        "place = files.temp_path(Path(sys.argv[1], 'a.blend')); files.create_file(place).write(b'1')\n"
        "place.with_name(place.name + '@').write_bytes(b'1'); print(place.name, flush=True); time.sleep(600)"
    )

    def other():
        child = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
        return child, child.stdout.readline().strip()

    (dead, gone), (living, kept) = other(), other()
    try:
        dead.kill()
        dead.wait()
        mine = tmp_path / gone.replace(f"-{dead.pid}-", f"-{os.getpid()}-")
        mine.write_bytes(b"an earlier process had our number")
        foreign = [tmp_path / f".histalk-00000000-{dead.pid}-{i:016x}.part.blend" for i in range(2)]
        for path in foreign:
            path.write_bytes(b"another machine's")
        os.utime(foreign[0], times=(0, time.time() - 8 * 86400))
        (tmp_path / "x.part").write_bytes(b"the user's own")
        files.atomic_write(tmp_path / "a.txt", b"1")
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {kept, kept + "@", foreign[1].name, "a.txt", "x.part"}
    finally:
        living.kill()
        living.wait()


def test_saving_a_key_map_follows_no_link(blender, tmp_path):
    creature = blender.add_creature(str.upper)
    creature.histalk.set_mapping({"jawOpen": "JAWOPEN"})
    victim = tmp_path / "precious.txt"
    victim.write_text("mine")
    (tmp_path / "map.json").symlink_to(victim)
    assert bpy.ops.histalk.save_map(filepath=str(tmp_path / "map.json")) == {"FINISHED"}
    assert victim.read_text() == "mine"
    assert json.loads((tmp_path / "map.json").read_text())["jawOpen"] == "JAWOPEN"
