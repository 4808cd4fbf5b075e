"""The bundled head: a human head whose lips close and whose jaw carries its teeth."""

import numpy as np
import pytest

from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import lip_opening, load_head


@pytest.fixture(scope="module")
def head():
    return load_head()


def posed(head, **units):
    weights = np.zeros((1, 52), np.float32)
    for name, weight in units.items():
        weights[0, ARKIT_BLENDSHAPES.index(name)] = weight
    return head.vertices + head.pose(weights)[0]


def test_it_is_the_size_of_a_head_and_looks_along_minus_y(head):
    size = np.ptp(head.vertices, axis=0)
    assert 0.25 < size[2] < 0.35 and 0.14 < size[0] < 0.25
    marks = head.landmarks(head.vertices)
    assert marks[30, 1] < marks[[36, 45], 1].min() < head.vertices[:, 1].mean()
    assert marks[16, 0] > 0 > marks[0, 0], "+X is the head's left"


def test_every_unit_moves_something_but_not_the_whole_head(head):
    moved = np.linalg.norm(head.blendshape_deltas(), axis=-1)
    assert (moved.max(1) > 5e-4).all()
    assert (moved.max(1) < 0.06).all()


def test_landmarks_are_symmetric(head):
    marks = head.landmarks(head.vertices) * [-1, 1, 1]
    mirror = [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        54,
        53,
        52,
        51,
        50,
        49,
        48,
        59,
        58,
        57,
        56,
        55,
        64,
        63,
        62,
        61,
        60,
        67,
        66,
        65,
    ]
    error = np.linalg.norm(marks[mirror] - head.landmarks(head.vertices), axis=1)
    assert error[17:].max() < 0.006


def test_the_jaw_opens_the_lips_and_mouth_close_brings_them_back(head):
    rest = lip_opening(head.landmarks(head.vertices))
    assert rest < 0.002
    assert lip_opening(head.landmarks(posed(head, jawOpen=1.0))) > 0.02
    for jaw in (0.25, 0.5, 1.0):
        closed = lip_opening(head.landmarks(posed(head, jawOpen=jaw, mouthClose=jaw)))
        assert closed < rest + 0.001


def test_lower_teeth_and_tongue_move_with_the_jaw_and_upper_teeth_do_not(head):
    jaw = head.blendshape_deltas()[ARKIT_BLENDSHAPES.index("jawOpen")]
    lower, upper = np.split(np.sort(head.regions["teeth"]), 2)
    assert head.vertices[lower, 2].mean() < head.vertices[upper, 2].mean()
    assert np.abs(jaw[upper]).max() == 0
    assert jaw[lower, 2].max() < -0.005
    assert jaw[head.regions["tongue"], 2].mean() < -0.01


def test_regions_lie_where_they_say(head):
    z = head.vertices[:, 2]
    assert z[head.regions["upper_face"]].min() > z[head.regions["lips"]].max()
    assert len(head.regions["lips"]) > 100
    assert set(head.regions["lips"]) <= set(head.regions["mouth_area"])


def test_landmarks_of_displacements_are_displacements_of_landmarks(head):
    moved = head.pose(np.eye(52, dtype=np.float32)[:4])
    expected = head.landmarks(head.vertices + moved) - head.landmarks(head.vertices)
    np.testing.assert_allclose(head.landmarks(moved), expected, atol=1e-6)


def test_a_wrong_file_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "head.npz"
    path.write_bytes(b"no head")
    with pytest.raises(HiSTalkError, match="is not a HiSTalk head"):
        load_head(path)
