"""What tools/train_flame.py --compare measures: ways to move a FLAME head, by closure, folds and strain."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from build_flame_map import edges_of
from deformation_transfer import CLOSURE, FPS, Transfer, between

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import lip_opening, load_head
from histalk_blender.head.topologies.flame import FlameTopology, load_flame_map
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import synthesize
from histalk_blender.training.evaluation.metrics import bites, closures, lower_lip_drop
from histalk_blender.training.teacher.coarticulation import arkit_track
from histalk_blender.training.teacher.lips import CLOSED

CLIPS, SECONDS = 90, 15  # held-out clips of a source, and the most of each that is used
EVERY = 30  # frames of speech of which one is checked for folds
ROLLED = ARKIT_BLENDSHAPES.index("mouthPressLeft")
PRESSED = 0.25  # its weight from which the teacher shuts the lips for /p b m/; held lips have 0.3


@dataclass
class Speech:
    """Clips as ARKit weights, the teacher's and the network's (its components fitted), and their phones."""

    taught: list[np.ndarray] = field(default_factory=list)
    spoken: list[np.ndarray] = field(default_factory=list)
    phones: list[list] = field(default_factory=list)


def held_out_speech(corpus: Path | None, checkpoint: Path) -> Speech:
    """A sample of the corpus' held-out clips; without a corpus, nothing."""
    speech = Speech()
    if corpus is None:
        return speech
    model, head = load_checkpoint(checkpoint), load_head()
    to_weights = np.linalg.pinv(head.blendshape_deltas().reshape(len(ARKIT_BLENDSHAPES), -1).astype(np.float64))
    torch.set_num_threads(1)
    for table in sorted(corpus.glob("*.jsonl")):
        rows = [row for row in map(json.loads, table.open()) if row["split"] != "train" and row["phones"]]
        sound = np.load(table.with_suffix(".i16.npy"), mmap_mode="r")
        for row in rows[:: max(1, len(rows) // CLIPS)][:CLIPS]:
            samples = sound[row["offset"] : row["offset"] + min(row["samples"], SECONDS * SAMPLE_RATE)] / np.float32(
                32768
            )
            phones = [phone for phone in row["phones"] if phone[1] < len(samples) / SAMPLE_RATE]
            motion = synthesize(samples, model, head).motion
            speech.spoken.append(motion.weights @ (motion.shapes.reshape(len(motion.shapes), -1) @ to_weights))
            speech.taught.append(arkit_track(phones, len(samples) / SAMPLE_RATE, samples, FPS)[: len(motion)])
            speech.phones.append(phones)
    return speech


def shapes_of(flame: np.ndarray) -> dict[str, np.ndarray]:
    """The head, a wider one, and one with a child's small lower face."""
    centre = flame[load_flame_map().landmarks[27]]
    out = flame - centre
    return {
        "sample": flame,
        "wide": out * [1.25, 1, 1],
        "child": 0.8 * np.where(out[:, 1:2] < 0, out * [0.9, 0.8, 0.85], out * 1.05),
    }


class Folds:
    """Triangles about the mouth that turn over, crease, stretch or pass through each other."""

    def __init__(self, transfer: Transfer):
        marked = np.isin(transfer.triangles, transfer.map.mouth).any(1)
        used, self.faces = np.unique(transfer.triangles[marked], return_inverse=True)
        self.used, self.faces = used, self.faces.reshape(-1, 3)
        self.rest = transfer.rest[used]
        self.normals = self._normals(self.rest)
        self.edges = edges_of(self.faces, len(used))
        lips = np.isin(used, transfer.map.lips)[self.faces].all(1)
        side = transfer.side[used][self.faces]
        self.lips = [self.faces[lips & (side == lip).all(1)] for lip in (1, -1)]
        self.creased, self.cut = self._folded(self.rest), self._crossings(self.rest)

    def _normals(self, points: np.ndarray) -> np.ndarray:
        a, b, c = (points[self.faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    def _folded(self, points: np.ndarray) -> np.ndarray:
        """Which face against those around them."""
        own, at = self._normals(points), np.zeros_like(points)
        for corner in self.faces.T:
            np.add.at(at, corner, own)
        return np.einsum("ij,ij->i", at[self.faces].sum(1) - 3 * own, own) < 0

    def _lengths(self, points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[self.edges[:, 0]] - points[self.edges[:, 1]], axis=1)

    def _crossings(self, points: np.ndarray) -> int:
        """How often an edge of one lip runs through a triangle of the other (Möller and Trumbore 1997)."""
        total = 0
        for cutting, cut in (self.lips, self.lips[::-1]):
            edges = edges_of(cutting, len(points))
            start, way = points[edges[:, 0]][:, None], (points[edges[:, 1]] - points[edges[:, 0]])[:, None]
            a, b, c = (points[cut[:, i]][None] for i in range(3))
            across = np.cross(way, c - a)
            size = (across * (b - a)).sum(-1)
            size = np.where(np.abs(size) < 1e-15, np.inf, size)
            u = ((start - a) * across).sum(-1) / size
            turned = np.cross(start - a, b - a)
            v, t = (way * turned).sum(-1) / size, ((c - a) * turned).sum(-1) / size
            total += int(((u > 0) & (v > 0) & (u + v < 1) & (t > 0) & (t < 1)).sum())
        return total

    def count(self, units: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[T, 4] of each frame: turned by more than 90 degrees, newly creased, new crossings, mean strain."""
        out = []
        for row in weights:
            points = self.rest + np.tensordot(row, units[:, self.used], 1)
            out.append(
                (
                    (np.einsum("ij,ij->i", self._normals(points), self.normals) < 0).sum(),
                    (self._folded(points) & ~self.creased).sum(),
                    max(0, self._crossings(points) - self.cut),
                    np.abs(self._lengths(points) / self._lengths(self.rest) - 1).mean(),
                )
            )
        return np.array(out)


def closure_rows(units: np.ndarray, flame: np.ndarray) -> dict[str, str]:
    """Closure of /p b m/ and bite of /f v/ between any two vowels, on the head and two shapes of it."""
    marks, rows = load_flame_map().landmarks, {}
    for shape, vertices in shapes_of(flame).items():
        rest = FlameTopology().pose(vertices).undo(vertices)[marks]
        moved = np.tensordot(between(("P", "B", "M"))[:, CLOSURE], units[:, marks], 1)
        off = np.abs(lip_opening(rest + moved) - lip_opening(rest)) * 1000
        rows[f"{shape}: /p b m/ off by, worst and mean, mm"] = f"{off.min(1).max():.2f}, {off.min(1).mean():.2f}"
        if shape == "sample":
            # In the middle of the closure: the frame of the best distance may be one before the lips press.
            up = moved[:, 1, :, 2] * 1000
            parted = up[:, [61, 62, 63]] - up[:, [67, 66, 65]]
            part, passed = max(parted.max(), 0), max(-parted.min(), 0)
            rows["lips part then, and pass each other, by up to, mm"] = f"{part:.2f}, {passed:.2f}"
            bitten = np.tensordot(between(("F",))[:, CLOSURE], units[:, marks], 1)
            drop = np.array([lower_lip_drop(rest + track, rest).min() for track in bitten]) * 1000
            rows["/f/: lower lip below its rest, worst and mean, mm"] = f"{drop.max():.2f}, {drop.mean():.2f}"
    return rows


def speech_rows(units: np.ndarray, rest: np.ndarray, speech: Speech) -> dict[str, str]:
    """Closures and bites of the corpus, the teacher's and the network's."""
    marks, ours = load_flame_map().landmarks, load_head()
    our_rest, our_units = ours.landmarks(ours.vertices), ours.landmarks(ours.blendshape_deltas())
    met, bitten, within, frames = np.zeros(4), np.zeros(4), np.zeros(2), 0
    for taught, spoken, phones in zip(speech.taught, speech.spoken, speech.phones):
        truth = lip_opening(our_rest + np.tensordot(taught, our_units, 1)) - lip_opening(our_rest)
        shut = (truth < CLOSED / 2) & (taught[:, ROLLED] > PRESSED)
        frames += shut.sum()
        for i, weights in enumerate((taught, spoken)):
            landmarks = rest[marks] + np.tensordot(weights[: len(shut)], units[:, marks], 1)
            gap = lip_opening(landmarks) - lip_opening(rest[marks])
            within[i] += (np.abs(gap[shut]) < CLOSED).sum()
        met += closures(gap, phones, FPS)
        bitten += bites(lower_lip_drop(landmarks, rest[marks]), phones, FPS)
    shares = within / frames * 100
    met, bitten = (100 * counts[::2] / counts[1::2] for counts in (met, bitten))
    return {
        f"of {frames} frames of true closures within 1 mm, teacher and network, %": f"{shares[0]:.1f}, {shares[1]:.1f}",
        "network: /p b m/ found and closed stretches justified, %": f"{met[0]:.1f}, {met[1]:.1f}",
        "network: /f v/ found and bites justified, %": f"{bitten[0]:.1f}, {bitten[1]:.1f}",
    }


def compare(
    flame: np.ndarray, triangles: np.ndarray, trained: np.ndarray, corpus: Path | None, checkpoint: Path
) -> str:
    """The ways as columns of a table in Markdown.

    Args:
        flame: [5023, 3]; triangles: [F, 3]; trained: [52, 5023, 3] metres in our head's size and axes.
        corpus: whose held-out clips are used, a few minutes of them; None = the rules and single blendshapes only.
    """
    transfer = Transfer(flame, triangles, load_head())
    plain = transfer.units()
    ways = {"composed": transfer.composed, "plain transfer": plain, "trained": trained}
    folds, speech = Folds(transfer), held_out_speech(corpus, checkpoint)
    # All of the consonant, of every ninth pair of vowels.
    tracks = {"rules between vowels": between(("P", "F"))[::9, CLOSURE].reshape(-1, len(ARKIT_BLENDSHAPES))}
    if speech.taught:
        tracks |= {"teacher": np.concatenate(speech.taught)[::EVERY], "network": np.concatenate(speech.spoken)[::EVERY]}
    tracks["each unit at one"] = np.eye(len(ARKIT_BLENDSHAPES))
    table = {name: {} for name in ways}
    lips = transfer.map.lips
    for name, units in ways.items():
        rows = table[name]
        rows |= closure_rows(units, flame)
        if speech.taught:
            rows |= speech_rows(units, transfer.rest, speech)
        for track, weights in tracks.items():
            turned, creased, crossed, strain = folds.count(units, weights).T
            rows[f"{track}: turned over, most and mean"] = f"{turned.max():.0f}, {turned.mean():.3f}"
            rows[f"{track}: creased, most and mean"] = f"{creased.max():.0f}, {creased.mean():.3f}"
            rows[f"{track}: lips' crossings beyond rest, most and mean"] = f"{crossed.max():.0f}, {crossed.mean():.2f}"
            rows[f"{track}: edge strain, %"] = f"{strain.mean() * 100:.2f}"
            off = np.linalg.norm(np.tensordot(weights, (units - plain)[:, lips], 1), axis=-1)
            rows[f"{track}: lips off plain transfer, mm"] = f"{off.mean() * 1000:.2f}"
    lines = ["| | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(table[way][row] for way in ways) + " |" for row in table["composed"]]
    return "\n".join(lines)
