"""Dense motion as weights of the 52 ARKit units, for heads of any topology and for other programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np

from .arkit_names import match_names
from .errors import HiSTalkError
from .files import atomic_write
from .head import Head
from .motion import Motion
from .units import ARKIT_UNITS

__all__ = ["fit_units", "match_names", "write_units"]

RIDGE = 1e-3  # of the mean unit's size: where two units look alike, neither runs away
ROUNDS = 300
BLOCK, MARGIN = 1024, 64  # frames fitted at once, and how many more on each side: further off no frame is felt


def fit_units(motion: Motion, head: Head, smoothness: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Weights in [0, 1] whose face is nearest to the motion, smooth in time.

    Bounded least squares over all frames at once, by accelerated projected gradients: of the vertices only the
    products of units and shapes are needed.

    Args:
        motion: of the bundled head.
        head: whose units are fitted.
        smoothness: what a change between frames costs, against the mean unit's size.

    Returns:
        weights [T, 52] in ARKIT_UNITS' order, and what the fit leaves over: root mean square [T] in metres over the
        vertices that the units move.
    """
    units = head.unit_deltas().reshape(len(ARKIT_UNITS), -1).astype(np.float64)
    shapes = motion.flat.astype(np.float64)
    size = np.square(units).sum(1).mean()
    gram = units @ units.T / size + RIDGE * np.eye(len(units))
    wanted = shapes @ units.T / size
    moved = np.repeat(np.abs(units).reshape(len(units), -1, 3).max((0, 2)) > 1e-5, 3)
    parts = np.concatenate([shapes, units])[:, moved]
    left_over = parts @ parts.T * 3 / moved.sum()
    weights, over = np.zeros((len(motion), len(units)), np.float32), np.zeros(len(motion))
    for first in range(0, len(motion), BLOCK):
        last, begin = first + BLOCK, max(0, first - MARGIN)
        given = motion.weights[begin : last + MARGIN]
        fitted = _nearest(given @ wanted, gram, smoothness)[first - begin :][:BLOCK]
        left = np.concatenate([given[first - begin :][:BLOCK], -fitted], 1)
        weights[first:last] = fitted
        over[first:last] = np.sqrt(np.maximum(np.einsum("ti,ti->t", left @ left_over, left), 0))
    return weights, over


def _nearest(wanted: np.ndarray, gram: np.ndarray, smoothness: float) -> np.ndarray:
    """Weights [n, 52] in [0, 1] that make w·gram·w/2 - wanted·w smallest, changes between frames included."""
    step = 1 / (np.linalg.eigvalsh(gram)[-1] + 4 * smoothness)
    weights = previous = np.zeros_like(wanted)
    momentum = 1.0
    for _ in range(ROUNDS):
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        at = weights + (momentum - 1) / following * (weights - previous)
        slope = at @ gram - wanted
        change = smoothness * np.diff(at, axis=0)
        slope[1:] += change
        slope[:-1] -= change
        previous, momentum = weights, following
        weights = np.clip(at - step * slope, 0, 1)
    return weights


def write_units(path: Path, weights: np.ndarray, fps: float) -> None:
    """Write weights [T, 52] as .csv (a header, one row a frame) or .json, under a temporary name until it is whole.

    Raises:
        HiSTalkError: the file cannot be written.
    """
    path = Path(path)
    rows, file = np.round(weights.astype(float), 5).tolist(), io.StringIO(newline="")
    if path.suffix.lower() == ".csv":
        writer = csv.writer(file)
        writer.writerow(["frame", "seconds", *ARKIT_UNITS])
        writer.writerows([i, round(i / fps, 5), *row] for i, row in enumerate(rows))
    else:
        json.dump({"fps": fps, "names": list(ARKIT_UNITS), "weights": rows}, file)
    try:
        atomic_write(path, file.getvalue().encode())
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another place.") from error
