"""Basis keys are as few as a singular value decomposition of all frames and vertices needs, and as near as they say."""

from dataclasses import replace

import numpy as np
import pytest

from histalk_blender.bake.basis import basis_of
from histalk_blender.motion.motion import Motion


def by_decomposition(motion, tolerance_mm):
    """(keys, largest error in mm): of all frames and vertices at once, one shape more at a time."""
    whole = motion.displacements().reshape(len(motion), -1).astype(np.float64)
    left, values, right = np.linalg.svd(whole, full_matrices=False)
    for count in range(len(values) + 1):
        rest = whole - (left[:, :count] * values[:count]) @ right[:count]
        error = 1000 * np.linalg.norm(rest.reshape(len(motion), -1, 3), axis=2).max()
        if error <= tolerance_mm:
            return count, error


def motions(spoken):
    random = np.random.default_rng(0)
    part = spoken.between(20, 140)
    made = Motion(random.normal(0, 0.01, (150, 12)), random.normal(0, 0.1, (12, 300, 3)), 30.0)
    return {
        "speech": part,
        "as frames": Motion.of_frames(part.displacements()[::2], 30.0),
        "shapes twice": replace(part, weights=np.repeat(part.weights, 2, 1), shapes=np.repeat(part.shapes, 2, 0)),
        "nothing alike": replace(made, weights=made.weights.astype(np.float32), shapes=made.shapes.astype(np.float32)),
        "one frame": spoken.between(60, 61),
        "rest": replace(part, weights=0 * part.weights),
    }


@pytest.mark.parametrize("tolerance", [1.0, 0.1, 0.02])
@pytest.mark.parametrize("name", ["speech", "as frames", "shapes twice", "nothing alike", "one frame", "rest"])
def test_as_few_keys_as_a_decomposition_of_everything(spoken, name, tolerance):
    motion = motions(spoken)[name]
    reduced, error = basis_of(motion, tolerance)
    keys, expected = by_decomposition(motion, tolerance)
    assert len(reduced.shapes) == keys and error == pytest.approx(expected, abs=1e-4)
    off = 1000 * np.linalg.norm(reduced.displacements() - motion.displacements(), axis=2).max()
    assert off == pytest.approx(error, abs=1e-3), "what it says is what is left over"
    assert np.abs(reduced.weights).max(initial=0.0) <= 1.0


def test_it_can_be_stopped(spoken):
    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        basis_of(spoken, 0.1, stop)
