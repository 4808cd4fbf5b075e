"""What the animator made stays: curves in our action, keys of their own, meshes that share an action, copies, NLA."""

import bpy
import numpy as np
import pytest
from stage import Stage

from histalk_blender.bake import add_head, bake, remove_bake
from histalk_blender.bake.actions import curve_bags
from histalk_blender.bake.ownership import has_bake
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES


@pytest.fixture
def motion(spoken):
    return spoken.between(20, 50)


@pytest.fixture
def obj(head, scene):
    scene.render.fps = 30
    return add_head(head)


@pytest.fixture
def arkit(head, scene):
    scene.render.fps = 30
    return add_head(head, units=True)


def teeth(name="Teeth"):
    """A small mesh with 52 keys of its own."""
    bpy.ops.mesh.primitive_cube_add()
    obj = bpy.context.active_object
    obj.name = name
    obj.shape_key_add(name="Basis", from_mix=False)
    for i, unit in enumerate(ARKIT_BLENDSHAPES):
        key = obj.shape_key_add(name=unit, from_mix=False)
        key.data[i % 8].co.z += 0.1
        key.value = 0.0
    return obj


def curves(block):
    return [curve for bag in curve_bags(block.animation_data) for curve in bag.fcurves]


def seen(obj, frame):
    return Stage().vertices(obj, frame)


def names(obj):
    return [key.name for key in obj.data.shape_keys.key_blocks]


def share(keys, with_keys):
    """The Shape Key Editor: the same action and slot."""
    animation = keys.animation_data or keys.animation_data_create()
    animation.action = with_keys.animation_data.action
    animation.action_slot = with_keys.animation_data.action_slot


def jaw(obj, frame=12):
    bpy.context.scene.frame_set(frame)
    return obj.data.shape_keys.key_blocks["jawOpen"].value


def turn(obj):
    obj.keyframe_insert("rotation_euler", frame=1)
    obj.rotation_euler.z = 0.5
    obj.keyframe_insert("rotation_euler", frame=20)


# What is not ours in our action


@pytest.mark.parametrize("then", ["remove", "cache", "keys", "arkit"])
def test_a_turn_of_the_head_keyed_after_the_bake_stays(arkit, motion, tmp_path, then):
    bake(arkit, motion, kind="basis")
    turn(arkit)
    assert arkit.animation_data.action == arkit.data.shape_keys.animation_data.action, (
        "as Blender 4.4 and later does it"
    )
    remove_bake(arkit) if then == "remove" else bake(arkit, motion, kind=then, cache=tmp_path)
    assert len(curves(arkit)) == 3
    bpy.context.scene.frame_set(20)
    assert arkit.rotation_euler.z == pytest.approx(0.5)
    remove_bake(arkit) if has_bake(arkit) else None
    assert len(curves(arkit)) == 3 and len(arkit.animation_data.action.slots) == 1, "our empty slot is gone"


def test_the_body_and_the_camera_in_other_slots_stay(obj, motion):
    bake(obj, motion, kind="basis")
    action = obj.data.shape_keys.animation_data.action
    camera = bpy.data.cameras.new("Camera")
    body = teeth("Body")
    for block, path in ((camera, "lens"), (body.data.shape_keys, 'key_blocks["jawOpen"].value')):
        block.animation_data_create().action = action
        block.animation_data.action_slot = action.slots.new(block.id_type, block.name)
        block.keyframe_insert(path, frame=1)
    remove_bake(obj)
    assert len(curves(camera)) == 1 and len(curves(body.data.shape_keys)) == 1 and obj.data.shape_keys is None
    assert len(action.slots) == 2


def test_two_bakes_in_one_action_go_one_by_one(obj, head, motion):
    other = add_head(head)
    bake(obj, motion, kind="basis")
    action = obj.data.shape_keys.animation_data.action
    other.shape_key_add(name="Basis", from_mix=False)
    keys = other.data.shape_keys
    keys.animation_data_create().action = action
    keys.animation_data.action_slot = action.slots.new("KEY", "Other")
    bake(other, motion, kind="basis")
    count = len(curves(keys))
    remove_bake(obj)
    assert len(curves(keys)) == count > 0 and keys.animation_data.action == action
    remove_bake(other)
    assert names(other) == ["Basis"], "the first key was there before"
    assert not bpy.data.actions


def test_an_action_that_somebody_uses_or_keeps_stays(arkit, motion):
    bake(arkit, motion, kind="arkit")
    action = arkit.data.shape_keys.animation_data.action
    action.use_fake_user = True
    count = len(curves(arkit.data.shape_keys))
    bake(arkit, motion.between(0, 10), kind="arkit")
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    assert sum(len(bag.fcurves) for bag in bags) == count and len(bags[0].fcurves[0].keyframe_points) == 30, (
        "take 1 is kept"
    )
    remove_bake(arkit)
    assert list(bpy.data.actions) == [action] and sum(len(bag.fcurves) for bag in bags) == count
    assert jaw(arkit) == 0


def test_an_action_that_another_object_plays_through_its_nla_stays(arkit, motion):
    bake(arkit, motion, kind="arkit")
    action, follower = arkit.data.shape_keys.animation_data.action, teeth()
    strip = follower.data.shape_keys.animation_data_create().nla_tracks.new().strips.new("Follow", 1, action)
    strip.action_slot = action.slots[0]
    before = jaw(follower)
    remove_bake(arkit)
    assert jaw(follower) == before > 0.01 and jaw(arkit) == 0
    assert strip.action == action


def test_markers_and_properties_of_the_animator_keep_an_action(obj, motion):
    bake(obj, motion, kind="basis")
    obj.data.shape_keys.animation_data.action.pose_markers.new("Smile here").frame = 12
    remove_bake(obj)
    (action,) = bpy.data.actions
    assert [marker.name for marker in action.pose_markers] == ["Smile here"]


def test_a_first_key_that_was_there_before_stays(obj, motion):
    obj.shape_key_add(name="Neutral", from_mix=False)
    bake(obj, motion, kind="basis")
    bake(obj, motion, kind="keys")
    remove_bake(obj)
    assert names(obj) == ["Neutral"]


# Keys of the animator's


@pytest.mark.parametrize("kind", ["cache", "basis", "keys", "arkit"])
@pytest.mark.parametrize("given", ["the action and slot", "a copy of the action"])
def test_a_mesh_that_follows_by_our_action_keeps_its_52_keys(arkit, motion, tmp_path, given, kind):
    """The usual trick to let teeth follow the face; then the teeth are baked themselves."""
    follower = teeth()
    bake(arkit, motion, kind="arkit")
    share(follower.data.shape_keys, arkit.data.shape_keys)
    if given == "a copy of the action":
        follower.data.shape_keys.animation_data.action = arkit.data.shape_keys.animation_data.action.copy()
    face = jaw(arkit)
    still = [
        name
        for name in ARKIT_BLENDSHAPES
        if not any(f'"{name}"' in curve.data_path for curve in curves(arkit.data.shape_keys))
    ]
    own = motion if kind == "arkit" else motion.on(motion.shapes[:, :8])
    bake(follower, own, kind=kind, cache=tmp_path)
    assert set(names(follower)) >= set(ARKIT_BLENDSHAPES) and jaw(arkit) == face > 0.01
    assert all(arkit.data.shape_keys.key_blocks[name].value == 0 for name in still), (
        "the other's bake moves none of its own"
    )
    remove_bake(follower)
    assert names(follower) == ["Basis", *ARKIT_BLENDSHAPES] and jaw(arkit) == face
    remove_bake(arkit)
    assert set(names(follower)) >= set(ARKIT_BLENDSHAPES) and jaw(follower) == face, "it plays on what the face left it"
    assert jaw(arkit) == 0


def test_what_follows_a_face_goes_with_its_next_bake(arkit, motion):
    follower = teeth()
    bake(arkit, motion.between(0, 5), kind="arkit")
    share(follower.data.shape_keys, arkit.data.shape_keys)
    bake(arkit, motion, kind="arkit")
    for frame in (5, 12, 25):
        assert jaw(follower, frame) == jaw(arkit, frame)
    bake(arkit, motion, kind="basis")
    assert jaw(follower) > 0.01 and jaw(arkit) == 0, "curves that only it still needs stay with it"


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("kind", ["basis", "arkit", "keys"])
def test_a_duplicate_is_baked_and_freed_without_the_first(arkit, motion, kind, linked):
    bake(arkit, motion, kind=kind)
    face = seen(arkit, 12)
    twin = arkit.copy()
    twin.data = arkit.data.copy()
    bpy.context.scene.collection.objects.link(twin)
    if not linked:
        keys = twin.data.shape_keys
        keys.animation_data.action = keys.animation_data.action.copy()
    np.testing.assert_array_equal(seen(twin, 12), face)
    bake(twin, motion.between(10, 20), kind=kind)
    np.testing.assert_array_equal(seen(arkit, 12), face)
    assert not np.array_equal(seen(twin, 12), face)
    remove_bake(twin)
    assert set(names(twin)) == {"Basis", *ARKIT_BLENDSHAPES}
    np.testing.assert_array_equal(seen(arkit, 12), face)
    remove_bake(arkit)
    assert not bpy.data.actions and names(arkit) == ["Basis", *ARKIT_BLENDSHAPES]


def test_the_first_is_freed_and_the_duplicate_speaks_on(obj, motion):
    bake(obj, motion, kind="basis")
    twin = obj.copy()
    twin.data = obj.data.copy()
    bpy.context.scene.collection.objects.link(twin)
    face = seen(twin, 12)
    remove_bake(obj)
    assert obj.data.shape_keys is None
    np.testing.assert_array_equal(seen(twin, 12), face)


def test_an_appended_head_can_be_freed(obj, motion, tmp_path):
    bake(obj, motion, kind="basis")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    for _ in range(3):
        with bpy.data.libraries.load(str(tmp_path / "head.blend"), link=False) as (_, wanted):
            wanted.objects = ["HiSTalk Head"]
        bpy.context.scene.collection.objects.link(wanted.objects[0])
    first, *others = bpy.data.objects
    remove_bake(others[0])
    assert others[0].data.shape_keys is None and has_bake(first) and has_bake(others[1])
    assert len(curves(first.data.shape_keys)) == len(curves(others[1].data.shape_keys)) > 0


def test_keys_made_by_hand_are_never_ours(obj, motion):
    bake(obj, motion, kind="basis")
    made, keys = names(obj)[1:], obj.data.shape_keys.key_blocks
    obj.shape_key_add(name="HiSTalk basis 99", from_mix=False)
    for old in (made[2], made[-1]):  # deleted, and sculpted anew under the same name
        obj.shape_key_remove(keys[old])
        obj.shape_key_add(name=old, from_mix=False).data[5].co.z += 0.03
    obj.shape_key_add(name="Mine", from_mix=False).value = 0.0
    keys["Mine"].keyframe_insert("value", frame=4)
    for curve in curves(obj.data.shape_keys):
        if "Mine" in curve.data_path:
            curve.group = next(bag.groups["HiSTalk"] for bag in curve_bags(obj.data.shape_keys.animation_data))
    theirs = ["HiSTalk basis 99", made[2], made[-1], "Mine"]
    bake(obj, motion, kind="basis")
    assert set(names(obj)) >= set(theirs)
    remove_bake(obj)
    assert names(obj) == ["Basis", *theirs] and keys[made[2]].data[5].co.z > keys["Basis"].data[5].co.z + 0.02
    assert [curve.data_path for curve in curves(obj.data.shape_keys)] == ['key_blocks["Mine"].value']


def test_names_that_went_to_other_keys_do_not_mislead(obj, motion):
    """One of ours is renamed, and a new one gets its name."""
    bake(obj, motion, kind="basis")
    keys = obj.data.shape_keys.key_blocks
    keys["HiSTalk basis 01"].name = "lips, ours"
    obj.shape_key_add(name="HiSTalk basis 01", from_mix=False).data[5].co.z += 0.03
    keys["HiSTalk basis 02"].name, keys["HiSTalk basis 03"].name = "x", "HiSTalk basis 02"
    keys["x"].name = "HiSTalk basis 03"
    remove_bake(obj)
    assert names(obj) == ["Basis", "HiSTalk basis 01"] and not curves(obj.data.shape_keys)


@pytest.mark.parametrize("kind", ["basis", "arkit", "keys"])
def test_keys_reordered_deleted_or_cleared_are_no_error(arkit, motion, kind, tmp_path):
    bake(arkit, motion, kind=kind)
    bpy.context.view_layer.objects.active = arkit
    keys = arkit.data.shape_keys.key_blocks
    arkit.active_shape_key_index = len(keys) - 1
    bpy.ops.object.shape_key_move(type="TOP")
    arkit.shape_key_remove(keys[3])
    bake(arkit, motion, kind="cache", cache=tmp_path)
    assert not any(name.startswith("HiSTalk") for name in names(arkit))
    bake(arkit, motion, kind=kind)
    arkit.shape_key_clear()
    assert not has_bake(arkit)
    bake(arkit, motion, kind="basis")
    remove_bake(arkit)
    assert arkit.data.shape_keys is None


def test_a_bake_may_be_removed_after_the_mesh_was_scaled_or_the_keys_joined(obj, motion):
    bake(obj, motion, kind="basis")
    obj.scale = (3, 3, 3)
    obj.rotation_euler = (0.3, 0.2, 0.1)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.transform_apply(location=False, rotation=True, scale=True)
    remove_bake(obj)
    assert obj.data.shape_keys is None
    bake(obj, motion.on(motion.shapes * 3), kind="basis")
    bpy.ops.mesh.primitive_cube_add()
    with bpy.context.temp_override(active_object=obj, selected_editable_objects=[obj, bpy.context.active_object]):
        bpy.ops.object.join()
    assert len(obj.data.vertices) == 5123 + 8
    remove_bake(obj)
    assert obj.data.shape_keys is None


def test_a_bake_of_an_older_version_is_known_and_goes(arkit, motion):
    """It has names, and no fingerprints."""
    for kind in ("basis", "arkit"):
        bake(arkit, motion, kind=kind)
        keys = arkit.data.shape_keys
        del keys["HiSTalk written"]
        curves(keys)[0].keyframe_points[3].co.y = 0.9
        bake(arkit, motion.between(0, 10), kind=kind)
        del keys["HiSTalk written"]
        remove_bake(arkit)
        assert names(arkit) == ["Basis", *ARKIT_BLENDSHAPES] and not list(keys.keys()) and not bpy.data.actions


# The NLA


def push_down(obj):
    animation = obj.data.shape_keys.animation_data
    action = animation.action
    track = animation.nla_tracks.new()
    strip = track.strips.new(action.name, round(action.frame_range[0]), action)
    strip.action_slot = animation.action_slot
    animation.action = None
    return strip


@pytest.mark.parametrize("kind", ["basis", "arkit"])
def test_a_bake_pushed_down_is_known_exported_and_removed(arkit, motion, kind, tmp_path):
    from histalk_blender.bake import export
    from histalk_blender.bake.checks import visibility_warnings

    bake(arkit, motion, kind=kind)
    face = seen(arkit, 12)
    push_down(arkit)
    np.testing.assert_allclose(seen(arkit, 12), face, atol=1e-6)
    assert has_bake(arkit) and visibility_warnings(arkit) == []
    export(arkit, tmp_path / "face.abc", 1, 30)
    tracks = arkit.data.shape_keys.animation_data.nla_tracks
    tracks[0].mute = True
    (reason,) = visibility_warnings(arkit)
    assert "does not play" in reason
    tracks[0].mute = False
    remove_bake(arkit)
    assert names(arkit) == ["Basis", *ARKIT_BLENDSHAPES] and not bpy.data.actions and not tracks


def test_only_our_strips_and_curves_leave_the_nla(arkit, motion):
    keys = arkit.data.shape_keys
    keys.key_blocks["browInnerUp"].keyframe_insert("value", frame=1)
    mine = push_down(arkit).action
    follower = teeth()
    bake(arkit, motion, kind="basis")
    ours = push_down(arkit).action
    strip = follower.data.shape_keys.animation_data_create().nla_tracks.new().strips.new("x", 1, ours)
    strip.action_slot = ours.slots[0]
    turn(arkit)
    arkit.animation_data.action = ours
    remove_bake(arkit)
    assert [strip.action for track in keys.animation_data.nla_tracks for strip in track.strips] == [mine]
    assert strip.action == ours and arkit.animation_data.action == ours and len(curves(keys)) == 1


# What is told


def test_time_stretching_and_many_muted_keys_are_one_sentence_each(arkit, motion):
    from histalk_blender.bake.checks import visibility_warnings

    bpy.context.scene.render.frame_map_new = 200
    (warning,) = bake(arkit, motion, kind="arkit").warnings
    assert "stretches time (100 to 200" in warning
    for key in arkit.data.shape_keys.key_blocks:
        key.mute = True
    (reason,) = visibility_warnings(arkit)
    assert "more are muted" in reason
