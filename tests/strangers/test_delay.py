"""A delay means the same wherever it is asked for: the motion begins later and nothing of it is cut."""

from dataclasses import replace

import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.bake import BakeSettings, bake_performance
from histalk_blender.bake.actions import curve_bags
from histalk_blender.bake.exporters import export
from histalk_blender.bake.shot import frames_of, new_shot
from histalk_blender.batch.job import Job
from histalk_blender.batch.outputs import write_outputs
from histalk_blender.errors import HiSTalkError
from histalk_blender.motion.style import Style
from histalk_blender.motion.timing import EASE, from_sound_start, scene_timing

FPS = 30  # of the scene, as of the stored motion


def last_key(obj):
    """The scene frame of the last point of any curve on the shape keys."""
    bags = curve_bags(obj.data.shape_keys.animation_data)
    return max(curve.keyframe_points[-1].co.x for bag in bags for curve in bag.fcurves)


def short(performance, frames=60):
    """Two seconds of it."""
    return replace(performance, motion=performance.motion.between(0, frames))


@pytest.mark.parametrize("kind", ["basis", "keys", "arkit"])
@pytest.mark.parametrize("delay, last", [(0.2, 72), (0.0, 66), (-0.2, 60)])
def test_panel_and_shot_end_at_the_same_frame(blender, stored_performance, monkeypatch, tmp_path, kind, delay, last):
    from histalk_blender.addon import bake_job as job

    performance = short(stored_performance)
    bpy.context.scene.render.fps = FPS
    monkeypatch.setattr(job, "perform_clip", lambda *_: performance)
    monkeypatch.setattr(job, "KEPT_PERFORMANCES", 1)
    blender.add_strip(frame=1)
    obj = blender.add_head(units=kind == "arkit")
    blender.bake(kind=kind, delay=delay)
    assert last_key(obj) == pytest.approx(last, abs=1e-3)
    from_panel = blender.vertices(obj, 40)

    bpy.ops.histalk.remove_bake()
    bake_performance(obj, performance, BakeSettings(kind=kind, style=Style(delay=delay), ease=True))
    assert last_key(obj) == pytest.approx(last, abs=1e-3)
    np.testing.assert_allclose(blender.vertices(obj, 40), from_panel, atol=2e-4)


def test_no_frame_of_the_motion_is_lost_however_far_it_is_moved(spoken):
    for delay in (0.2, -0.2, 0.0143, 3.0):
        placed, start = scene_timing(spoken, 24.0, 101, delay, ease=True)
        bare, bare_start = scene_timing(spoken, 24.0, 101, delay)
        assert len(bare) == len(spoken.at_fps(24.0)) and bare_start == pytest.approx(101 + delay * 24)
        assert start == pytest.approx(bare_start - round(EASE * 24)) and len(placed) == len(bare) + 2 * round(EASE * 24)
        np.testing.assert_array_equal(placed.weights[round(EASE * 24)], bare.weights[0])


def test_a_file_s_frame_0_is_the_sound_s_and_its_end_is_whole(spoken):
    later = from_sound_start(spoken, 30.0, 0.2)
    np.testing.assert_allclose(later.weights[6:], spoken.weights, atol=1e-6)
    np.testing.assert_allclose(later.weights[:6], np.tile(spoken.weights[0], (6, 1)), atol=1e-6)
    between = from_sound_start(spoken, 30.0, 0.05)  # a frame and a half
    assert len(between) == len(spoken) + 2
    np.testing.assert_allclose(between.weights[-1], spoken.weights[-1], atol=1e-6)
    sooner = from_sound_start(spoken, 30.0, -0.2)
    assert len(sooner) == len(spoken)
    np.testing.assert_allclose(sooner.weights[:-6], spoken.weights[6:], atol=1e-6)
    np.testing.assert_allclose(sooner.weights[-6:], np.tile(spoken.weights[-1], (6, 1)), atol=1e-6)


@pytest.mark.parametrize("delay", [0.2, -0.2])
def test_a_batch_s_point_file_and_blend_play_what_the_panel_plays(stored_performance, tmp_path, delay):
    performance = short(stored_performance)
    style = Style(delay=delay)
    job = Job(audio=SPEECH, name="line", outputs=("pc2", "npz", "blend"), bake="keys", style=style, start=11)
    write_outputs(job, performance, tmp_path)
    with np.load(tmp_path / "line.npz") as data:
        file = data["neutral_vertices"] + data["displacements"]
    assert len(file) == (66 if delay > 0 else 60)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "line.blend"))
    scene, obj = bpy.context.scene, bpy.data.objects["HiSTalk Head"]
    assert (scene.frame_start, scene.frame_end) == (11, 10 + len(file))
    assert last_key(obj) == pytest.approx(11 + 59 + delay * 30, abs=1e-3)
    for i in (0, 3, 30, len(file) - 1):
        scene.frame_set(11 + i)
        mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        seen = np.array([vertex.co[:] for vertex in mesh.vertices])
        np.testing.assert_allclose(seen, file[i], atol=2e-5)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_a_frame_range_is_the_same_in_files_with_and_without_a_start_frame(stored_performance, tmp_path):
    performance = short(stored_performance)
    job = Job(audio=SPEECH, name="whole", outputs=("npz",), start=11)
    write_outputs(job, performance, tmp_path)
    part = replace(job, name="part", outputs=("npz", "livelink", "blend"), bake="keys", frames=(21, 30))
    write_outputs(part, performance, tmp_path)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "part.npz") as data:
        np.testing.assert_allclose(data["displacements"], whole["displacements"][10:20], atol=1e-7)
        rest, moved = data["neutral_vertices"], data["displacements"]
    assert len((tmp_path / "part.csv").read_text().splitlines()) == 1 + 10
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "part.blend"))
    obj = bpy.data.objects["HiSTalk Head"]
    assert len(obj.data.shape_keys.key_blocks) == 1 + 10 and last_key(obj) == 30
    bpy.context.scene.frame_set(25)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    seen = np.array([vertex.co[:] for vertex in mesh.vertices])
    np.testing.assert_allclose(seen, rest + moved[4], atol=2e-5)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    for frames in ((1, 10), (100, 120)):
        with pytest.raises(HiSTalkError, match="in the frame"):
            write_outputs(replace(part, frames=frames, outputs=("pc2",)), performance, tmp_path)


def test_alembic_is_as_long_as_the_delayed_motion(stored_performance, tmp_path):
    performance = short(stored_performance, 20)
    obj = new_shot(performance, SPEECH, 1, 30.0, False, 0.2)
    bake_performance(obj, performance, BakeSettings(style=Style(delay=0.2)))
    export(obj, tmp_path / "a.abc", 1, frames_of(performance, 30.0, 0.2))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = FPS
    bpy.ops.wm.alembic_import(filepath=str(tmp_path / "a.abc"), as_background_job=False)
    assert bpy.context.scene.frame_end - bpy.context.scene.frame_start + 1 == 26
    bpy.ops.wm.read_factory_settings(use_empty=True)
