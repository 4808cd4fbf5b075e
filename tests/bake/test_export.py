"""Alembic, USD and glTF: read back by Blender's own importers, the head moves as it did."""

import json
import resource
import shutil
import struct
from types import SimpleNamespace

import addon_utils
import bpy  # before addon_utils, which it brings
import numpy as np
import pytest
from assets import SPEECH
from mathutils.kdtree import KDTree

from histalk_blender.bake import bake, build_scene, export
from histalk_blender.errors import HiSTalkError

GLTF = "io_scene_gltf2"  # the add-on that writes and reads it
START = 11  # scene frame of the motion's first
SEEN = (0, 17, 39)  # motion frames that are compared


@pytest.fixture(scope="module")
def motion(spoken):
    return spoken.between(20, 60)


@pytest.fixture
def baked(head, motion, tmp_path):
    """A function: the head's object with a bake of one kind, from START on."""

    def make(kind, fps=30.0):
        frames = len(motion.at_fps(fps))
        obj = build_scene(head, SPEECH, frames, start_frame=START, fps=fps, units=kind == "arkit")
        bake(obj, motion, kind=kind, start_frame=START, cache=tmp_path)
        return obj

    yield make
    bpy.ops.wm.read_factory_settings(use_empty=True)


def shown(obj, frame):
    """[V, 3] the evaluated vertices in the world."""
    bpy.context.scene.frame_set(frame)
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    out = np.empty(len(evaluated.data.vertices) * 3, np.float32)
    evaluated.data.vertices.foreach_get("co", out)
    world = np.array(evaluated.matrix_world)
    return out.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]


def read_back(path, fps=30, base=1.0):
    """The one mesh of a file, in a new scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = fps, base
    if path.suffix == ".abc":
        bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False)
    elif path.suffix.startswith(".usd"):
        bpy.ops.wm.usd_import(filepath=str(path))
    else:
        addon_utils.enable(GLTF, default_set=True)
        bpy.ops.import_scene.gltf(filepath=str(path))
    assert not [o for o in bpy.data.objects if o.type in ("CAMERA", "LIGHT")]
    (obj,) = [o for o in bpy.data.objects if o.type == "MESH"]
    return obj


@pytest.mark.parametrize("kind", ["cache", "keys", "basis", "arkit"])
@pytest.mark.parametrize("suffix", [".abc", ".usdc"])
def test_every_vertex_comes_back(baked, head, motion, tmp_path, suffix, kind):
    obj = baked(kind)
    expected = [shown(obj, START + i) for i in SEEN]
    if kind != "arkit":  # whose units show the motion only nearly
        np.testing.assert_allclose(expected, head.vertices + motion.displacements()[list(SEEN)], atol=1.1e-4)
    path = tmp_path / f"head{suffix}"
    export(obj, path, START, START + len(motion) - 1)
    back = read_back(path)
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end) == (START, START + len(motion) - 1)
    # Both formats hold 32 bits, 1e-7 a metre off the origin; Alembic's axes are turned there and back.
    np.testing.assert_allclose([shown(back, START + i) for i in SEEN], expected, atol=1e-6)
    assert len(back.data.polygons) == len(head.faces)


@pytest.mark.parametrize("suffix", [".abc", ".usda", ".usd"])
def test_a_film_s_rate_and_a_part_of_the_range(baked, tmp_path, suffix):
    obj = baked("basis", fps=24 / 1.001)
    expected = [shown(obj, frame) for frame in (15, 20)]
    export(obj, tmp_path / f"head{suffix}", 15, 20)
    back = read_back(tmp_path / f"head{suffix}", 24, 1.001)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (15, 20)
    np.testing.assert_allclose([shown(back, frame) for frame in (15, 20)], expected, atol=1e-6)
    np.testing.assert_array_equal(shown(back, 30), shown(back, 20))


def weights(obj, frames):
    """[frames, 52] values of the shape keys but the first, and their names."""
    keys, values = obj.data.shape_keys.key_blocks[1:], []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        values.append([key.value for key in keys])
    return np.array(values), [key.name for key in keys]


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_gltf_plays_the_same_weights(baked, head, motion, tmp_path, suffix):
    obj = baked("arkit")
    before, names = weights(obj, range(START, START + len(motion)))
    expected = [shown(obj, START + i) for i in SEEN]
    export(obj, tmp_path / f"head{suffix}", START, START + len(motion) - 1)
    assert not list(tmp_path.glob("*.bin"))
    back = read_back(tmp_path / f"head{suffix}")
    after, again = weights(back, range(len(motion)))
    assert again == names and np.ptp(before) > 0.1
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert [m.name for m in back.data.materials] == [name for name, _ in head.materials]
    # glTF splits vertices along the materials' borders, so each is compared with those that rest where it does.
    rest = KDTree(len(head.vertices))
    for i, position in enumerate(head.vertices):
        rest.insert(position, i)
    rest.balance()
    same = [[i for _, i, _ in rest.find_range(v.co, 1e-6)] for v in back.data.vertices]
    for i, positions in zip(SEEN, expected):
        # 52 deltas of 32 bits are added up here and there.
        assert (
            max(
                min(np.abs(positions[j] - position).max() for j in twins)
                for position, twins in zip(shown(back, i), same)
            )
            < 1e-6
        )


def test_gltf_keeps_the_time_at_a_film_s_rate(baked, tmp_path):
    """The exporter itself errs by 0.2 % at 23.976 frames a second."""
    export(baked("arkit", fps=24 / 1.001), tmp_path / "head.glb", START, START + 30)
    assert bpy.context.scene.render.fps_base == pytest.approx(1.001)
    data = (tmp_path / "head.glb").read_bytes()
    document = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])
    (animation,) = document["animations"]
    times = document["accessors"][animation["samplers"][0]["input"]]
    assert times["count"] == 31 and times["min"] == [0] and times["max"] == [pytest.approx(30 * 1.001 / 24, abs=1e-6)]


def state():
    scene, layer = bpy.context.scene, bpy.context.view_layer
    return (
        {o.name for o in bpy.context.selected_objects},
        layer.objects.active.name,
        scene.frame_current,
        scene.frame_start,
        scene.frame_end,
        addon_utils.check(GLTF),
        scene.render.fps_base,
    )


@pytest.mark.parametrize("suffix", [".abc", ".usdc", ".glb"])
def test_only_the_head_is_written_and_the_scene_stays(baked, tmp_path, suffix):
    obj = baked("arkit")
    bpy.ops.mesh.primitive_cube_add()
    bpy.data.objects["Camera"].select_set(True)
    bpy.context.scene.frame_set(14)
    addon_utils.disable(GLTF, default_set=True)
    before = state()
    export(obj, tmp_path / f"head{suffix}", START, START + 2)
    assert state() == before
    assert read_back(tmp_path / f"head{suffix}").name.startswith("HiSTalk")


@pytest.mark.parametrize("suffix", [".usdc", ".glb"])
def test_equal_scenes_make_equal_files(baked, tmp_path, suffix):
    for name in ("one", "two"):
        export(baked("arkit"), tmp_path / f"{name}{suffix}", START, START + 9)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_what_cannot_be_exported_is_refused_and_nothing_is_left(baked, tmp_path):
    obj = baked("basis")
    cases = [
        ("head.obj", 1, 2, "'head.obj' is no format.*\\.abc"),
        ("head", 1, 2, "'head' is no format"),
        ("head.abc", 2, 1, "no frames"),
        ("file/head.usdc", 1, 2, "file' is no folder"),
        ("none/head.glb", 1, 2, "none' is no folder"),
        ("folder.abc", 1, 2, "folder.abc' cannot be written .Is a directory"),
        ("head.glb", 1, 2, "no shape keys with ARKit names.*bake ARKit curves"),
    ]
    (tmp_path / "file").touch()
    (tmp_path / "folder.abc").mkdir()
    before = state()
    for name, first, last, says in cases:
        with pytest.raises(HiSTalkError, match=says):
            export(obj, tmp_path / name, first, last)
    obj.hide_set(True)
    with pytest.raises(HiSTalkError, match="'HiSTalk Head' is hidden"):
        export(obj, tmp_path / "head.abc", 1, 2)
    obj.hide_set(False)
    assert state()[1:] == before[1:] and sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.abc"]


def test_a_bake_that_nobody_would_see_is_refused(baked, tmp_path):
    """Blender itself would write a head at rest and say nothing."""
    obj = baked("cache")
    next(tmp_path.glob("*.pc2")).unlink()
    with pytest.raises(HiSTalkError, match=r"'head.usdc' would not show the bake: The cache '.*\.pc2' is missing"):
        export(obj, tmp_path / "head.usdc", 1, 10)
    assert not list(tmp_path.iterdir())


def test_arkit_keys_that_rest_are_refused(head, tmp_path):
    obj = build_scene(head, SPEECH, 10, units=True)
    with pytest.raises(HiSTalkError, match="No ARKit shape key of 'HiSTalk Head' is animated"):
        export(obj, tmp_path / "head.gltf", 1, 10)


@pytest.mark.parametrize("suffix", [".usdc", ".usda", ".glb", ".fbx"])
def test_a_full_disk_leaves_the_old_file(baked, tmp_path, suffix):
    obj, path = baked("arkit"), tmp_path / f"head{suffix}"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(HiSTalkError, match="cannot be written .*(full|too large)[^\n]*$"):
            export(obj, path, START, START + 9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"old"


def test_what_would_not_fit_is_refused_before(baked, tmp_path, monkeypatch):
    """On a full disk Alembic's writer would end this process."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=30e6))
    obj = baked("basis")
    export(obj, tmp_path / "head.abc", 1, 10)
    for suffix in (".abc", ".usdc"):
        with pytest.raises(HiSTalkError, match="needs .* MB, 30 are free"):
            export(obj, tmp_path / f"long{suffix}", 1, 1000)
    assert [p.name for p in tmp_path.iterdir()] == ["head.abc"]
