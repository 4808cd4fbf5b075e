"""Point caches: what is in the files, what Blender plays of them, and what failing leaves behind."""

import os
import struct
import tracemalloc
from dataclasses import replace

import bpy
import numpy as np
import pytest

from histalk_blender.bake import add_head
from histalk_blender.errors import HiSTalkError
from histalk_blender.motion.point_cache import write_mdd, write_pc2

WRITERS = {"PC2": write_pc2, "MDD": write_mdd}


@pytest.fixture(scope="module")
def motion(spoken):
    return spoken.between(20, 60)


def test_a_pc2_holds_every_frame(head, motion, tmp_path):
    data = write_pc2(tmp_path / "a.pc2", head.vertices, motion).read_bytes()
    assert struct.unpack("<12sIIffI", data[:32]) == (b"POINTCACHE2\0", 1, len(head.vertices), 0.0, 1.0, len(motion))
    positions = np.frombuffer(data[32:], "<f4").reshape(len(motion), -1, 3)
    np.testing.assert_array_equal(positions, (head.vertices + motion.displacements()).astype(np.float32))


def test_an_mdd_holds_every_frame_and_its_seconds(head, motion, tmp_path):
    slower = motion.at_fps(24)
    data = write_mdd(tmp_path / "a.mdd", head.vertices, slower).read_bytes()
    assert struct.unpack(">ii", data[:8]) == (len(slower), len(head.vertices)) and len(slower) == 32
    numbers = np.frombuffer(data[8:], ">f4")
    np.testing.assert_allclose(numbers[:32], np.arange(32) / 24, rtol=1e-6)
    expected = (head.vertices + slower.displacements()).astype(np.float32)
    np.testing.assert_array_equal(numbers[32:].reshape(32, -1, 3), expected)


def test_blender_plays_both_alike(head, motion, tmp_path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    played = {}
    for kind, write in WRITERS.items():
        path = tmp_path / f"a.{kind.lower()}"
        os.replace(write(path, head.vertices, motion), path)
        obj = add_head(head)
        modifier = obj.modifiers.new("Cache", "MESH_CACHE")
        modifier.cache_format, modifier.filepath, modifier.frame_start = kind, str(path), 1
        frames = []
        for i in (0, 17, 39):
            bpy.context.scene.frame_set(1 + i)
            mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
            frames.append(np.empty(len(mesh.vertices) * 3, np.float32))
            mesh.vertices.foreach_get("co", frames[-1])
        played[kind] = np.reshape(frames, (3, -1, 3))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    # Whatever is not 32 bits of the same number would be an axis or a frame off, which is millimetres.
    np.testing.assert_allclose(played["MDD"], played["PC2"], atol=1e-7)
    np.testing.assert_allclose(played["MDD"], head.vertices + motion.displacements()[[0, 17, 39]], atol=1e-6)


@pytest.mark.parametrize("kind", WRITERS)
def test_frames_are_never_held_whole(head, motion, tmp_path, kind):
    long = replace(motion, weights=np.tile(motion.weights, (64, 1)))
    tracemalloc.start()
    part = WRITERS[kind](tmp_path / "a", head.vertices, long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert part.stat().st_size > 150e6 and peak < 80e6
    part.unlink()


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", WRITERS)
def test_failing_leaves_no_file_and_the_old_one_whole(head, motion, tmp_path, kind):
    path = tmp_path / "a.cache"
    path.write_bytes(b"old")

    def stop(share):
        raise Stop

    with pytest.raises(Stop):
        WRITERS[kind](path, head.vertices, motion, stop)
    with pytest.raises(HiSTalkError, match=r"a.cache/b' cannot be written \(Not a directory\)"):
        WRITERS[kind](path / "b", head.vertices, motion)
    with pytest.raises(HiSTalkError, match=r"none/a' cannot be written \(No such file"):
        WRITERS[kind](tmp_path / "none" / "a", head.vertices, motion)
    assert [p.name for p in tmp_path.iterdir()] == ["a.cache"] and path.read_bytes() == b"old"
    assert WRITERS[kind](path, head.vertices, motion).parent == tmp_path
