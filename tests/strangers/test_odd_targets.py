"""What else may stand or be selected where a human-sized mesh head is expected."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest

from histalk_blender.addon import bake_job as job
from histalk_blender.addon import panel
from histalk_blender.bake import BakeSettings, bake_performance, check
from histalk_blender.bake.pipeline import compute
from histalk_blender.bake.shot import open_shot
from histalk_blender.bake.targets import check_object
from histalk_blender.errors import HiSTalkError

SIZES = {"in centimetres": 100.0, "a giant of 10 m": 40.0, "a doll": 0.05, "in kilometres": 1e-3, "in micrometres": 1e6}


def head_of(stage, head, topology, size):
    if topology == "flame":
        return stage.add_flame_head(head, size)
    return stage.add_mesh("Head", head.vertices * size)


@pytest.fixture(scope="module")
def keys_when_human():
    """Topology -> basis keys that the performance needs on a head of our size, filled by the first test that asks."""
    return {}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("topology", ["histalk", "flame"])
def test_a_head_of_any_size_takes_as_many_basis_keys(
    blender, head, stored_performance, keys_when_human, topology, size
):
    def made(size):
        plan = check(head_of(blender, head, topology, size), BakeSettings(kind="basis"))
        return compute(plan, stored_performance)

    if topology not in keys_when_human:
        keys_when_human[topology] = len(made(1.0).motion.shapes)
    found = made(size)
    assert abs(len(found.motion.shapes) - keys_when_human[topology]) <= 1 and keys_when_human[topology] > 4
    assert 0.01 < found.max_error_mm <= 0.1, "in the unit in which it was asked for"


@pytest.mark.parametrize("tolerance", [0.5, 0.1])
def test_what_is_seen_on_a_large_head_is_off_by_the_scaled_tolerance(
    blender, head, stored_performance, tmp_path, tolerance
):
    obj = head_of(blender, head, "histalk", 100.0)
    report = bake_performance(obj, stored_performance, BakeSettings(options={"tolerance": tolerance}))
    motion = stored_performance.motion.at_fps(24)
    frames = np.argsort(-np.linalg.norm(motion.displacements(), axis=2).max(1))[:8]
    off = max(
        np.linalg.norm(
            blender.vertices(obj, 1 + i) - 100 * (head.vertices + motion.displacements(i, i + 1)[0]), axis=1
        ).max()
        for i in frames.tolist()
    )
    assert off / 100 * 1000 <= report.max_error_mm + 1e-3 <= tolerance + 1e-3
    assert off / 100 * 1000 > report.max_error_mm / 10
    assert report.accuracy == f"at most {report.max_error_mm:.2f} mm off"


def test_the_panel_s_tolerance_is_that_of_a_human_sized_head(blender, head, stored_performance, monkeypatch):
    monkeypatch.setattr(job, "perform_clip", lambda samples, weights, device, progress: stored_performance)
    blender.add_strip()
    counts = []
    for size in (1.0, 100.0):
        obj = head_of(blender, head, "histalk", size)
        blender.bake(kind="basis")
        counts.append(len(obj.data.shape_keys.key_blocks))
    assert counts[0] == counts[1] > 5


def collection_of(*objects, name="Chars", in_scene=False):
    """Objects in a collection of their own, which the scene itself does not hold."""
    collection = bpy.data.collections.new(name)
    for obj in objects:
        for other in obj.users_collection:
            other.objects.unlink(obj)
        collection.objects.link(obj)
    if in_scene:
        bpy.context.scene.collection.children.link(collection)
    return collection


def add(name, data=None, shows=None):
    obj = bpy.data.objects.new(name, data)
    if shows:
        obj.instance_type, obj.instance_collection = "COLLECTION", shows
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    return obj


def why(obj):
    with pytest.raises(HiSTalkError) as found:
        check_object(obj)
    assert str(found.value).count("\n") == 0
    return str(found.value)


def test_a_collection_instance_names_the_head_in_it_and_the_way_to_it(blender):
    shown = add("Hero", shows=collection_of(blender.add_head()))
    said = blender.why_grey()
    assert said == why(shown)
    for word in ("'Hero' is an empty", "'Chars'", "'HiSTalk Head'", "Make Instances Real", "select that mesh"):
        assert word in said
    outer = add("Crowd", shows=collection_of(shown, name="Outer"))
    assert "'HiSTalk Head'" in why(outer), "an instance of an instance"
    assert "'Props', which holds no head" in why(add("Lamp", shows=collection_of(add("L"), name="Props")))


def test_the_way_that_a_collection_instance_is_told_works(blender, stored_performance, tmp_path):
    shown = add("Hero", shows=collection_of(blender.add_head()))
    shown.select_set(True)
    bpy.ops.object.duplicates_make_real()
    obj = next(one for one in bpy.context.scene.objects if one.type == "MESH")
    assert bake_performance(obj, stored_performance, BakeSettings()).keys > 4


def test_an_instance_of_a_collection_in_the_scene_sends_to_the_head_itself(blender):
    head = blender.add_head()
    said = why(add("Twin", shows=collection_of(head, in_scene=True)))
    assert "select the head 'HiSTalk Head' itself" in said and "Make Instances Real" not in said


def test_an_instance_of_another_file_is_to_be_overridden(blender, tmp_path):
    collection_of(blender.add_head(), in_scene=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "chars.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "chars.blend"), link=True) as (_, wanted):
        wanted.collections = ["Chars"]
    shown = add("Hero", shows=wanted.collections[0])
    assert "'HiSTalk Head' of another file: make it a library override" in why(shown) and "mesh cache" in why(shown)
    shown.select_set(True)
    assert bpy.ops.object.make_override_library() == {"FINISHED"}
    check_object(next(one for one in bpy.context.scene.objects if one.type == "MESH"))


@pytest.mark.parametrize("way", ["parent", "grandparent", "modifier", "constraint", "armature constraint"])
@pytest.mark.parametrize("kind", ["an empty", "an armature"])
def test_what_moves_a_head_names_it(blender, kind, way):
    blender.add_head().name = "Extra"
    head = blender.add_head()
    rig = add("Rig", bpy.data.armatures.new("Rig") if kind == "an armature" else None)
    if way == "parent":
        head.parent = rig
    elif way == "grandparent":
        head.parent = add("Between")
        head.parent.parent = rig
    elif way == "constraint":
        head.constraints.new("CHILD_OF").target = rig
    elif way == "armature constraint" and kind == "an armature":  # it takes no other target
        head.constraints.new("ARMATURE").targets.new().target = rig
    else:
        head.modifiers.new("Rig", "ARMATURE" if kind == "an armature" else "HOOK").object = rig
    assert why(rig) == f"'Rig' is {kind}, not a mesh: select the head 'HiSTalk Head'."


DATA = {
    "a text object": lambda data: data.curves.new("X", "FONT"),
    "a curve": lambda data: data.curves.new("X", "CURVE"),
    "a surface": lambda data: data.curves.new("X", "SURFACE"),
    "a camera": lambda data: data.cameras.new("X"),
    "a light": lambda data: data.lights.new("X", "POINT"),
    "a lattice": lambda data: data.lattices.new("X"),
    "a volume": lambda data: data.volumes.new("X"),
    "a metaball": lambda data: data.metaballs.new("X"),
    "a speaker": lambda data: data.speakers.new("X"),
    "a hair curves object": lambda data: data.hair_curves.new("X"),
    "a grease pencil object": lambda data: getattr(data, "grease_pencils_v3", data.grease_pencils).new("X"),
    "a light probe object": lambda data: data.lightprobes.new("X", "SPHERE"),
    "an empty": lambda data: None,
}


@pytest.mark.parametrize("kind", DATA)
def test_whatever_is_selected_the_head_is_named(blender, kind):
    obj = add("X", DATA[kind](bpy.data))
    assert why(obj) == f"'X' is {kind}, not a mesh: select the head."
    blender.add_head(units=True)
    bpy.context.view_layer.objects.active = obj
    assert blender.why_grey() == f"'X' is {kind}, not a mesh: select the head 'HiSTalk Head'."
    blender.add_creature().name = "Wolf"
    assert why(obj) == f"'X' is {kind}, not a mesh: select one of the heads 'HiSTalk Head', 'Wolf'."


def test_nothing_and_a_mesh_without_vertices_name_the_head(blender):
    assert why(None) == "No object is selected: select the head to bake on, or add one."
    head, nothing = blender.add_head(), blender.add_mesh("Nothing", np.empty((0, 3)))
    assert why(nothing) == "'Nothing' is a mesh without vertices of its own: select the head 'HiSTalk Head'."
    assert why(None) == "No object is selected: select the head 'HiSTalk Head'." and head


def test_the_panel_says_it(blender, monkeypatch):
    said = []
    monkeypatch.setattr(panel, "draw_sentence", lambda layout, context, text, icon="NONE": said.append(text))
    blender.add_head().parent = rig = add("Rig")
    for obj in (rig, None):
        bpy.context.view_layer.objects.active = obj
        panel._Main.draw(SimpleNamespace(layout=MagicMock()), bpy.context)
    assert said == [why(rig), why(None)]


def test_a_bake_on_a_mesh_that_was_emptied_since_can_be_removed(blender, stored_performance, tmp_path):
    obj = blender.add_head()
    bake_performance(obj, stored_performance, BakeSettings(kind="cache", cache=tmp_path / "a.pc2"))
    obj.data.clear_geometry()
    assert "without vertices" in blender.why_grey()
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"} and not obj.modifiers


def test_a_shot_names_heads_within_instances_and_below_a_named_rig(blender, tmp_path):
    add("Hero", shows=collection_of(blender.add_head()))
    add("Camera", bpy.data.cameras.new("Camera"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    for name in ("", "Hero", "HiSTalk Head"):
        with pytest.raises(HiSTalkError, match="'Hero' is an empty.*'Chars' with 'HiSTalk Head'.*Make Instances Real"):
            open_shot(tmp_path / "shot.blend", name)
    with pytest.raises(HiSTalkError, match="'Camera' is a camera, not a mesh: select 'Hero'"):
        open_shot(tmp_path / "shot.blend", "Camera")
    with pytest.raises(HiSTalkError, match="no object 'None' in its scene: its meshes are none"):
        open_shot(tmp_path / "shot.blend", "None")
