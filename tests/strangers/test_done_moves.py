"""\"Done\" means that the evaluated mesh moves: what hides or loses a bake is an error."""

import struct
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.bake import BakeSettings, add_head, bake, check, remove_bake
from histalk_blender.bake.cache_modifier import our_modifier
from histalk_blender.bake.ownership import has_bake
from histalk_blender.batch.job import Job
from histalk_blender.batch.outputs import write_outputs
from histalk_blender.errors import HiSTalkError


@pytest.fixture(scope="module")
def motion(spoken):
    return spoken.between(20, 60)


def seen(obj, frame):
    bpy.context.scene.frame_set(frame)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    out = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", out)
    return out.reshape(-1, 3)


def keyed(obj, name="Theirs"):
    """A key of the animator's with a curve, so that an action plays."""
    if obj.data.shape_keys is None:
        obj.shape_key_add(name="Basis", from_mix=False)
    key = obj.shape_key_add(name=name, from_mix=False)
    key.value = 0.0
    key.keyframe_insert("value", frame=1)
    return obj.data.shape_keys


# What of the animator's hides the bake, and a piece of the sentence that says so.


def solo(obj):
    keyed(obj)
    obj.show_only_shape_key = True
    obj.active_shape_key_index = 0


def absolute(obj):
    keyed(obj).use_relative = False


def another_cache(obj):
    path = Path(bpy.app.tempdir) / "theirs.pc2"
    still = np.array([vertex.co[:] for vertex in obj.data.vertices], "<f4").tobytes()
    path.write_bytes(struct.pack("<12sIIffI", b"POINTCACHE2\0", 1, len(obj.data.vertices), 0.0, 1.0, 1) + still)
    modifier = obj.modifiers.new("Theirs", "MESH_CACHE")
    modifier.cache_format, modifier.filepath, modifier.deform_mode = "PC2", str(path), "OVERWRITE"


def soloed_track(obj):
    keys = keyed(obj)
    animation = keys.animation_data
    track = animation.nla_tracks.new()
    track.strips.new("Theirs", 1, animation.action)
    animation.action = None
    track.is_solo = True


def no_influence(obj):
    keys = keyed(obj)
    animation = keys.animation_data
    track = animation.nla_tracks.new()
    track.strips.new("Theirs", 1, animation.action.copy())
    animation.action_influence = 0.0


HIDES = {
    "Solo active shape key": (solo, ("basis", "keys")),
    "absolute": (absolute, ("basis", "keys")),
    "plays another cache over the bake": (another_cache, ("basis", "cache", "keys")),
    "NLA": (soloed_track, ("basis",)),
    "does not move": (no_influence, ("basis",)),
}


@pytest.mark.parametrize("says, kind", [(says, kind) for says, (_, kinds) in HIDES.items() for kind in kinds])
def test_a_bake_that_nobody_would_see_is_an_error_with_its_reason(scene, head, motion, tmp_path, says, kind):
    obj = add_head(head)
    HIDES[says][0](obj)
    with pytest.raises(HiSTalkError, match=says):
        bake(obj, motion, kind=kind, cache=tmp_path, start_frame=1)
    assert len(bpy.data.scenes) == 1


def test_the_panel_calls_it_no_success_and_sliders_do_not_follow_it(blender, head):
    from histalk_blender.addon.session import get_session

    blender.add_strip(frame=1)
    obj = blender.add_head()
    solo(obj)
    with pytest.raises(RuntimeError, match="does not move as the motion says.*Solo"):
        blender.bake(kind="basis")
    assert get_session().job is None and obj.histalk.report == "" and obj.session_uid not in get_session().requests
    obj.show_only_shape_key = False
    blender.bake(kind="basis")
    assert "frames as" in obj.histalk.report


@pytest.mark.parametrize("kind", ["cache", "basis", "keys", "arkit"])
def test_what_does_not_hide_it_is_no_error(scene, head, motion, tmp_path, kind):
    """Modifiers that add vertices, bones that turn the head, a key of the animator's, another frame, a moved object."""
    obj = add_head(head, units=kind == "arkit")
    keyed(obj).key_blocks["Theirs"].data[0].co.z += 0.1
    obj.location, obj.scale = (3, 2, 1), (4, 4, 4)
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    obj.modifiers.new("Bones", "ARMATURE").object = rig
    obj.vertex_groups.new(name=rig.data.bones[0].name).add(range(len(head.vertices)), 1.0, "REPLACE")
    bone = rig.pose.bones[0]
    bone.rotation_mode = "XYZ"
    for frame, turn in ((1, 0.0), (30, 2.0)):
        bone.rotation_euler.x = turn
        bone.keyframe_insert("rotation_euler", frame=frame)
    obj.modifiers.new("Twin", "MIRROR")
    scene.frame_set(7, subframe=0.25)
    before = scene.frame_current_final, [modifier.show_viewport for modifier in obj.modifiers]
    assert bake(obj, motion, kind=kind, cache=tmp_path, start_frame=1).frames
    assert scene.frame_current_final == before[0] and len(bpy.data.scenes) == 1
    assert all(modifier.show_viewport for modifier in obj.modifiers)
    assert not any(key.mute for key in (obj.data.shape_keys.key_blocks if obj.data.shape_keys else ()))


def test_a_look_runs_no_handler_of_frame_changes_and_evaluates_no_other_object(scene, head, motion):
    called = []

    def changed(*_):
        called.append(1)

    obj = add_head(head)
    bpy.app.handlers.frame_change_pre.append(changed)
    try:
        bake(obj, motion, kind="basis")
    finally:
        bpy.app.handlers.frame_change_pre.remove(changed)
    assert called == []


def test_a_look_leaves_the_face_at_the_present_frame(scene, head, motion):
    obj = add_head(head)
    scene.frame_set(0)
    bake(obj, motion, kind="keys", start_frame=1)
    values = [key.value for key in obj.data.shape_keys.key_blocks[1:]]
    assert values[0] == 1.0 and sum(values) == 1.0, "the first, which is held before the motion"
    shown = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    seen_now = np.array([vertex.co[:] for vertex in shown.vertices])
    np.testing.assert_allclose(seen_now, seen(obj, 0), atol=1e-7)


def test_a_hidden_head_is_told_and_not_failed(scene, head, motion):
    obj = add_head(head)
    obj.hide_viewport = True
    (warning,) = bake(obj, motion, kind="basis").warnings
    assert "disabled in viewports" in warning
    obj.hide_viewport = False
    collection = bpy.data.collections.new("Off")
    scene.collection.children.link(collection)
    collection.objects.link(obj)
    scene.collection.objects.unlink(obj)
    bpy.context.view_layer.layer_collection.children["Off"].exclude = True
    assert bake(obj, motion, kind="basis").warnings == []


def test_a_face_that_rests_throughout_is_done(scene, head, motion):
    obj = add_head(head)
    still = motion.on(motion.shapes * 0)
    assert bake(obj, still, kind="basis").keys == 0
    assert bake(obj, still, kind="keys").frames == len(motion.at_fps(24))


def test_an_arkit_rig_whose_keys_are_muted_is_an_error_and_one_muted_key_a_warning(scene, head, motion):
    obj = add_head(head, units=True)
    keys = obj.data.shape_keys.key_blocks[1:]
    keys[0].mute = True
    bake(obj, motion, kind="arkit")
    for key in keys:
        key.mute = True
    with pytest.raises(HiSTalkError, match="does not move.*muted"):
        bake(obj, motion, kind="arkit")


def test_keys_without_an_assigned_slot_still_speak(scene, head, motion):
    obj = add_head(head)
    keys = keyed(obj)
    keys.animation_data.action_slot = None
    bake(obj, motion, kind="basis")
    assert np.abs(seen(obj, 12) - seen(obj, 1)).max() > 1e-3


def test_nla_tweak_mode_is_refused_before_listening_with_how_to_leave_it(scene, head, motion, tmp_path):
    obj = add_head(head)
    animation = keyed(obj).animation_data
    action = animation.action
    track = animation.nla_tracks.new()
    track.strips.new("Theirs", 46, action)
    animation.action = None
    track.select = True
    track.strips[0].select = True
    animation.nla_tracks.active = track
    animation.use_tweak_mode = True
    if not animation.use_tweak_mode:
        pytest.skip("this Blender enters tweak mode through the NLA Editor only")
    for kind in ("basis", "keys"):
        with pytest.raises(HiSTalkError, match="tweak mode.*Tab in the NLA Editor"):
            check(obj, BakeSettings(kind=kind))
    assert bake(obj, motion, kind="cache", cache=tmp_path).frames


# Linked and overridden heads, in real files.


@pytest.fixture
def library(head, tmp_path):
    """A file with a character's head in a collection, and an action for its keys."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    obj = add_head(head, units=True)
    collection = bpy.data.collections.new("Character")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(obj)
    bpy.context.scene.collection.objects.unlink(obj)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "character.blend"))
    yield tmp_path / "character.blend"
    bpy.ops.wm.read_factory_settings(use_empty=True)


def link(library, how):
    """A shot with the linked head; `how` it was made the shot's own."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    shot = library.with_name("shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    whole = how in ("system override", "full override")
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.collections, wanted.objects = (["Character"], []) if whole else ([], ["HiSTalk Head"])
    scene = bpy.context.scene
    if whole:
        (collection,) = wanted.collections
        scene.collection.children.link(collection)
        collection.override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=how == "full override")
        return next(obj for obj in bpy.data.objects if obj.override_library)
    (linked,) = wanted.objects
    if how == "linked":
        scene.collection.objects.link(linked)
        return linked
    if how == "local object":
        obj = linked.copy()
    else:
        obj = linked.override_create()
        if how == "object and mesh":
            obj.data = obj.data.override_create()
    scene.collection.objects.link(obj)
    return obj


def again(library):
    """The shot, saved and opened anew."""
    shot = library.with_name("shot.blend")
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(shot))
    return next(obj for obj in bpy.data.objects if obj.type == "MESH" and obj.library is None)


OWN = ("object only", "object and mesh", "system override", "full override", "local object")


@pytest.mark.parametrize("how", OWN)
def test_a_cache_plays_on_an_overridden_head_and_is_there_when_the_shot_is_opened_again(library, head, motion, how):
    obj = link(library, how)
    bake(obj, motion, kind="cache", start_frame=1)
    expected = head.vertices + motion.at_fps(24).displacements(9, 10)[0]
    np.testing.assert_allclose(seen(obj, 10), expected, atol=1e-5)
    obj = again(library)
    np.testing.assert_allclose(seen(obj, 10), expected, atol=1e-5)
    bake(obj, motion, kind="cache", start_frame=11)
    assert [modifier.type for modifier in obj.modifiers] == ["MESH_CACHE"], "none is stacked on the last"
    np.testing.assert_allclose(seen(obj, 20), expected, atol=1e-5)
    obj = again(library)
    assert has_bake(obj) and our_modifier(obj).frame_start == 11
    remove_bake(obj)
    assert not obj.modifiers
    np.testing.assert_allclose(seen(again(library), 20), head.vertices, atol=1e-6)


@pytest.mark.parametrize("how", OWN)
@pytest.mark.parametrize("kind", ["basis", "keys", "arkit"])
def test_keys_and_curves_that_would_be_lost_are_refused_and_the_cache_is_offered(library, motion, how, kind):
    obj = link(library, how)
    with pytest.raises(HiSTalkError, match="'character.blend'.*lost.*bake as a mesh cache"):
        bake(obj, motion, kind=kind)
    assert not bpy.data.actions and len(obj.data.shape_keys.key_blocks) == 53


def test_a_linked_head_is_told_how_to_become_the_shot_s_own(library, motion):
    obj = link(library, "linked")
    for kind in ("cache", "basis"):
        with pytest.raises(HiSTalkError, match="library override"):
            bake(obj, motion, kind=kind)


def test_the_panel_s_button_is_grey_for_what_would_be_lost_and_not_for_the_cache(blender, library, tmp_path):
    obj = link(library, "object only")
    bpy.context.view_layer.objects.active = obj
    blender.add_strip(frame=1)
    for kind in ("basis", "keys", "arkit"):
        obj.histalk.kind = kind
        assert "would be lost" in blender.why_grey()
    obj.histalk.kind = "cache"
    assert blender.why_grey() == ""
    blender.bake()
    assert "mesh cache" in obj.histalk.report


def test_a_linked_action_on_the_keys_is_refused_and_named(scene, head, motion, tmp_path):
    obj = add_head(head)
    action = keyed(obj).animation_data.action
    action.name = "Acting"
    bpy.data.libraries.write(str(tmp_path / "acting.blend"), {action})
    with bpy.data.libraries.load(str(tmp_path / "acting.blend"), link=True) as (_, wanted):
        wanted.actions = ["Acting"]
    obj.data.shape_keys.animation_data.action = wanted.actions[0]
    for kind in ("basis", "keys"):
        with pytest.raises(HiSTalkError, match="'Acting'.*linked from 'acting.blend'.*make it local"):
            bake(obj, motion, kind=kind)
    assert bake(obj, motion, kind="cache", cache=tmp_path).frames


def test_the_command_line_refuses_what_would_be_lost_before_it_listens(library, tmp_path, monkeypatch, capsys):
    from histalk_blender.cli import main as cli

    link(library, "object and mesh")
    bpy.ops.wm.save_mainfile()
    monkeypatch.setattr("histalk_blender.cli.common.predict_file", lambda *_, **__: pytest.fail("it listened"))
    out = tmp_path / "out.blend"
    with pytest.raises(SystemExit) as left:
        cli.main(["bake", str(SPEECH), "--out", str(out), "--shot", str(library.with_name("shot.blend"))])
    assert left.value.code == 2 and "bake as a mesh cache" in capsys.readouterr().err and not out.exists()


def test_a_batch_row_on_an_overridden_head_fails_with_keys_and_moves_with_a_cache(
    library, tmp_path, stored_performance
):
    link(library, "object and mesh")
    bpy.ops.wm.save_mainfile()
    job = Job(audio=SPEECH, name="line", shot=library.with_name("shot.blend"), outputs=("abc",), bake="basis")
    with pytest.raises(HiSTalkError, match="bake as a mesh cache"):
        write_outputs(job, stored_performance, tmp_path)
    write_outputs(replace(job, bake="cache"), stored_performance, tmp_path)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.alembic_import(filepath=str(tmp_path / "line.abc"), as_background_job=False)
    (obj,) = [obj for obj in bpy.data.objects if obj.type == "MESH"]
    assert max(np.abs(seen(obj, frame) - seen(obj, 1)).max() for frame in range(10, 60, 10)) > 1e-3
