"""What a training run learns from: the corpus with the teacher's motion, or a data set's captured motion."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...audio.loudness import normalise_loudness
from ...head.head import load_head
from ...network import HiSTalkConfig, preset
from ..corpus.clips import Clip, load_clips
from ..datasets import DataSet, Recording
from ..datasets.base import VertexLandmarks
from ..teacher.phones import ARPABET
from .motion_space import MotionSpace, first_basis, motion_space
from .principal_shapes import PrincipalShapes, spread_landmarks

COMPONENTS = 128  # of a captured topology's output layer; the teacher's 52 blendshapes need fewer
LIPS = 6.0  # what a lip vertex counts; another counts one
FACE = 0.2  # metres, about, from a face's chin to its hair: what a data set without a unit is measured by


class Source(Protocol):
    """Clips to train on, and the space that their motion and the losses live in."""

    @property
    def notes(self) -> dict[str, str]:
        """What the checkpoint's metadata says of where it comes from."""
        ...

    @property
    def without(self) -> Collection[str]:
        """Names of `LOSSES` that these data cannot teach."""
        ...

    def config(self, preset_name: str, acoustic: str) -> HiSTalkConfig:
        """The preset for the data's topology and frame rate."""
        ...

    def first_basis(self, size: int, seed: int) -> Tensor:
        """The output layer's start [size, V, 3]."""
        ...

    def targets(self, basis: Tensor) -> tuple[MotionSpace, list[Clip]]:
        """The space on the output layer's basis, and the clips whose `controls` it turns into components."""
        ...


class CorpusSource:
    """The corpus' training split with the teacher's motion on the bundled head."""

    notes: dict[str, str] = {}
    without: Collection[str] = ()

    def __init__(self, corpus: Path):
        self.clips, self.head = load_clips(corpus, {"train"}), load_head()

    def config(self, preset_name: str, acoustic: str) -> HiSTalkConfig:
        """See `Source`."""
        return preset(preset_name, len(self.head.vertices), acoustic)

    def first_basis(self, size: int, seed: int) -> Tensor:
        """See `Source`."""
        return first_basis(self.head, self.clips, size, seed)

    def targets(self, basis: Tensor) -> tuple[MotionSpace, list[Clip]]:
        """See `Source`."""
        return motion_space(self.head, basis), self.clips


class CapturedSource:
    """A data set's training split; each recording is coefficients of the data set's principal shapes."""

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
        """See `Source`."""
        marks = "marked" if self.topology.landmarks else "68 spread vertices"
        return {"data": f"{self.data.name} train", "landmarks": marks}

    @property
    def without(self) -> Collection[str]:
        """No phones are known, faces are never quite still, and no lips are known where nobody has marked them."""
        return {"phones", "rest"} | (set() if self.topology.landmarks else {"opening", "closed", "bite"})

    def config(self, preset_name: str, acoustic: str) -> HiSTalkConfig:
        """See `Source`."""
        config = replace(preset(preset_name, 0, acoustic), fps=self.topology.fps, dense_components=COMPONENTS)
        return config.with_topology(self.topology.name, self.topology.vertices)

    def first_basis(self, size: int, seed: int) -> Tensor:
        """See `Source`."""
        shapes = PrincipalShapes.of(self.recordings, self.weights, size, seed)
        print(f"The output layer holds {shapes.held:.2%} of the motion.", flush=True)
        return torch.from_numpy(shapes.basis)

    def targets(self, basis: Tensor) -> tuple[MotionSpace, list[Clip]]:
        """See `Source`; the space takes the coefficients as they are, and its landmarks are in metres."""
        shapes = PrincipalShapes(basis.numpy(), self.weights)
        share = torch.from_numpy(self.weights / self.weights.sum())[:, None]
        metric = (basis * share).flatten(1) @ basis.flatten(1).T
        marks = self.topology.landmarks or VertexLandmarks(spread_landmarks(shapes.basis, self.neutral))
        moved, neutral = (torch.from_numpy(marks(x)).float() * self.metres for x in (shapes.basis, self.neutral))
        recordings = tqdm(self.recordings, desc="motion", leave=False, disable=None)
        clips = [self._clip(recording, shapes) for recording in recordings]
        return MotionSpace(basis, torch.eye(len(basis)), metric, moved, neutral), clips

    def _clip(self, recording: Recording, shapes: PrincipalShapes) -> Clip:
        return Clip(
            id=recording.id,
            source=self.data.name,
            speaker=recording.subject,
            split="train",
            samples=np.clip(normalise_loudness(recording.samples()) * 32767, -32768, 32767).astype(np.int16),
            phone_ends=np.array([np.inf], np.float32),
            phone_ids=np.array([ARPABET.index("SIL")]),
            controls=shapes.coefficients(recording.motion()),
            phones=[],
        )
