"""Layers change a motion alike on the bundled head, on FLAME heads and on ARKit rigs."""

import numpy as np
import pytest

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.topologies.bundled import BundledTopology
from histalk_blender.head.topologies.flame import FlameTopology, load_flame_map
from histalk_blender.motion import layers
from histalk_blender.motion.layers import Layer, layered_weights
from histalk_blender.motion.style import Style

JAW, BLINK = ARKIT_BLENDSHAPES.index("jawOpen"), ARKIT_BLENDSHAPES.index("eyeBlinkLeft")


class Blinks(Layer):
    """The left eye is shut in every tenth frame."""

    def apply(self, motion, face, style):
        """See `Layer`."""
        shut = (np.arange(len(motion)) % 10 == 0).astype(np.float32)[:, None]
        return motion.plus(shut, face.blendshapes()[BLINK : BLINK + 1])


@pytest.fixture
def blinks(monkeypatch):
    monkeypatch.setattr(layers, "LAYERS", (*layers.LAYERS, Blinks()))


@pytest.fixture
def flame_head(head):
    """Vertices where FLAME has them on the bundled head."""
    return load_flame_map().read(head.vertices)


def test_a_style_of_defaults_changes_nothing(stored_performance, head):
    motion = stored_performance.retarget(BundledTopology(), head.vertices, Style())
    assert motion.weights is stored_performance.motion.weights
    weights = stored_performance.arkit_weights
    np.testing.assert_array_equal(layered_weights(weights, Style(), 30.0), weights)


def test_a_layer_of_one_s_own_moves_vertices_of_every_topology(stored_performance, head, flame_head, blinks):
    for topology, rest in ((BundledTopology(), head.vertices), (FlameTopology(), flame_head)):
        moved = stored_performance.retarget(topology, rest, Style())
        wanted = topology.retarget(head.blendshape_deltas()[BLINK])
        spoken = stored_performance.motion.on(stored_performance.outputs[topology.name]).displacements(0, 20)
        change = moved.displacements(0, 20) - spoken
        size = np.abs(change).max((1, 2))
        assert set(np.flatnonzero(size > 1e-3)) == {0, 10} and np.abs(wanted).max() > 1e-3
        assert np.isclose(size[0], np.abs(wanted).max(), rtol=0.1)  # a head of its own size on FLAME


def test_and_the_keys_of_an_arkit_rig(stored_performance, blinks):
    motion, _ = stored_performance.arkit_motion(Style())
    assert motion.weights[[0, 10, 20], BLINK].min() > 0.95
    before = stored_performance.arkit_weights
    np.testing.assert_allclose(motion.weights[1:9], before[1:9], atol=0.01)


def test_a_layer_sees_what_those_before_it_made(stored_performance, head, blinks):
    smoothed_first = layered_weights(stored_performance.arkit_weights, Style(smoothing=0.2), 30.0)
    assert smoothed_first[0, BLINK] == 1  # shut after smoothing, so not blurred


def test_strength_scales_what_it_names(stored_performance):
    weights = stored_performance.arkit_weights
    found = layered_weights(weights, Style(jaw=0.5), 30.0)
    np.testing.assert_allclose(found[:, JAW], 0.5 * weights[:, JAW], atol=1e-6)
    smile = ARKIT_BLENDSHAPES.index("mouthSmileLeft")
    np.testing.assert_allclose(found[:, smile], weights[:, smile], atol=1e-6)
