"""Principal shapes of captured motion: what its output layer starts from, and what its targets are coefficients of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ..datasets import Recording

FRAMES = 1500  # that the shapes are computed from: twice 420 MB at BIWI's size


@dataclass(frozen=True, eq=False)
class PrincipalShapes:
    """Principal shapes of displacements, each as large as what it moves on average (root mean square)."""

    basis: np.ndarray  # [K, V, 3]; what the frames do not fill is zero
    weights: np.ndarray  # [V] what each vertex counts
    held: float = 1.0  # the share of the frames' motion that they hold

    @classmethod
    def of(cls, recordings: list[Recording], weights: np.ndarray, size: int, seed: int) -> PrincipalShapes:
        """The shapes of some frames of every recording. Not of their spread: the output layer adds no mean face."""
        random = np.random.default_rng(seed)
        each, frames = -(-FRAMES // len(recordings)), []
        for recording in tqdm(recordings, desc="shapes", leave=False, disable=None):
            motion = recording.motion()
            frames.append(motion[random.permutation(len(motion))[:each]])
        root = np.sqrt(weights, dtype=np.float32)[:, None]
        flat = np.concatenate(frames)
        flat *= root
        flat = flat.reshape(len(flat), -1)
        values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64) / len(flat))
        kept = np.flatnonzero(values > values[-1] * 1e-7)[::-1][:size]
        basis = np.zeros((size, *motion.shape[1:]), np.float32)
        basis[: len(kept)] = (vectors[:, kept].T.astype(np.float32) @ flat).reshape(-1, *motion.shape[1:]) / root
        basis[: len(kept)] /= np.sqrt(len(flat))
        return cls(basis, weights, float(values[kept].sum() / values.sum()))

    def coefficients(self, motion: np.ndarray) -> np.ndarray:
        """[T, V, 3] -> [T, K], the nearest that the shapes can do."""
        weighted = (self.basis * self.weights[:, None]).reshape(len(self.basis), -1)
        # In single precision a small shape is not quite orthogonal to a large one: solve, do not divide.
        gram = (weighted @ self.basis.reshape(len(self.basis), -1).T).astype(np.float64)
        inverse = np.linalg.pinv(gram, 1e-7, hermitian=True)
        return ((motion.reshape(len(motion), -1) @ weighted.T) @ inverse).astype(np.float32)

    def pose(self, coefficients: np.ndarray) -> np.ndarray:
        """[T, K] -> [T, V, 3]."""
        return np.tensordot(coefficients.astype(np.float32), self.basis, 1)


def spread_landmarks(basis: np.ndarray, neutral: np.ndarray, count: int = 68) -> np.ndarray:
    """Vertices that stand in for landmarks where nobody has marked any: far from each other, where much moves.

    Args:
        basis: [K, V, 3] principal shapes; neutral: [V, 3].

    Returns:
        [count] vertex indices, by farthest points with distance weighted by how much a vertex moves.
    """
    moved = np.sqrt(np.square(basis).sum((0, 2)))
    chosen = [int(moved.argmax())]
    away = np.full(len(neutral), np.inf)
    while len(chosen) < count:
        away = np.minimum(away, np.linalg.norm(neutral - neutral[chosen[-1]], axis=1))
        chosen.append(int((away * moved).argmax()))
    return np.array(chosen)
