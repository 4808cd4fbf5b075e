"""Units carried from one mesh to another; our own head serves where no FLAME head may ship."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import INNER_LIP_PAIRS
from histalk_blender.head.topologies.flame import load_flame_map

pytest.importorskip("scipy", reason="no scipy for this Python here")
TOOLS = Path(__file__).parents[1] / "tools"
SAMPLE = TOOLS.parents[1] / "shared" / "flame" / "flame_topology.npz"


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)


@pytest.fixture
def skin(head):
    """Triangles, units [52, V, 3], which vertices move, and differences [3, V] across the inner lips."""
    from build_flame_map import triangles_of
    from scipy.sparse import csr_matrix

    parts = [head.regions[name] for name in ("eye_left", "eye_right", "teeth", "tongue", "lashes")]
    triangles = triangles_of(head.faces[~np.isin(head.faces[:, 0], np.concatenate(parts))])
    units = head.blendshape_deltas().astype(np.float64)
    free = np.intersect1d(np.unique(triangles), np.flatnonzero(np.abs(units).max((0, 2)) > 0))
    nearest = np.take_along_axis(head.landmark_vertices, head.landmark_barycentric.argmax(1)[:, None], 1)[:, 0]
    columns = nearest[np.array(INNER_LIP_PAIRS)]
    pairs = csr_matrix((np.tile([1.0, -1.0], 3), (np.repeat(range(3), 2), columns.ravel())), (3, len(head.vertices)))
    return triangles, units, free, pairs


def test_a_head_is_carried_to_itself_unchanged(head, skin):
    from deformation_transfer import deformation_gradients, transferred

    triangles, units, free, pairs = skin
    points = head.vertices.astype(np.float64)
    gradients = deformation_gradients(points, triangles, units)
    none = np.zeros((0, len(units)))
    same = transferred(points, triangles, gradients, free, pairs, none, np.zeros((len(units), 3, 3)))
    np.testing.assert_allclose(same[:, free], units[:, free], atol=1e-6)


def test_motion_grows_with_a_larger_head(head, skin):
    from deformation_transfer import deformation_gradients, transferred

    triangles, units, free, pairs = skin
    points = head.vertices.astype(np.float64)
    gradients = deformation_gradients(points, triangles, units)
    none = np.zeros((0, len(units)))
    larger = transferred(2 * points, triangles, gradients, free, pairs, none, np.zeros((len(units), 3, 3)))
    np.testing.assert_allclose(larger[:, free], 2 * units[:, free], atol=1e-6)


def test_lips_held_shut_meet_and_open_as_before(head, skin):
    from deformation_transfer import deformation_gradients, transferred

    triangles, units, free, pairs = skin
    points = head.vertices.astype(np.float64) * [1.2, 1.0, 0.8]
    gradients = deformation_gradients(head.vertices.astype(np.float64), triangles, units)
    jaw, close = ARKIT_BLENDSHAPES.index("jawOpen"), ARKIT_BLENDSHAPES.index("mouthClose")
    shut = np.zeros((1, len(units)))
    shut[0, [jaw, close]] = 0.4
    plain, held = (
        transferred(points, triangles, gradients, free, pairs, moments, np.zeros((len(units), 3, 3)))
        for moments in (shut[:0], shut)
    )
    apart = [np.abs(pairs @ np.tensordot(shut[0], moved, 1)).max() for moved in (plain, held)]
    assert apart[1] < 0.0001 < apart[0]
    assert np.linalg.norm(pairs @ held[jaw], axis=1).min() > 0.8 * np.linalg.norm(pairs @ plain[jaw], axis=1).min()


def test_folds_and_lips_that_run_through_each_other_are_counted():
    pytest.importorskip("torch", reason="no torch for this Python here")
    from compare_flame import Folds

    # Two triangles, one above the other.
    rest = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, 1], [0.5, 0.2, 1], [0.2, 0.5, 2]], float)
    lips = SimpleNamespace(mouth=np.arange(6), lips=np.arange(6))
    side = np.array([1, 1, 1, -1, -1, -1])
    pair = SimpleNamespace(triangles=np.arange(6).reshape(2, 3), rest=rest, map=lips, side=side)
    units = np.zeros((2, 6, 3))
    units[0, 3:, 2] = -1.5  # the second reaches through the first: two of its edges do
    units[1, 2, 1] = -3  # the first turns over, one corner going past the others
    turned, creased, crossed, strain = Folds(pair).count(units, np.array([[0.0, 0], [1, 0], [0, 1]])).T
    assert turned.tolist() == [0, 0, 1] and crossed.tolist() == [0, 2, 0]
    assert strain[0] == strain[1] == 0 < strain[2]


def test_the_bundled_units_are_those_solved_for_on_the_sample_head():
    if not SAMPLE.exists():
        pytest.skip("no FLAME head beside this checkout")
    from train_flame import solve

    with np.load(SAMPLE) as data:
        moved, units = solve(data["vertices"], data["faces"].astype(int))
    np.testing.assert_array_equal(moved, load_flame_map().moved)
    np.testing.assert_allclose(units, load_flame_map().units, atol=5e-5)
