"""One predictor on one group of recordings: the metrics of its clips, pooled by frames or by occurrences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...head.head import lip_opening
from ..datasets import Recording, Topology
from ..teacher.phones import ARPABET
from . import metrics

TRACKS = 3  # clips of a group whose lip tracks are kept to be drawn

Predict = Callable[[Recording], np.ndarray]  # -> [T, V, 3] displacements


@dataclass
class Score:
    """What one predictor reached on one group."""

    row: dict[str, float | None]
    vertex_errors: np.ndarray  # [V] mean distance
    phone_errors: np.ndarray  # sums, see `metrics.phone_errors`
    tracks: list[tuple[Recording, np.ndarray]] = field(
        default_factory=list
    )  # openings above rest [2, T]: true, predicted


def score(
    recordings: list[Recording], predict: Predict, topology: Topology, advance: Callable[[], object] = lambda: None
) -> Score:
    """One predictor's row: what a metric needs and the data do not have is None.

    Args:
        advance: called after each recording.
    """
    sums = _Sums(topology)
    for recording in recordings:
        truth, predicted = recording.motion(), predict(recording)
        T = min(len(truth), len(predicted))
        sums.add(recording, truth[:T], predicted[:T])
        advance()
    return Score(sums.row(), sums.errors / sums.frames, sums.phones, sums.tracks)


class _Sums:
    """Sums over clips, from which `row` divides the means."""

    def __init__(self, topology: Topology):
        self.topology = topology
        masks = [mask for mask in (topology.lips, topology.upper_face) if mask is not None]
        self.moving = np.unique(np.concatenate(masks or [np.arange(0)]))
        self.clips, self.frames, self.errors = 0, 0, np.zeros(topology.vertices)
        self.lip, self.readable, self.fdds, self.jitters = 0.0, 0.0, [], np.zeros(2)
        self.openings, self.late, self.tracks = [], np.zeros(2), []
        self.shut, self.bitten = np.zeros(4, int), np.zeros(4, int)
        self.silence, self.phones = np.zeros(2), np.zeros((len(ARPABET), 4))

    def add(self, recording: Recording, truth: np.ndarray, predicted: np.ndarray) -> None:
        """One clip's displacements [T, V, 3], of one length."""
        self.clips += 1
        self.frames += len(truth)
        self.errors += np.linalg.norm(truth - predicted, axis=-1).sum(0, dtype=np.float64)
        self._add_regions(recording, truth, predicted)
        self._add_lips(recording, truth, predicted)

    def _add_regions(self, recording: Recording, truth: np.ndarray, predicted: np.ndarray) -> None:
        T, lips, upper = len(truth), self.topology.lips, self.topology.upper_face
        if lips is not None:
            width = float(np.ptp(recording.neutral[lips], 0).max())
            self.lip += T * metrics.lve(truth, predicted, lips)
            self.readable += T * metrics.lrp(truth, predicted, lips, width)
        if upper is not None:
            self.fdds.append(metrics.fdd(truth, predicted, upper))
        if len(self.moving):
            self.jitters += [T * metrics.jitter(motion[:, self.moving]) for motion in (truth, predicted)]

    def _add_lips(self, recording: Recording, truth: np.ndarray, predicted: np.ndarray) -> None:
        landmarks = self.topology.landmarks
        if landmarks is None:
            return
        T, fps, rest = len(truth), self.topology.fps, landmarks(recording.neutral)
        marks = [landmarks(recording.neutral + motion) for motion in (truth, predicted)]
        both = np.stack([lip_opening(points) - lip_opening(rest) for points in marks])
        self.openings.append(both)
        self.late += metrics.misalignment(both[0], both[1], fps)
        self.tracks += [(recording, both)][: TRACKS - len(self.tracks)]
        if recording.phones:
            self.shut += metrics.closures(both[1], recording.phones, fps)
            self.bitten += metrics.bites(metrics.lower_lip_drop(marks[1], rest), recording.phones, fps)
            quiet = metrics.quiet_frames(recording.phones, T, fps) & metrics.hushed(recording.samples(), T, fps)
            self.silence += metrics.silence(marks[1], rest, quiet)
            self.phones += metrics.phone_errors(both[0], both[1], recording.phones, fps)

    def row(self) -> dict[str, float | None]:
        """The means, under the names of `report.DEFINITIONS`; those of a length end with its unit."""
        lips, upper = self.topology.lips is not None, self.topology.upper_face is not None
        both = np.concatenate(self.openings, 1) if self.openings else np.zeros((2, 1))
        unit = "mm" if self.topology.metres else "thousandths"
        return {
            "clips": self.clips,
            f"vertex_error_{unit}": 1000 * float(self.errors.mean()) / self.frames,
            f"root_lve_{unit}": 1000 * float(np.sqrt(self.lip / self.frames)) if lips else None,
            "opening_correlation": float(np.corrcoef(both)[0, 1]) if both.std(1).min() > 1e-7 else None,
            "closure_recall": _share(self.shut[0], self.shut[1]),
            "closure_precision": _share(self.shut[2], self.shut[3]) if self.shut[1] else None,
            "labiodental_recall": _share(self.bitten[0], self.bitten[1]),
            "labiodental_precision": _share(self.bitten[2], self.bitten[3]) if self.bitten[1] else None,
            "silence_mm": _share(1000 * self.silence[0], self.silence[1]),
            "silence_frames": int(self.silence[1]),
            "mtm_ms": _share(1000 * self.late[0], self.late[1]),
            "jitter": _share(self.jitters[1], self.jitters[0]),
            "lrp": self.readable / self.frames if lips else None,
            "lve": self.lip / self.frames if lips else None,
            "fdd": float(np.mean(self.fdds)) if upper else None,
            "abs_fdd": float(np.mean(np.abs(self.fdds))) if upper else None,
        }


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
