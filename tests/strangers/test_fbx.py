"""FBX whose shape keys move when it is read again, by both of Blender's importers."""

import addon_utils
import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.bake import bake, build_scene, export
from histalk_blender.bake.scene import add_head
from histalk_blender.errors import HiSTalkError

START = 11  # scene frame of the sound and of the motion's first
SEEN = (0, 17, 39)  # motion frames that are compared


def old_importer(path):
    addon_utils.enable("io_scene_fbx", default_set=True)
    bpy.ops.import_scene.fbx(filepath=str(path))


def new_importer(path):
    bpy.ops.wm.fbx_import(filepath=str(path))


@pytest.fixture(scope="module")
def motion(spoken):
    return spoken.between(20, 60)


@pytest.fixture
def baked(scene, head, motion):
    def make(fps=30.0):
        obj = build_scene(head, SPEECH, len(motion.at_fps(fps)), START, fps, units=True)
        bake(obj, motion, kind="arkit", start_frame=START)
        return obj

    return make


def shown(obj, frame):
    """[V, 3] in the world."""
    bpy.context.scene.frame_set(frame)
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    out = np.empty(len(evaluated.data.vertices) * 3, np.float32)
    evaluated.data.vertices.foreach_get("co", out)
    world = np.array(evaluated.matrix_world)
    return out.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]


def read_back(path, importer, fps=30, base=1.0):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = fps, base
    importer(path)
    (obj,) = bpy.data.objects
    return obj


def all_blocks():
    data = (
        bpy.data.objects,
        bpy.data.meshes,
        bpy.data.shape_keys,
        bpy.data.actions,
        bpy.data.scenes,
        bpy.data.materials,
    )
    return [[block.name for block in blocks] for blocks in data]


@pytest.mark.parametrize(
    "importer, fps, rate",
    [(old_importer, 30.0, (30, 1.0)), (new_importer, 24.0, (24, 1.0)), (new_importer, 24 / 1.001, (24, 1.001))],
)
def test_every_vertex_of_every_frame_comes_back(baked, motion, tmp_path, importer, fps, rate):
    """Frame 1, where the importers put time 0, is where the sound begins. The old one takes 23.976 for 24."""
    obj = baked(fps)
    frames = [i for i in SEEN if i < len(motion.at_fps(fps))] + [len(motion.at_fps(fps)) - 1]
    before, seen = all_blocks(), [shown(obj, START + i) for i in frames]
    bpy.context.scene.frame_set(14)
    export(obj, tmp_path / "head.fbx", START, START + len(motion.at_fps(fps)) - 1)
    assert all_blocks() == before and bpy.context.scene.frame_current == 14
    assert bpy.context.view_layer.objects.active == obj and bpy.context.scene.frame_start == START
    back = read_back(tmp_path / "head.fbx", importer, *rate)
    assert back.name == "HiSTalk Head" and len(back.data.shape_keys.key_blocks) == 53
    assert bpy.context.scene.render.fps / bpy.context.scene.render.fps_base == pytest.approx(fps, abs=1e-3)
    np.testing.assert_allclose([shown(back, 1 + i) for i in frames], seen, atol=1e-5)
    assert np.abs(seen[1] - seen[0]).max() > 2e-3, "it moves"
    assert sorted(m.name for m in back.data.materials) == before[-1]


def test_a_head_on_a_moving_parent_with_a_driven_key_is_written_as_it_is_seen(baked, motion, tmp_path):
    obj = baked()
    parent = bpy.data.objects.new("Neck", None)
    bpy.context.scene.collection.objects.link(parent)
    obj.parent, obj.scale = parent, (2, 2, 2)
    for frame, turn in ((START, 0.0), (START + 39, 0.8)):
        parent.rotation_euler.z = turn
        parent.location.z = turn
        parent.keyframe_insert("rotation_euler", frame=frame)
        parent.keyframe_insert("location", frame=frame)
    driver = obj.data.shape_keys.key_blocks["eyeBlinkLeft"].driver_add("value").driver
    driver.type, driver.expression = "SCRIPTED", "frame / 100"
    obj.data.shape_keys.key_blocks["eyeBlinkRight"].value = 0.75  # stands
    seen = [shown(obj, START + i) for i in SEEN]
    export(obj, tmp_path / "head.fbx", START, START + 39)
    assert obj.data.shape_keys.animation_data.drivers and obj.parent == parent
    back = read_back(tmp_path / "head.fbx", new_importer)
    np.testing.assert_allclose([shown(back, 1 + i) for i in SEEN], seen, atol=2e-5)


def test_a_scene_in_centimetres_and_a_half_range(baked, tmp_path):
    obj = baked()
    bpy.context.scene.unit_settings.scale_length = 0.01
    seen = [shown(obj, frame) for frame in (20, 30)]
    export(obj, tmp_path / "head.fbx", 20, 30)
    back = read_back(tmp_path / "head.fbx", new_importer)
    got = [shown(back, frame) for frame in (1, 11)]
    size = np.ptp(got[0], axis=0) / np.ptp(seen[0], axis=0)  # the reader's unit is the metre
    np.testing.assert_allclose(np.array(got) / size.mean(), seen, atol=1e-4)


def test_a_head_that_rests_is_refused_and_nothing_is_left(scene, head, tmp_path):
    obj = add_head(head, units=True)
    with pytest.raises(HiSTalkError, match="No ARKit shape key of 'HiSTalk Head' is animated, which 'head.fbx' needs"):
        export(obj, tmp_path / "head.fbx", 1, 10)
    assert not list(tmp_path.iterdir())
