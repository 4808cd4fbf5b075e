"""The fewest signed shapes whose weighted sum is a motion. Needs no Blender."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..motion.motion import CHUNK, Motion


def basis_of(
    motion: Motion, tolerance_mm: float, step: Callable[[float], None] = lambda share: None
) -> tuple[Motion, float]:
    """The fewest signed shapes that keep every vertex of every frame within the tolerance: principal axes, cut off.

    All is reckoned in the space of the motion's own shapes, the network's basis, so that nothing of frames times
    vertices is decomposed, and only what may be furthest off is expanded. The weights of each shape stay within -1
    and 1, a slider's range.

    Args:
        step: called with the share done; what it raises ends the work.

    Returns:
        The reduced motion, and its largest error in millimetres.

    Raises:
        HiSTalkError: the motion is not finite.
    """
    motion.check_finite()
    weights, shapes = _principal(motion.weights.astype(np.float64), motion.flat.astype(np.float64))
    low, high = 0, len(shapes)
    while low < high:
        middle = (low + high) // 2
        step((low + len(shapes) - high) / len(shapes))
        if _largest(weights, shapes, middle) <= tolerance_mm / 1000:
            high = middle
        else:
            low = middle + 1
    error = _largest(weights, shapes, low) * 1000
    scale = np.maximum(np.abs(weights[:, :low]).max(0, initial=0.0), 1e-12)
    signed = (shapes[:low] * scale[:, None]).reshape(low, *motion.shapes.shape[1:])
    return Motion((weights[:, :low] / scale).astype(np.float32), signed.astype(np.float32), motion.fps), error


def _principal(weights: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same motion on orthonormal shapes, largest motion first: [T, r] and [r, 3V] from [T, K] and [K, 3V]."""

    def root(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvectors [n, r] and the roots of their values, largest first, of what is more than rounding."""
        values, vectors = np.linalg.eigh(gram)
        kept = np.flatnonzero(values > max(values[-1] * 1e-15, 1e-18))[::-1] if len(values) else []
        return vectors[:, kept], np.sqrt(values[kept])

    axes, sizes = root(shapes @ shapes.T)
    placed = weights @ (axes * sizes)
    turn, _ = root(placed.T @ placed)
    return placed @ turn, (turn.T / sizes) @ (axes.T @ shapes)


def _largest(weights: np.ndarray, shapes: np.ndarray, first: int) -> float:
    """Metres that the furthest vertex of any frame moves by the shapes from `first` on.

    By Cauchy's inequality no vertex goes further than the frame's weights and the vertex' shapes are long. So frames
    come with the longest weights first, and of vertices only those that could still go further than the furthest.
    """
    size = np.maximum(np.abs(weights[:, first:]).max(0, initial=0.0), 1e-12)
    weights = (weights[:, first:] / size).astype(np.float32)
    shapes = (shapes[first:] * size[:, None]).astype(np.float32).reshape(len(size), shapes.shape[1] // 3, 3)
    lengths, reaches = np.linalg.norm(weights, axis=1), np.linalg.norm(shapes, axis=(0, 2))
    order, furthest = np.argsort(-lengths), 0.0
    for begin in range(0, len(order), CHUNK):
        frames = order[begin : begin + CHUNK]
        able = np.flatnonzero(reaches * lengths[frames[0]] > furthest)
        if not len(able):
            break
        moved = weights[frames] @ shapes[:, able].reshape(len(size), -1)
        furthest = max(furthest, float(np.square(moved.reshape(len(frames), -1, 3)).sum(-1).max()) ** 0.5)
    return furthest
