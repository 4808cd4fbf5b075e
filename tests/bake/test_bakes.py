"""Bakes on real Blender: what is evaluated equals the motion, and nothing else is touched."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.bake import bake, build_scene, remove_bake, save_blend
from histalk_blender.bake.actions import curve_bags
from histalk_blender.bake.checks import visibility_warnings
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.topologies.flame import FlameTopology, load_flame_map


@pytest.fixture
def motion(spoken):
    return spoken.between(20, 60)


@pytest.fixture
def obj(head, motion):
    yield build_scene(head, SPEECH, len(motion))
    bpy.ops.wm.read_factory_settings(use_empty=True)


def evaluated(obj, frame):
    bpy.context.scene.frame_set(frame)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    out = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", out)
    return out.reshape(-1, 3)


@pytest.mark.parametrize("kind, tolerance", [("cache", 1e-7), ("keys", 1e-7), ("basis", 1e-4 + 1e-6)])
@pytest.mark.parametrize("start", [1, -7, 101])
def test_evaluated_vertices_equal_the_motion(obj, head, motion, tmp_path, kind, tolerance, start):
    report = bake(obj, motion, kind=kind, start_frame=start, cache=tmp_path)
    assert report.frames == len(motion) and report.warnings == []
    for i in (0, 1, 17, len(motion) - 1):
        error = np.linalg.norm(evaluated(obj, start + i) - (head.vertices + motion.displacements()[i]), axis=1).max()
        assert error <= tolerance
    if kind == "basis":
        assert report.keys < len(motion) and report.max_error_mm <= 0.1


@pytest.mark.parametrize("fps", [23.976, 24, 25, 60])
def test_the_scenes_rate_is_respected(obj, head, motion, tmp_path, fps):
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = round(fps), round(fps) / fps
    report = bake(obj, motion, kind="cache", cache=tmp_path)
    assert report.frames == round(len(motion) * fps / 30)
    expected = head.vertices + motion.at_fps(scene.render.fps / scene.render.fps_base).displacements()[5]
    np.testing.assert_allclose(evaluated(obj, 6), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["cache", "keys", "basis"])
def test_baking_again_and_removing_touch_only_what_is_ours(obj, head, motion, tmp_path, kind):
    obj.shape_key_add(name="Basis", from_mix=False)
    own = obj.shape_key_add(name="Scar", from_mix=False)
    own.data[0].co.z += 0.01
    own.value = 0.5
    obj.modifiers.new("Smooth", "SMOOTH").factor = 0.0
    obj.scale = (2, 2, 2)
    before = evaluated(obj, 3)
    bake(obj, motion, kind="basis", cache=tmp_path)
    bake(obj, motion.between(0, 10), kind=kind, cache=tmp_path)
    moved = evaluated(obj, 3)
    np.testing.assert_allclose(moved[1:], (head.vertices + motion.displacements()[2])[1:], atol=1.2e-4)
    assert abs(moved[0, 2] - (head.vertices[0, 2] + motion.displacements()[2, 0, 2] + 0.005)) < 1e-4, (
        "the own key still plays"
    )
    remove_bake(obj)
    np.testing.assert_array_equal(evaluated(obj, 3), before)
    assert [key.name for key in obj.data.shape_keys.key_blocks] == ["Basis", "Scar"]
    assert [modifier.name for modifier in obj.modifiers] == ["Smooth"]
    assert tuple(obj.scale) == (2, 2, 2)
    assert not [action for action in bpy.data.actions if action.name.startswith("HiSTalk")]


def test_removing_the_only_keys_leaves_a_plain_mesh(obj, motion):
    bake(obj, motion, kind="keys")
    remove_bake(obj)
    assert obj.data.shape_keys is None


def curve_paths(obj):
    return [curve.data_path for bag in curve_bags(obj.data.shape_keys.animation_data) for curve in bag.fcurves]


def test_an_action_of_the_users_keeps_its_curves(obj, motion):
    obj.shape_key_add(name="Basis", from_mix=False)
    obj.shape_key_add(name="Smile", from_mix=False).keyframe_insert("value", frame=1)
    assert bake(obj, motion, kind="basis").warnings == []
    remove_bake(obj)
    assert curve_paths(obj) == ['key_blocks["Smile"].value']


def scene_state():
    return [(o.name, o.mode, len(o.modifiers)) for o in bpy.data.objects], len(bpy.data.actions)


def test_wrong_targets_are_refused_and_the_scene_stays(obj, motion, tmp_path):
    state = scene_state()
    cases = [
        (None, {}, "No object"),
        (bpy.data.objects["Camera"], {}, "not a mesh"),
        (obj, {"motion": motion.on(motion.shapes[:, :100])}, "has .* vertices where"),
        (obj, {"kind": "magic"}, "not a kind of bake"),
        (obj, {"kind": "cache", "cache": None}, "not saved"),
        (obj, {"kind": "cache", "cache": tmp_path / "none"}, "no folder"),
    ]
    for target, changed, says in cases:
        arguments = {"motion": motion, "kind": "keys", "cache": tmp_path, **changed}
        with pytest.raises(HiSTalkError, match=says):
            bake(target, **arguments)
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(HiSTalkError, match="edit mode"):
        bake(obj, motion, kind="keys")
    bpy.ops.object.mode_set(mode="OBJECT")
    assert scene_state() == state


@pytest.mark.parametrize("kind", ["cache", "keys", "basis"])
def test_a_flame_head_takes_the_bundled_head_s_motion(obj, head, motion, tmp_path, kind):
    vertices = load_flame_map().read(head.vertices) * 3
    vertices[load_flame_map().eyes] = 3 * head.vertices[head.regions["eye_left"]].mean(0)
    mesh = bpy.data.meshes.new("FLAME")
    mesh.from_pydata(vertices.tolist(), [], [])
    flame = bpy.data.objects.new("FLAME", mesh)
    bpy.context.scene.collection.objects.link(flame)
    bake(flame, motion, kind=kind, cache=tmp_path)
    np.testing.assert_allclose(
        evaluated(flame, 11), vertices + FlameTopology().carry(motion.displacements(), vertices)[10], atol=1.2e-4
    )
    remove_bake(flame)
    mesh.vertices.foreach_set("co", np.random.default_rng(0).permutation(vertices).ravel())
    with pytest.raises(HiSTalkError, match="vertex order is not a FLAME head's"):
        bake(flame, motion, kind=kind, cache=tmp_path)


def test_a_shared_mesh_is_named(obj, motion, tmp_path):
    bpy.data.objects.new("Twin", obj.data)
    assert any("2 objects speak" in warning for warning in bake(obj, motion, kind="basis").warnings)
    assert bake(obj, motion, kind="cache", cache=tmp_path).warnings == []


def test_a_linked_head_is_refused(obj, motion, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (source, wanted):
        wanted.objects = ["HiSTalk Head"]
    linked = bpy.data.objects["HiSTalk Head"]
    bpy.context.scene.collection.objects.link(linked)
    with pytest.raises(HiSTalkError, match="linked from another file"):
        bake(linked, motion, kind="keys")


def test_keys_are_ours_by_what_we_made_and_not_by_their_names(obj, head, motion):
    """A key of the user's may be called like ours, and one of ours may be renamed."""
    obj.shape_key_add(name="Basis", from_mix=False)
    obj.shape_key_add(name="HiSTalkish smile", from_mix=False)
    bake(obj, motion, kind="basis")
    obj.data.shape_keys.key_blocks["HiSTalk basis 00"].name = "my jaw"
    bake(obj, motion, kind="basis")
    np.testing.assert_allclose(evaluated(obj, 11), head.vertices + motion.displacements()[10], atol=1.2e-4)
    obj.data.shape_keys.key_blocks["HiSTalk basis 01"].name = "my lips"
    remove_bake(obj)
    assert [key.name for key in obj.data.shape_keys.key_blocks] == ["Basis", "HiSTalkish smile"]
    np.testing.assert_array_equal(evaluated(obj, 11), head.vertices)


def test_a_renamed_cache_modifier_is_still_ours(obj, motion, tmp_path):
    obj.modifiers.new("HiSTalk", "MESH_CACHE").show_viewport = False
    bake(obj, motion, kind="cache", cache=tmp_path)
    obj.modifiers[0].name = "Dialogue"
    bake(obj, motion, kind="basis")
    assert [modifier.name for modifier in obj.modifiers] == ["HiSTalk"]


def test_a_cache_named_from_the_working_folder_plays_in_the_saved_file(obj, head, motion, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bake(obj, motion, kind="cache", cache=Path("speech.pc2"))
    save_blend(Path("speech.blend"))
    np.testing.assert_allclose(evaluated(obj, 11), head.vertices + motion.displacements()[10], atol=1e-6)


def test_keys_that_a_cache_silences_are_named(obj, motion, tmp_path):
    obj.shape_key_add(name="Basis", from_mix=False)
    obj.shape_key_add(name="Frown", from_mix=False).keyframe_insert("value", frame=1)
    (warning,) = bake(obj, motion, kind="cache", cache=tmp_path).warnings
    assert "'Frown' no longer move" in warning
    assert bake(obj, motion, kind="basis").warnings == []


HIDDEN = {
    "is muted": lambda obj, bag: setattr(obj.data.shape_keys.key_blocks["HiSTalk basis 00"], "mute", True),
    "Another action": lambda obj, bag: setattr(
        obj.data.shape_keys.animation_data, "action", bpy.data.actions.new("Other")
    ),
    "Curves of the bake are muted": lambda obj, bag: setattr(bag.fcurves[0], "mute", True),
    "group of curves 'HiSTalk' is muted": lambda obj, bag: setattr(bag.groups[0], "mute", True),
    "tick Relative": lambda obj, bag: setattr(obj.data.shape_keys, "use_relative", False),
    "Solo": lambda obj, bag: setattr(obj, "show_only_shape_key", True),
    "'Theirs' plays another cache": lambda obj, bag: obj.modifiers.new("Theirs", "MESH_CACHE"),
}


@pytest.mark.parametrize("says", HIDDEN)
def test_keys_that_nobody_would_see_say_why(obj, motion, says):
    bake(obj, motion, kind="basis")
    assert visibility_warnings(obj) == []
    (bag,) = curve_bags(obj.data.shape_keys.animation_data)
    HIDDEN[says](obj, bag)
    (reason,) = visibility_warnings(obj)
    assert says in reason


def test_a_cache_that_nobody_would_see_says_why(obj, motion, tmp_path):
    obj.modifiers.new("Theirs", "MESH_CACHE")
    (warning,) = bake(obj, motion, kind="cache", cache=tmp_path).warnings
    assert "'Theirs' plays another cache over the bake" in warning
    obj.modifiers.remove(obj.modifiers["Theirs"])
    assert visibility_warnings(obj) == []
    obj.modifiers["HiSTalk"].show_viewport = False
    next(tmp_path.iterdir()).unlink()
    reasons = visibility_warnings(obj)
    assert len(reasons) == 2 and "switched off" in reasons[0] and "is missing" in reasons[1]
    remove_bake(obj)
    assert visibility_warnings(obj) == []


def test_a_posed_flame_head_keeps_its_pose_and_its_keys(head, motion, tmp_path):
    """A production head comes with an armature and shape keys of its own."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    vertices = load_flame_map().read(head.vertices)
    vertices[load_flame_map().eyes] = head.vertices[head.regions["eye_left"]].mean(0)
    mesh = bpy.data.meshes.new("FLAME")
    mesh.from_pydata(vertices.tolist(), [], [])
    flame = bpy.data.objects.new("FLAME", mesh)
    bpy.context.scene.collection.objects.link(flame)
    flame.shape_key_add(name="Basis", from_mix=False)
    own = flame.shape_key_add(name="Identity", from_mix=False)
    own.data[7].co.x += 0.01
    own.value = 1.0
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    flame.modifiers.new("Armature", "ARMATURE").object = rig
    flame.vertex_groups.new(name=rig.data.bones[0].name).add(range(len(vertices)), 1.0, "REPLACE")
    rig.pose.bones[0].location = (0.5, 0, 0)
    shift = evaluated(flame, 1)[0] - vertices[0]
    expected = vertices + FlameTopology().carry(motion.displacements()[10:11], vertices)[0] + shift
    expected[7, 0] += 0.01
    for kind in ("cache", "basis"):
        bake(flame, motion, kind=kind, cache=tmp_path)
        assert [modifier.name for modifier in flame.modifiers][-1] == "Armature"
        np.testing.assert_allclose(evaluated(flame, 11), expected, atol=1.2e-4)
    bpy.ops.wm.read_factory_settings(use_empty=True)
