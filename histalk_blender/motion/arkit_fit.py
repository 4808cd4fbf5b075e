"""Dense motion as weights of the 52 ARKit blendshapes, for heads of any topology and for other programs."""

from __future__ import annotations

import numpy as np

from ..head.arkit import ARKIT_BLENDSHAPES
from ..head.arkit_names import match_names
from ..head.head import INNER_LIP_PAIRS, Head, load_head
from .arkit_files import write_arkit_weights
from .motion import Motion

__all__ = ["fit_blendshapes", "match_names", "write_arkit_weights"]

RIDGE = 1e-3  # of the mean blendshape's size: bounds the weights of two that look alike
ROUNDS, MORE_ROUNDS = 300, 1000  # the latter if the lips count more, as steps must be shorter then
BLOCK, MARGIN = 1024, 64  # frames fitted at once, and how many more on each side: frames further off have no effect
LIPS = 100.0  # weight of the gap between closed lips, against the rest of the face
PARTED = 2e-3  # metres more than at rest, from which lips no longer count as closed
QUIET = 0.01  # a blendshape whose weight stays below this in the whole clip gets no curve


def fit_blendshapes(
    motion: Motion, head: Head, smoothness: float = 0.02, limits: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights whose face is nearest to the motion, smooth in time.

    Bounded least squares over all frames at once, by accelerated projected gradients: of the vertices only the
    products of blendshapes and shapes are needed. If some blendshapes are missing or limited, the others compensate as
    far as they can, and above all close the lips where the motion closes them.

    Args:
        motion: of the bundled head.
        head: whose blendshapes are fitted.
        smoothness: cost of a change between frames, against the mean blendshape's size.
        limits: [52, 2] least and greatest weight of each blendshape, equal for a missing one; None = all go from 0
            to 1.

    Returns:
        weights [T, 52] in ARKIT_BLENDSHAPES' order, and their residual, see `residual_of`.

    Raises:
        HiSTalkError: the motion is not finite.
    """
    motion.check_finite()
    all_units = head.blendshape_deltas().reshape(len(ARKIT_BLENDSHAPES), -1).astype(np.float64)
    size = np.square(all_units).sum(1).mean()
    low, high = np.array([[0.0, 1.0]] * len(all_units) if limits is None else limits).T
    free = np.flatnonzero(high > low)
    units, bounds = all_units[free], (low[free], high[free])
    gram = units @ units.T / size + RIDGE * np.eye(len(units))
    wanted = motion.flat.astype(np.float64) @ units.T / size
    lips = None if limits is None else _lips(motion, head, size)
    weights = np.zeros((len(motion), len(all_units)), np.float32)
    for first in range(0, len(motion), BLOCK):
        last, begin = first + BLOCK, max(0, first - MARGIN)
        frames = slice(begin, last + MARGIN)
        gaps = lips and (lips[0][free], lips[1][frames], lips[2][frames])
        fitted = _nearest(motion.weights[frames] @ wanted, gram, smoothness, bounds, gaps)
        weights[first:last, free] = fitted[first - begin :][:BLOCK]
    return weights, residual_of(motion, weights, head)


def fit_rig(
    motion: Motion, head: Head, limits: np.ndarray | None, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What a rig plays of a motion: the blendshapes that it has, without those that hardly move.

    Args:
        motion: of the bundled head.
        limits: see `fit_blendshapes`.
        weights: [T, 52] of all blendshapes, if they are known.

    Returns:
        weights [T, 52], 0 for blendshapes that need no curve, never all of them; and their residual, see
        `residual_of`.
    """
    if weights is None or limits is not None:
        weights, _ = fit_blendshapes(motion, head, limits=limits)
    most = weights.max(0, initial=0.0)
    weights = np.where(most >= min(QUIET, most.max()), weights, np.float32(0))
    return weights, residual_of(motion, weights, head)


def residual_of(motion: Motion, weights: np.ndarray, head: Head) -> np.ndarray:
    """How far the blendshapes' face is from the motion: [T] metres, root mean square over the vertices that any moves.

    Args:
        motion: of the bundled head.
        weights: [T, 52] of the blendshapes.
    """
    units = head.blendshape_deltas()
    moved = np.repeat(np.abs(load_head().blendshape_deltas()).max((0, 2)) > 1e-5, 3)  # whatever the rig's own do
    parts = np.concatenate([motion.flat, units.reshape(len(units), -1)])[:, moved].astype(np.float64)
    squares = parts @ parts.T * 3 / moved.sum()
    squared = np.zeros(len(motion))
    for first in range(0, len(motion), BLOCK):
        left = np.concatenate([motion.weights[first : first + BLOCK], -weights[first : first + BLOCK]], 1)
        squared[first : first + BLOCK] = np.einsum("ti,ti->t", left @ squares, left)
    return np.sqrt(np.maximum(squared, 0))


def _lips(motion: Motion, head: Head, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inner lips' gaps by blendshapes [52, 9] and in the motion [T, 9], and their weight [T, 1] in each frame.

    Gaps are scaled so that jawOpen is as large in them as in the whole face.
    """
    upper, lower = np.array(INNER_LIP_PAIRS).T

    def gaps(landmarks: np.ndarray) -> np.ndarray:
        between = landmarks[..., upper, :] - landmarks[..., lower, :]
        return between.reshape(*landmarks.shape[:-2], -1).astype(np.float64)

    deltas, jaw = head.blendshape_deltas(), ARKIT_BLENDSHAPES.index("jawOpen")
    units, rest = gaps(head.landmarks(deltas)), gaps(head.landmarks(head.vertices))
    wanted = motion.weights @ gaps(head.landmarks(motion.shapes))

    def opening(gap: np.ndarray) -> np.ndarray:
        return np.linalg.norm(gap.reshape(-1, len(upper), 3), axis=-1).mean(1)

    parted = np.maximum(opening(rest + wanted) - opening(rest), 0) / PARTED
    scale = np.sqrt(np.square(deltas[jaw]).sum() / np.square(units[jaw]).sum() / size)
    return units * scale, wanted * scale, (LIPS / (1 + parted**4))[:, None]


def _nearest(
    wanted: np.ndarray,
    gram: np.ndarray,
    smoothness: float,
    bounds: tuple[np.ndarray, np.ndarray],
    lips: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """Weights [n, k] within bounds that make w·gram·w/2 - wanted·w smallest, changes between frames included.

    Args:
        lips: of these blendshapes and frames, see `_lips`.
    """
    steepest = gram
    if lips is not None:
        gaps, given, counts = lips
        steepest = gram + counts.max() * gaps @ gaps.T
    step = 1 / (np.linalg.eigvalsh(steepest)[-1] + 4 * smoothness) if len(gram) else 0.0
    weights = previous = np.clip(np.zeros_like(wanted), *bounds)
    momentum = 1.0
    for _ in range(ROUNDS if lips is None else MORE_ROUNDS):
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        at = weights + (momentum - 1) / following * (weights - previous)
        slope = at @ gram - wanted
        if lips is not None:
            slope += counts * (at @ gaps - given) @ gaps.T
        change = smoothness * np.diff(at, axis=0)
        slope[1:] += change
        slope[:-1] -= change
        previous, momentum = weights, following
        weights = np.clip(at - step * slope, *bounds)
    return weights
