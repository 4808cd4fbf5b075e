"""Metrics of speech animation (method.md section 7; closure as issue 3 states it)."""

from __future__ import annotations

import numpy as np

from .phones import BILABIALS, LABIODENTALS

CLOSED = 0.001  # metres above the resting opening below which the lips count as closed
RECALL_REACH = 0.04  # seconds around a /p b m/ within which the lips must close
PRECISION_REACH = 0.06  # seconds by which a closed stretch may miss a /p b m f v/


def lve(truth: np.ndarray, predicted: np.ndarray, lips: np.ndarray) -> float:
    """Mean over frames of the largest squared error over lip vertices, in square metres.

    Args:
        truth, predicted: [T, V, 3] metres; lips: vertex indices.
    """
    error = np.square(truth[:, lips] - predicted[:, lips]).sum(-1)
    return float(error.max(1).mean())


def fdd(truth: np.ndarray, predicted: np.ndarray, upper_face: np.ndarray) -> float:
    """Upper-face dynamics deviation, signed: the mean over vertices of the difference of the population standard
    deviations over time of the squared displacement norm."""

    def spread(motion: np.ndarray) -> np.ndarray:
        return np.square(motion[:, upper_face]).sum(-1).std(0)

    return float((spread(truth) - spread(predicted)).mean())


def vertex_error(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean distance over frames and vertices, in metres."""
    return float(np.linalg.norm(truth - predicted, axis=-1).mean())


def closures(opening: np.ndarray, phones: list, fps: float = 30.0) -> tuple[int, int, int, int]:
    """Count met closures of /p b m/ and justified closed stretches.

    Args:
        opening: [T] inner-lip opening above rest in metres.
        phones: (ARPAbet, start s, end s).

    Returns:
        found, all /p b m/; justified, all closed stretches outside silence.
    """
    closed = opening < CLOSED
    time = np.arange(len(opening)) / fps
    found = total = 0
    for phone, start, end in phones:
        if phone in BILABIALS:
            near = (time >= start - RECALL_REACH) & (time <= end + RECALL_REACH)
            if near.any():
                total += 1
                found += bool(closed[near].any())
    spoken = np.zeros(len(time), bool)
    allowed = []
    for phone, start, end in phones:
        if phone != "SIL":
            spoken |= (time >= start) & (time < end)
        if phone in BILABIALS | LABIODENTALS:
            allowed.append((start - PRECISION_REACH, end + PRECISION_REACH))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (closed & spoken).astype(int), [0]])))
    justified = stretches = 0
    for first, last in zip(edges[::2], edges[1::2] - 1):
        stretches += 1
        justified += any(time[first] <= end and time[last] >= start for start, end in allowed)
    return found, total, justified, stretches
