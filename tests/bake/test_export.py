"""Other programs get the motion that Blender shows: each format is read again with Blender's own importer."""

import addon_utils
import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.bake import bake, build_scene
from histalk_blender.bake.export import GLTF, export
from histalk_blender.errors import HiSTalkError

FRAMES = 24


@pytest.fixture
def motion(spoken):
    return spoken.between(40, 40 + FRAMES)


@pytest.fixture(autouse=True)
def empty():
    yield
    bpy.ops.wm.read_factory_settings(use_empty=True)


def points(obj, frame):
    bpy.context.scene.frame_set(frame)
    seen = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    out = np.empty(len(seen.data.vertices) * 3, np.float32)
    seen.data.vertices.foreach_get("co", out)
    turn = np.array(seen.matrix_world)
    return out.reshape(-1, 3) @ turn[:3, :3].T + turn[:3, 3]


def read_again(path):
    """The one mesh of a file in an empty scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = 30
    if path.suffix == ".abc":
        bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False)
    elif path.suffix == ".glb":
        addon_utils.enable(GLTF)
        bpy.ops.import_scene.gltf(filepath=str(path))
    else:
        bpy.ops.wm.usd_import(filepath=str(path))
    (obj,) = (obj for obj in bpy.data.objects if obj.type == "MESH")
    return obj


@pytest.mark.parametrize("kind", ["cache", "basis", "arkit"])
@pytest.mark.parametrize("suffix", [".abc", ".usdc"])
def test_a_bake_of_any_kind_is_exported_as_it_plays(suffix, kind, motion, head, tmp_path):
    obj = build_scene(head, SPEECH, FRAMES, 11, units=kind == "arkit")
    bake(obj, motion, kind=kind, start_frame=11, cache=tmp_path)
    played = [points(obj, 11 + frame) for frame in (3, 20)]
    export(obj, tmp_path / f"a{suffix}", 11, 10 + FRAMES)
    assert bpy.context.scene.frame_start == 11 and not list(tmp_path.glob("*.part*"))
    again = read_again(tmp_path / f"a{suffix}")
    for frame, wanted in zip((3, 20), played):
        np.testing.assert_allclose(points(again, 11 + frame), wanted, atol=1e-5)


def test_gltf_plays_the_arkit_curves(motion, head, tmp_path):
    obj = build_scene(head, SPEECH, FRAMES, 1, units=True)
    bake(obj, motion, kind="arkit", start_frame=1)
    bpy.context.scene.frame_set(21)
    played = {key.name: key.value for key in obj.data.shape_keys.key_blocks[1:]}
    addon_utils.disable(GLTF)
    export(obj, tmp_path / "a.glb", 1, FRAMES)
    assert not addon_utils.check(GLTF)[1], "the exporter is off, as it was"
    again = read_again(tmp_path / "a.glb")
    keys = again.data.shape_keys.key_blocks
    assert {key.name for key in keys[1:]} == set(played) and max(played.values()) > 0.2
    first = again.data.shape_keys.animation_data.action.frame_range[0]
    bpy.context.scene.frame_set(round(first) + 20)
    for name, value in played.items():
        assert keys[name].value == pytest.approx(value, abs=0.01), name


def test_what_cannot_be_exported_is_named_and_leaves_nothing(motion, head, tmp_path):
    obj = build_scene(head, SPEECH, FRAMES)
    for path, said in (("a.obj", ".abc, .usd"), ("a.glb", "no ARKit shape keys"), ("gone/a.abc", "cannot be written")):
        with pytest.raises(HiSTalkError, match=said):
            export(obj, tmp_path / path, 1, FRAMES)
    assert not list(tmp_path.iterdir())
