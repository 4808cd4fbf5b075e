"""Our motion on FLAME's topology; a stand-in made from our own head serves where no FLAME head may ship."""

from pathlib import Path

import numpy as np
import pytest

from histalk_blender.errors import HiSTalkError
from histalk_blender.flame import VERTICES, carry, load_flame_map, pose_of
from histalk_blender.training.teacher import unit_track

SAMPLE = Path(__file__).parents[2] / "shared" / "flame" / "flame_topology.npz"
BABA = [("SIL", 0, 0.3), ("AA", 0.3, 0.5), ("P", 0.5, 0.62), ("AA", 0.62, 0.8), ("M", 0.8, 0.95), ("SIL", 0.95, 1.3)]


def sample():
    if not SAMPLE.exists():
        pytest.skip("no FLAME head beside this checkout")
    return np.load(SAMPLE)["vertices"]


@pytest.fixture(params=["stand-in", "sample"])
def flame(request, head):
    if request.param == "sample":
        return sample()
    vertices = load_flame_map().read(head.vertices)
    vertices[load_flame_map().eyes] = head.vertices[head.regions["eye_left"]].mean(0)
    return vertices


def opening(vertices):
    marks = vertices[..., load_flame_map().landmarks, :]
    return np.linalg.norm(marks[..., [61, 62, 63], :] - marks[..., [67, 66, 65], :], axis=-1).mean(-1)


def test_lips_close_on_p_and_m_and_open_between(flame, head):
    moved = flame + carry(head.pose(unit_track(BABA, 1.3)), flame, head)
    gap, rest = opening(moved), opening(flame)
    for time in (0.56, 0.88):
        assert abs(gap[round(time * 30)] - rest) < 0.001
    assert gap.max() > rest + 0.008


def test_eyeballs_and_scalp_stay_still(flame, head):
    motion = carry(head.pose(unit_track(BABA, 1.3)), flame, head)
    assert not motion[:, load_flame_map().eyes].any()
    _, rotation = pose_of(flame, head)
    up = flame @ rotation[:, 2]
    assert np.abs(motion[:, up > up[load_flame_map().landmarks[19]] + 0.06]).max() < 0.0005


def test_motion_follows_the_size_and_turn_of_the_head(flame, head):
    motion = head.pose(unit_track(BABA, 1.3))
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)
    expected = 2 * carry(motion, flame, head) @ turn.T
    np.testing.assert_allclose(carry(motion, 2 * flame @ turn.T + 5, head), expected, atol=2e-5)


def test_shuffled_vertices_are_refused_with_the_reason(flame, head):
    shuffled = np.random.default_rng(0).permutation(flame)
    with pytest.raises(HiSTalkError, match="vertex order is not FLAME's"):
        pose_of(shuffled, head)
    with pytest.raises(HiSTalkError, match="100 vertices where FLAME has 5023"):
        pose_of(flame[:100], head)
    assert len(flame) == VERTICES


def test_no_triangle_turns_over_on_the_sample_head(head):
    if not SAMPLE.exists():
        pytest.skip("no FLAME head beside this checkout")
    data = np.load(SAMPLE)
    flame, faces = data["vertices"], data["faces"]
    moved = flame + carry(head.pose(unit_track(BABA, 1.3)), flame, head)

    def normals(points):
        a, b, c = (points[faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    rest = normals(flame)
    turned = [(np.einsum("ij,ij->i", normals(frame), rest) < 0).sum() for frame in moved]
    assert max(turned) < 0.01 * len(faces)
