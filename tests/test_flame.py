"""Our motion on FLAME's topology; a stand-in made from our own head serves where no FLAME head may ship."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import lip_opening
from histalk_blender.head.topologies.flame import PRESSES, VERTICES, FlameTopology, load_flame_map
from histalk_blender.training.teacher.coarticulation import arkit_track

SAMPLE = Path(__file__).parents[2] / "shared" / "flame" / "flame_topology.npz"
TOOLS = Path(__file__).parents[1] / "tools"
WEIGHTS = TOOLS.parent / "model_weights" / "histalk-small.safetensors"
ENV = {**os.environ, "PYTHONPATH": str(TOOLS.parent)}
BABA = [("SIL", 0, 0.3), ("AA", 0.3, 0.5), ("P", 0.5, 0.62), ("AA", 0.62, 0.8), ("M", 0.8, 0.95), ("SIL", 0.95, 1.3)]


VOWELS = ("AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW", "AY", "OW")


def sample(part="vertices"):
    if not SAMPLE.exists():
        pytest.skip("no FLAME head beside this checkout")
    return np.load(SAMPLE)[part]


def shaped(vertices, shape):
    """The sample head wider, or with the small lower face of a child."""
    centre = vertices[load_flame_map().landmarks[27]]
    out = vertices - centre
    if shape == "wide":
        return out * [1.25, 1, 1]
    return 0.8 * np.where(out[:, 1:2] < 0, out * [0.9, 0.8, 0.85], out * 1.05)


@pytest.fixture(params=["stand-in", "sample", "wide", "child"])
def flame(request, head):
    if request.param == "sample":
        return sample()
    if request.param != "stand-in":
        return shaped(sample(), request.param)
    vertices = load_flame_map().read(head.vertices)
    vertices[load_flame_map().eyes] = head.vertices[head.regions["eye_left"]].mean(0)
    return vertices


def opening(vertices):
    return lip_opening(vertices[..., load_flame_map().landmarks, :])


def posed(flame, head, tracks):
    """A FLAME head [T, 5023, 3] in each row of unit weights [T, 52]."""
    return flame + np.tensordot(tracks, FlameTopology().carry(head.blendshape_deltas(), flame), 1)


def test_lips_open_on_vowels(flame, head):
    scale = FlameTopology().pose(flame).scale
    gap = opening(posed(flame, head, arkit_track(BABA, 1.3)))
    assert gap.max() > opening(flame) + 0.008 * scale


@pytest.mark.parametrize("phone", ["P", "B", "M"])
def test_lips_close_between_any_two_vowels(phone, flame, head):
    pose = FlameTopology().pose(flame)
    pairs = list(product(VOWELS, VOWELS))
    around = [[("SIL", 0, 0.2), (a, 0.2, 0.4), (phone, 0.4, 0.49), (b, 0.49, 0.7), ("SIL", 0.7, 1)] for a, b in pairs]
    tracks = np.stack([arkit_track(phones, 1.0)[12:15] for phones in around])
    units = FlameTopology().carry(head.blendshape_deltas(), flame)[:, load_flame_map().landmarks] / pose.scale
    moved = np.tensordot(tracks, units, 1)
    rest = flame[load_flame_map().landmarks] / pose.scale
    off = np.abs(lip_opening(rest + moved) - lip_opening(rest))
    best = off.argmin(1)
    row = np.arange(len(pairs))
    assert off[row, best].max() < 0.0004, pairs[off[row, best].argmax()]
    # Distance alone does not tell lips that part from lips that pass each other.
    up = moved[row, best] @ pose.rotation[:, 2]
    assert (up[:, [61, 62, 63]] - up[:, [67, 66, 65]]).max() < 0.0005


def test_eyeballs_and_scalp_stay_still(flame, head):
    motion = FlameTopology().carry(head.pose(arkit_track(BABA, 1.3)), flame)
    assert not motion[:, load_flame_map().eyes].any()
    up = flame @ FlameTopology().pose(flame).rotation[:, 2]
    assert np.abs(motion[:, up > up[load_flame_map().landmarks[19]] + 0.06]).max() < 0.0005


def test_motion_follows_the_size_and_turn_of_the_head(flame, head):
    motion = head.pose(arkit_track(BABA, 1.3))
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)
    expected = 2 * FlameTopology().carry(motion, flame) @ turn.T
    np.testing.assert_allclose(FlameTopology().carry(motion, 2 * flame @ turn.T + 5), expected, atol=2e-5)


def test_shuffled_vertices_are_refused_with_the_reason(flame, head):
    shuffled = np.random.default_rng(0).permutation(flame)
    with pytest.raises(HiSTalkError, match="vertex order is not a FLAME head's"):
        FlameTopology().pose(shuffled)
    with pytest.raises(HiSTalkError, match="100 vertices where a FLAME head has 5023"):
        FlameTopology().pose(flame[:100])
    assert len(flame) == VERTICES


def test_no_triangle_turns_over_or_creases_on_the_sample_head(head, spoken):
    flame, faces = sample().astype(np.float64), sample("faces")

    def unit(**weights):
        return np.array([weights.get(name, 0.0) for name in ARKIT_BLENDSHAPES])

    def normals(points):
        a, b, c = (points[faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    def folded(points):
        """Triangles that face against those around them."""
        own = normals(points)
        at = np.zeros_like(points)
        for corner in faces.T:
            np.add.at(at, corner, own)
        return np.einsum("ij,ij->i", at[faces].sum(1) - 3 * own, own) < 0

    rest, creased = normals(flame), folded(flame)

    def count(motion):
        shapes = flame + motion
        turned = max((np.einsum("ij,ij->i", normals(shape), rest) < 0).sum() for shape in shapes)
        return turned, max((folded(shape) & ~creased).sum() for shape in shapes)

    rules = arkit_track([*BABA, ("UW", 1.3, 1.5), ("F", 1.5, 1.6), ("IY", 1.6, 1.8)], 1.8)
    network = np.tensordot(spoken.weights[::3], FlameTopology().carry(spoken.shapes, flame), 1)
    for motion in (FlameTopology().carry(head.pose(rules), flame), network):
        assert count(motion) == (0, 0)
    # FLAME has slivers of less than 1 mm² folded between the lips at their corners.
    wide = [unit(jawOpen=1), unit(mouthSmileLeft=1, mouthSmileRight=1, jawOpen=0.2), unit(mouthPucker=1)]
    turned, folds = count(FlameTopology().carry(head.pose(np.array(wide)), flame))
    assert turned == 0 and folds <= 1


def test_composing_smooths_about_the_mouth_only(head):
    flame = load_flame_map()
    straight, smooth = flame.read(head.blendshape_deltas()), flame.compose(head.blendshape_deltas())
    still = np.setdiff1d(np.arange(VERTICES), flame.mouth)
    np.testing.assert_array_equal(smooth[:, still], straight[:, still])
    np.testing.assert_allclose(flame.mouth_weights.sum(1), 1, atol=1e-5)
    assert np.abs(flame.mouth_weights).sum(1).max() < 5  # little to make noise louder with
    off = np.linalg.norm(smooth - straight, axis=-1)[ARKIT_BLENDSHAPES.index("jawOpen"), flame.mouth]
    assert off.max() < 0.008 and np.median(off) < 0.001


def test_composing_eases_presses_and_nothing_else(head):
    flame = load_flame_map()
    eased = flame.compose(head.blendshape_deltas())
    smooth = np.einsum("umkc,mk->umc", head.blendshape_deltas()[:, flame.mouth_corners], flame.mouth_weights)
    off = np.abs(eased[:, flame.mouth] - smooth).max((1, 2))
    pressing = np.array([name in PRESSES for name in ARKIT_BLENDSHAPES])
    assert off[pressing].min() > 0.001 and off[~pressing].max() < 0.0002


def test_mixes_of_units_move_as_the_solved_ones_and_the_rest_is_composed(head):
    flame = load_flame_map()
    weights = arkit_track(BABA, 1.3)
    mixed = np.tensordot(weights, flame.units.astype(np.float32), 1)
    np.testing.assert_allclose(flame.move(head.pose(weights))[:, flame.moved], mixed, atol=1e-5)
    noise = np.random.default_rng(0).normal(size=head.vertices.shape).astype(np.float32) * 0.001
    units = head.blendshape_deltas().reshape(len(ARKIT_BLENDSHAPES), -1)
    unexplained = noise - (noise.ravel() @ np.linalg.pinv(units) @ units).reshape(noise.shape)
    np.testing.assert_allclose(flame.move(unexplained), flame.compose(unexplained), atol=1e-5)


def test_the_bundled_weights_are_composed_with_the_bundled_map():
    with safe_open(WEIGHTS, "np") as file:
        ours, theirs = (file.get_tensor(f"outputs.{name}.basis").astype(np.float32) for name in ("histalk", "flame"))
    # Half precision of numbers up to 0.5 cm.
    np.testing.assert_allclose(theirs, load_flame_map().move(ours), atol=5e-6)


def test_composing_changes_the_flame_output_only(tmp_path):
    with safe_open(WEIGHTS, "np") as file:
        notes, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    right = state["outputs.flame.basis"]
    pytest.importorskip("torch", reason="no torch for this Python here")
    from histalk_blender.network import HiSTalkConfig

    path = tmp_path / "weights.safetensors"
    save_file({**state, "outputs.flame.basis": np.zeros_like(right)}, path, metadata=notes)
    subprocess.run([sys.executable, TOOLS / "compose_flame.py", path], check=True, cwd=TOOLS.parent, env=ENV)
    with safe_open(path, "np") as file:
        written = file.metadata()
        assert HiSTalkConfig.from_json(written.pop("config")) == HiSTalkConfig.from_json(notes.pop("config"))
        assert written == notes
        assert set(file.keys()) == set(state)
        for name, value in state.items():
            tolerance = 5e-6 if name == "outputs.flame.basis" else 0
            np.testing.assert_allclose(file.get_tensor(name), value, rtol=0, atol=tolerance)
