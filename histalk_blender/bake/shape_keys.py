"""Shape keys: one a frame (exact), or a few signed basis keys with F-curves (within a tolerance)."""

from __future__ import annotations

import numpy as np

from .ownership import MARK, set_curve

CHUNK = 512  # frames worked on at once


def bake_keys(obj, displacements: np.ndarray, start_frame: float) -> int:
    """One key a frame, each at one on its own frame and zero on its neighbours'. Returns how many."""
    frames = len(displacements)
    basis = _basis(obj)
    for i in range(frames):
        _add(obj, f"{MARK} {i:05d}", basis + displacements[i].ravel())
    for i in range(frames):
        points = [(start_frame + i + d, float(d == 0)) for d in (-1, 0, 1) if 0 <= i + d < frames]
        # Outside the range the first and last frame are held, as a mesh cache holds them.
        set_curve(obj, f"{MARK} {i:05d}", np.array(points))
    return frames


def bake_basis(obj, displacements: np.ndarray, start_frame: float, tolerance_mm: float) -> tuple[int, float]:
    """Truncated SVD as signed keys; as few as keep every vertex of every frame within the tolerance.

    Returns:
        The number of keys, and the largest error in millimetres.
    """
    rows = row_space(displacements)
    flat = displacements.reshape(len(displacements), -1)
    weights = np.concatenate([part @ rows.T for part in _parts(flat)])
    left, values, right = np.linalg.svd(weights, full_matrices=False)
    left, shapes = left * values, right @ rows

    def error(k: int) -> float:
        worst = 0.0
        for part, weight in zip(_parts(flat), _parts(left[:, :k])):
            rest = (part - weight @ shapes[:k]).reshape(len(part), -1, 3)
            worst = max(worst, float(np.square(rest).sum(-1).max()))
        return worst**0.5 * 1000

    low, high = 0, len(shapes)
    while low < high:
        middle = (low + high) // 2
        if error(middle) <= tolerance_mm:
            high = middle
        else:
            low = middle + 1
    basis = _basis(obj)
    for k in range(low):
        # A key's weight stays within -1 and 1, the slider's range.
        scale = np.abs(left[:, k]).max()
        key = _add(obj, f"{MARK} basis {k:02d}", basis + (shapes[k] * scale).astype(np.float32))
        key.slider_min = -1.0
        points = np.stack([start_frame + np.arange(len(left)), left[:, k] / scale], 1)
        set_curve(obj, key.name, points)
    return low, error(low)


def row_space(displacements: np.ndarray) -> np.ndarray:
    """Orthonormal rows [r, 3 V] that span all frames to a micrometre.

    From a sample of the frames, and then from those it serves worst: a network's motion has a small rank, so an hour
    costs little more than a minute.
    """
    flat = displacements.reshape(len(displacements), -1)
    rows = np.zeros((0, flat.shape[1]), np.float64)
    chosen = np.unique(np.linspace(0, len(flat) - 1, CHUNK // 4).astype(int))
    while True:
        _, values, found = np.linalg.svd(flat[chosen] - (flat[chosen] @ rows.T) @ rows, full_matrices=False)
        rows = np.linalg.qr(np.concatenate([rows, found[values > 1e-7]]).T)[0].T
        rest = np.concatenate([np.linalg.norm(part - (part @ rows.T) @ rows, axis=1) for part in _parts(flat)])
        if rest.max() < 1e-6 or len(rows) >= min(flat.shape):
            return rows
        chosen = np.argsort(rest)[-16:]


def _parts(flat: np.ndarray):
    """Some frames at a time, in double precision."""
    for first in range(0, len(flat), CHUNK):
        yield flat[first : first + CHUNK].astype(np.float64)


def _basis(obj) -> np.ndarray:
    if obj.data.shape_keys is None:
        obj.shape_key_add(name="Basis", from_mix=False)
    basis = np.empty(len(obj.data.vertices) * 3, np.float32)
    obj.data.shape_keys.reference_key.data.foreach_get("co", basis)
    return basis


def _add(obj, name: str, positions: np.ndarray):
    key = obj.shape_key_add(name=name, from_mix=False)
    key.data.foreach_set("co", np.ascontiguousarray(positions, np.float32))
    key.value = 0.0
    return key
