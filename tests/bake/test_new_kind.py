"""A kind of bake is one class and its place in the list: panel, command line, batch, Python and Remove Bake know it.

The tests below run in a process of their own, in which the list has the toy kind before anything else is imported:
this file is its plugin.
"""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from histalk_blender.bake import kinds
from histalk_blender.bake.kinds.shape_keys import ShapeKeys
from histalk_blender.settings import Setting

ADDED = "HISTALK_TOY_KIND" in os.environ
# Blender's module may keep a process from ending by itself.
CHILD = "import os, sys, pytest; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(code)"
in_child = pytest.mark.skipif(not ADDED, reason="runs in the process that the first test starts")


class HalfMotion(ShapeKeys):
    """Shape keys that go a part of the way."""

    name = "half"
    label = "Half Motion"
    description = "One shape key a frame that goes a part of the way"
    number = 100
    options = (Setting("part", 0.5, "Part", "How much of the motion is kept", 0.0, 1.0),)

    def compute(self, data, step):
        motion = data.motion.on(data.motion.shapes * data.plan.option("part"))
        return super().compute(replace(data, motion=motion), step)


if ADDED:
    kinds.KINDS = (*kinds.KINDS, HalfMotion())

from stage import blender  # noqa: F401  (the add-on, which reads the list)


@pytest.mark.skipif(ADDED, reason="it would start itself")
def test_a_new_kind_is_one_class_and_its_place_in_the_list():
    here = Path(__file__)
    words = ["-q", "-p", "test_new_kind", "-p", "no:cacheprovider", "-k", "half", str(here)]
    environment = os.environ | {"HISTALK_TOY_KIND": "1", "PYTHONPATH": f"{here.parent}:{here.parents[1]}"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and "passed" in done.stdout and "failed" not in done.stdout, done.stdout + done.stderr


@pytest.fixture
def clip(stored_performance):
    """One second of it."""
    return replace(stored_performance, motion=stored_performance.motion.between(20, 50))


@pytest.fixture
def line(tmp_path):
    """One second of speech."""
    import soundfile as sf
    from assets import SPEECH

    pytest.importorskip("torch")
    sound, rate = sf.read(SPEECH)
    sf.write(tmp_path / "line.wav", sound[rate : 2 * rate], rate)
    return tmp_path / "line.wav"


def moved(path=None):
    """[30, V, 3] how the head of a .blend, or of the open file, moves in its first frames; the bake is removed then."""
    import bpy

    from histalk_blender.bake import remove_bake
    from histalk_blender.bake.geometry import rest_positions

    if path:
        bpy.ops.wm.open_mainfile(filepath=str(path))
    (obj,) = [obj for obj in bpy.data.objects if obj.type == "MESH"]
    rest, frames = rest_positions(obj), []
    for frame in range(1, 31):
        bpy.context.scene.frame_set(frame)
        mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        seen = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", seen)
        frames.append(seen.reshape(-1, 3) - rest)
    remove_bake(obj)
    assert obj.data.shape_keys is None and not obj.modifiers
    return np.array(frames)


@in_child
def test_half_from_the_panel(blender, clip, monkeypatch):
    import bpy

    from histalk_blender.addon import bake_job, panel

    monkeypatch.setattr(bake_job, "perform_clip", lambda *_, **__: clip)
    bpy.context.scene.render.fps = 30
    blender.add_strip(frame=1)
    obj = blender.add_head()
    blender.bake(kind="half", part=0.25)
    assert "frames as" in obj.histalk.report and "shape keys" in obj.histalk.report
    layout = MagicMock()
    panel._Output.draw(SimpleNamespace(layout=layout), bpy.context)
    assert (obj.histalk, "part") in [call.args for call in layout.prop.call_args_list]
    seen = np.array([blender.vertices(obj, 1 + i) for i in range(30)])
    rest = blender.vertices(obj, -100)
    np.testing.assert_allclose(seen - rest, 0.25 * clip.motion.displacements(), atol=1e-6)
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"} and obj.data.shape_keys is None


@in_child
def test_half_from_python(blender, clip):
    import bpy

    from histalk_blender.bake import bake

    bpy.context.scene.render.fps = 30
    obj = blender.add_head()
    report = bake(obj, clip.motion, kind="half", options={"part": 0.75})
    assert (report.kind, report.keys) == ("half", 30)
    np.testing.assert_allclose(moved(), 0.75 * clip.motion.displacements(), atol=1e-6)
    bake(obj, clip.motion, kind="half")
    np.testing.assert_allclose(moved(), 0.5 * clip.motion.displacements(), atol=1e-6)


@in_child
def test_half_from_the_command_line(line, tmp_path):
    from click.testing import CliRunner

    from histalk_blender.cli.main import main

    def bake(*options):
        done = CliRunner().invoke(main, ["bake", str(line), "--out", str(tmp_path / "a.blend"), *options])
        assert done.exit_code == 0, done.output
        return moved(tmp_path / "a.blend")

    whole, part = bake("--bake", "keys"), bake("--bake", "half", "--part", "0.25")
    assert np.abs(whole).max() > 0.002
    np.testing.assert_allclose(part, 0.25 * whole, atol=1e-6)


@in_child
def test_half_from_a_batch(line, tmp_path):
    from click.testing import CliRunner

    from histalk_blender.cli.main import main

    with open(tmp_path / "jobs.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["audio", "name", "bake", "part", "outputs"])
        rows.writerow([line.name, "whole", "keys", "", "blend"])
        rows.writerow([line.name, "column", "half", "0.25", "blend"])
        rows.writerow([line.name, "flag", "half", "", "blend"])
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["batch", str(tmp_path / "jobs.csv"), "--out", str(out), "--part", "0.125"])
    assert done.exit_code == 0, done.output
    whole = moved(out / "whole.blend")
    np.testing.assert_allclose(moved(out / "column.blend"), 0.25 * whole, atol=1e-6)
    np.testing.assert_allclose(moved(out / "flag.blend"), 0.125 * whole, atol=1e-6)
