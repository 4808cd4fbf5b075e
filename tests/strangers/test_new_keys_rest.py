"""What we make looks at rest when it is at rest, whatever values this Blender's keys are born with."""

import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.bake import BakeSettings, add_head, bake, bake_performance, remove_bake
from histalk_blender.bake.scene import save_blend
from histalk_blender.bake.shot import new_shot, open_shot
from histalk_blender.batch.job import Job
from histalk_blender.batch.outputs import write_outputs


def seen(obj, frame=0):
    bpy.context.scene.frame_set(frame)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    out = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", out)
    return out.reshape(-1, 3)


def test_the_head_with_52_keys_is_the_neutral_head(blender, head):
    obj = blender.add_head(units=True)
    np.testing.assert_allclose(blender.vertices(obj, 1), head.vertices, atol=1e-6)
    for key in obj.data.shape_keys.key_blocks[1:]:
        assert (key.value, key.slider_min, key.slider_max, key.mute) == (0.0, 0.0, 1.0, False)
        assert key.relative_key == obj.data.shape_keys.reference_key


@pytest.mark.parametrize("kind", ["arkit", "basis", "keys"])
def test_a_head_with_52_keys_rests_before_and_after_it_speaks_and_when_the_bake_is_removed(
    scene, stored_performance, head, tmp_path, kind
):
    obj = add_head(head, units=True)
    report = bake_performance(
        obj, stored_performance, BakeSettings(kind=kind, start_frame=20, cache=tmp_path / "a.pc2", ease=True)
    )
    after = 20 + report.frames + 10
    for still in (0, after):
        assert np.abs(seen(obj, still) - head.vertices).max() < 1.2e-4
    assert max(np.abs(seen(obj, frame) - head.vertices).max() for frame in range(25, 60, 5)) > 0.003
    remove_bake(obj)
    np.testing.assert_allclose(seen(obj, 40), head.vertices, atol=1e-6)


def test_the_command_line_s_arkit_head_moves_as_its_units_say(stored_performance, head, tmp_path):
    obj = new_shot(stored_performance, SPEECH, 1, 30.0, True)
    bake_performance(obj, stored_performance, BakeSettings(kind="arkit"))
    for i in (0, 20, 50):
        expected = head.vertices + np.tensordot(stored_performance.arkit_weights[i], head.blendshape_deltas(), 1)
        np.testing.assert_allclose(seen(obj, 1 + i), expected, atol=1e-4)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_a_batch_s_glb_rests_where_the_voice_does(stored_performance, head, tmp_path):
    job = Job(audio=SPEECH, name="line", outputs=("glb", "blend"), bake="arkit")
    write_outputs(job, stored_performance, tmp_path)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "line.blend"))
    obj = bpy.data.objects["HiSTalk Head"]
    expected = head.vertices + np.tensordot(stored_performance.arkit_weights[0], head.blendshape_deltas(), 1)
    np.testing.assert_allclose(seen(obj, 1), expected, atol=1e-4)
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.mark.parametrize("kind, low", [("basis", -1.0), ("keys", 0.0)])
def test_our_own_keys_have_the_sliders_that_their_curves_need(scene, spoken, head, kind, low):
    obj = add_head(head)
    bake(obj, spoken.between(0, 20), kind=kind, start_frame=1)
    for key in obj.data.shape_keys.key_blocks[1:]:
        assert (key.slider_min, key.slider_max, key.mute, key.vertex_group) == (low, 1.0, False, "")


def test_a_bake_s_curves_hold_their_ends_and_go_straight(scene, spoken, head):
    from histalk_blender.bake.actions import curve_bags

    obj = add_head(head)
    bpy.context.preferences.edit.keyframe_new_interpolation_type = "BOUNCE"
    try:
        bake(obj, spoken.between(0, 20), kind="basis", start_frame=5)
    finally:
        bpy.context.preferences.edit.keyframe_new_interpolation_type = "BEZIER"
    for bag in curve_bags(obj.data.shape_keys.animation_data):
        for curve in bag.fcurves:
            assert curve.extrapolation == "CONSTANT" and not curve.mute and not curve.modifiers
            assert {point.interpolation for point in curve.keyframe_points} == {"LINEAR"}


def test_a_saved_head_still_rests_when_it_is_opened(scene, stored_performance, head, tmp_path):
    add_head(head, units=True)
    save_blend(tmp_path / "head.blend")
    obj = open_shot(tmp_path / "head.blend", "")
    np.testing.assert_allclose(seen(obj), head.vertices, atol=1e-6)
