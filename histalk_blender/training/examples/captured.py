"""Captured motion in the teacher's place: principal shapes of a data set, and its recordings as weights of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...audio.reading import normalise_level
from ...network import HiSTalkConfig, preset
from ..datasets import DataSet, Recording
from ..datasets.base import VertexLandmarks
from ..losses import LossWeights, MotionSpace
from ..teacher.phones import ARPABET
from .batches import Clip

COMPONENTS = 128  # of a captured topology's output layer; the teacher's 52 units need fewer
FRAMES = 1500  # that the shapes are computed from: twice 420 MB at BIWI's size
LIPS = 6.0  # what a lip vertex counts; another counts one
FACE = 0.2  # metres, about, from a face's chin to its hair: what a data set without a unit is measured by


@dataclass(frozen=True, eq=False)
class Shapes:
    """Principal shapes of displacements, each as large as what it moves on average (root mean square)."""

    basis: np.ndarray  # [K, V, 3]; what the frames do not fill is zero
    weights: np.ndarray  # [V] what each vertex counts
    held: float = 1.0  # the share of the frames' motion that they hold

    @classmethod
    def of(cls, recordings: list[Recording], weights: np.ndarray, size: int, seed: int) -> Shapes:
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


class Captured:
    """A data set's training split as a run learns it: `loop.Taught` says what each part is for."""

    def __init__(self, data: DataSet):
        self.data, self.topology = data, data.topology
        self.recordings = data.recordings("train")
        self.neutral = np.mean([recording.neutral for recording in self.recordings], 0)
        self.weights = np.ones(self.topology.vertices, np.float32)
        if self.topology.lips is not None:
            self.weights[self.topology.lips] = LIPS
        self.metres = 1.0 if self.topology.metres else FACE / float(np.ptp(self.neutral, 0).max())

    @property
    def notes(self) -> dict[str, str]:
        """What the checkpoint says of where it comes from."""
        marks = "marked" if self.topology.landmarks else "68 spread vertices"
        return {"data": f"{self.data.name} train", "landmarks": marks}

    def config(self, name: str, acoustic: str) -> HiSTalkConfig:
        """The preset at the data's rate, for its topology alone."""
        config = replace(preset(name, 0, acoustic), fps=self.topology.fps, dense_components=COMPONENTS)
        return config.with_topology(self.topology.name, self.topology.vertices)

    def first_basis(self, size: int, seed: int) -> Tensor:
        """The output layer's start [size, V, 3]."""
        shapes = Shapes.of(self.recordings, self.weights, size, seed)
        print(f"the output layer holds {shapes.held:.2%} of the motion", flush=True)
        return torch.from_numpy(shapes.basis)

    def lesson(self, basis: Tensor) -> tuple[MotionSpace, list[Clip]]:
        """Every recording as weights of the shapes, which the space reads as they are; landmarks are in metres."""
        shapes = Shapes(basis.numpy(), self.weights)
        share = torch.from_numpy(self.weights / self.weights.sum())[:, None]
        metric = (basis * share).flatten(1) @ basis.flatten(1).T
        marks = self.topology.landmarks
        if marks is None:
            marks = VertexLandmarks(spread_landmarks(shapes.basis, self.neutral))
        moved, neutral = (torch.from_numpy(marks(x)).float() * self.metres for x in (shapes.basis, self.neutral))
        space = MotionSpace(basis, torch.eye(len(basis)), metric, moved, neutral)
        clips = []
        for recording in tqdm(self.recordings, desc="motion", leave=False, disable=None):
            samples = np.clip(normalise_level(recording.samples()) * 32767, -32768, 32767).astype(np.int16)
            clips.append(
                Clip(
                    recording.id,
                    self.data.name,
                    recording.subject,
                    "train",
                    samples,
                    np.array([np.inf], np.float32),
                    np.array([ARPABET.index("SIL")]),
                    shapes.coefficients(recording.motion()),
                    [],
                )
            )
        return space, clips

    def loss_weights(self, weights: LossWeights) -> LossWeights:
        """No phones are known, faces are never quite still, and no lips are known where nobody has marked them."""
        weights = replace(weights, phones=0.0, rest=0.0)
        return weights if self.topology.landmarks else replace(weights, opening=0.0, closed=0.0, bite=0.0)
