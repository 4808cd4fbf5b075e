"""Three answers that any network must beat: the mean face, a mouth that flaps with loudness, a linear map."""

from __future__ import annotations

import numpy as np
import torch

from ...audio import SAMPLE_RATE
from ...errors import HiSTalkError
from ...head.arkit import ARKIT_BLENDSHAPES
from ..datasets import DataSet, Recording
from ..datasets.corpus import Corpus
from ..examples.principal_shapes import PrincipalShapes
from ..pretraining.mel import log_mel
from ..teacher.coarticulation import loudness

CONTEXT = 5  # tokens of 20 ms on each side that the linear map sees
SHAPES = 32  # that the linear map predicts where there are no ARKit weights


def mel_features(samples: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """[T, 80 · 11 + 1] log-mel energies around each frame of [N] samples."""
    mel = log_mel(torch.from_numpy(samples)[None], SAMPLE_RATE, 320)[0].numpy()
    at = np.arange(frames)[:, None] * 50 / fps + np.arange(-CONTEXT, CONTEXT + 1)
    stacked = mel[np.clip(at.round().astype(int), 0, len(mel) - 1)].reshape(frames, -1)
    return np.concatenate([stacked, np.ones((frames, 1), np.float32)], 1)


class Baselines:
    """Fitted on a part of the training split: on the teacher's ARKit weights, or on captured motion's shapes."""

    def __init__(self, data: DataSet):
        recordings, self.fps = data.recordings("train"), data.topology.fps
        if not recordings:
            raise HiSTalkError(
                f"'{data.root}' has no training split to fit baselines on: leave them out, --no-baselines."
            )
        self.taught = isinstance(data, Corpus)
        if isinstance(data, Corpus):
            recordings, self.pose, self.jaw = recordings[::12], data.head.pose, [ARKIT_BLENDSHAPES.index("jawOpen")]
            controls = [recording.arkit_weights() for recording in recordings if recording.arkit_weights]
        else:
            recordings, self.jaw = recordings[::4], slice(None)
            shapes = PrincipalShapes.of(recordings, np.ones(data.topology.vertices, np.float32), SHAPES, seed=0)
            controls, self.pose = [shapes.coefficients(recording.motion()) for recording in recordings], shapes.pose
        self.mean = np.concatenate(controls).mean(0)
        sounds = [recording.samples() for recording in recordings]
        features = [mel_features(sound, len(control), self.fps) for sound, control in zip(sounds, controls)]
        gram = sum((f.T.astype(np.float64) @ f for f in features), np.zeros(()))
        gram += np.eye(len(gram)) * 1e-3 * np.trace(gram) / len(gram)
        self.linear = np.linalg.solve(gram, sum(f.T @ control for f, control in zip(features, controls)))
        loud = np.concatenate([self._loud(sound, len(control)) for sound, control in zip(sounds, controls)])
        self.open = np.zeros(len(self.mean))
        self.open[self.jaw] = loud @ np.concatenate(controls)[:, self.jaw] / (loud @ loud)

    @property
    def names(self) -> tuple[str, ...]:
        """What the table calls them."""
        return "mean face", "loudness jaw" if self.taught else "loudness", "linear mel"

    def _loud(self, samples: np.ndarray, frames: int) -> np.ndarray:
        return loudness(samples, np.arange(frames) / self.fps)

    def predict(self, name: str, recording: Recording) -> np.ndarray:
        """[T, V, 3] displacements of one baseline."""
        samples = recording.samples()
        frames = max(1, round(len(samples) / SAMPLE_RATE * self.fps))
        if name == "mean face":
            return self.pose(np.tile(self.mean, (frames, 1)))
        if name.startswith("loudness"):
            return self.pose(self._loud(samples, frames)[:, None] * self.open)
        answer = mel_features(samples, frames, self.fps) @ self.linear
        return self.pose(np.clip(answer, 0, 1) if self.taught else answer)
