"""VOCASET: twelve people, forty sentences each, FLAME's 5023 vertices in metres; both layouts that users have.

A: wav/SUBJECT_sentenceNN.wav, vertices_npy/SUBJECT_sentenceNN.npy (T × 15069), templates.pkl.
B, VOCA's own: data_verts.npy, raw_audio_fixed.pkl, subj_seq_to_idx.pkl, templates.pkl.

Motion is captured at 60 frames a second and halved, as all do. It is turned to Blender's axes, the network's own.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import soxr

from ...audio import SAMPLE_RATE
from ...audio.clip import read_audio
from ...errors import HiSTalkError
from ...head.head import load_head
from ...head.topologies.flame import VERTICES, load_flame_map
from ..arrays import array_of, check_finite
from .base import DataSet, Recording, Topology, VertexLandmarks, frame_step, read_frames, read_templates, template_of
from .pickles import read_pickle

ALL, LATER = range(1, 41), range(21, 41)
# The official split (docs/method.md section 6): subjects and sentences.
SPLITS = {
    "train": (
        (
            "170728_03272",
            "170904_00128",
            "170725_00137",
            "170915_00223",
            "170811_03274",
            "170913_03279",
            "170904_03276",
            "170912_03278",
        ),
        ALL,
    ),
    "val": (("170811_03275", "170908_03277"), LATER),
    "test": (("170809_00138", "170731_00024"), LATER),
}
RATES = {60.0: 2, 30.0: 1}  # as captured; as some have halved it before
FILES = ("data_verts.npy", "raw_audio_fixed.pkl", "subj_seq_to_idx.pkl")


def upright(points: np.ndarray) -> np.ndarray:
    """FLAME's axes (Y up, the face along +Z) to Blender's (Z up, the face along -Y): [..., 3]."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1).astype(np.float32)


def flame_topology() -> Topology:
    """FLAME with our own masks, as FLAME's state no licence: where its vertices lie on the bundled head."""
    flame, head = load_flame_map(), load_head()
    member = np.zeros(len(head.vertices))
    member[head.regions["upper_face"]] = 1
    upper = np.flatnonzero((member[flame.corners] * flame.weights).sum(1) > 0.5)
    masks = (
        ("lips", f"{len(flame.lips)} vertices, flame.npz"),
        ("upper_face", f"{len(upper)} vertices, flame.npz"),
        ("landmarks", "iBUG's 68, nearest vertices, flame.npz"),
    )
    marks = VertexLandmarks(flame.landmarks)
    return Topology("flame", VERTICES, 30.0, True, flame.lips, upper, marks, masks=masks)


class Vocaset(DataSet):
    """A folder in either layout."""

    name = "vocaset"
    splits = ("train", "val", "test")
    sizes = {split: len(subjects) * len(sentences) for split, (subjects, sentences) in SPLITS.items()}

    def __init__(self, root: Path, **indices: Path | None):
        self.root = root
        self.topology = flame_topology().with_indices(**indices)
        self.original = (root / FILES[0]).exists()

    @cached_property
    def _templates(self) -> dict[str, np.ndarray]:
        faces = read_templates(self.root / "templates.pkl", VERTICES)
        return {subject: upright(face) for subject, face in faces.items()}

    @cached_property
    def _original(self) -> tuple[np.ndarray, dict, dict]:
        verts, audio, index = (self.root / name for name in FILES)
        return read_frames(verts, VERTICES), read_pickle(audio), read_pickle(index)

    def recordings(self, split: str) -> list[Recording]:
        """See `DataSet`. A few sentences were never captured; a subject without any is an error."""
        self.check_split(split)
        subjects, sentences = SPLITS[split]
        found = []
        for subject in (f"FaceTalk_{name}_TA" for name in subjects):
            have = list((self._from_original if self.original else self._from_files)(subject, sentences))
            neutral = template_of(self._templates, subject, self.root / "templates.pkl")
            for sentence, samples, positions in have:
                moved = self._displacements(positions, samples, neutral, f"{subject}_{sentence}")
                found.append(Recording(f"{subject}_{sentence}", subject, split, neutral, samples, moved))
        return found

    def _displacements(self, positions, samples, neutral: np.ndarray, called: str):
        def read() -> np.ndarray:
            frames = positions()
            step = frame_step(called, len(frames), len(samples()) / SAMPLE_RATE, RATES)
            moved = upright(np.asarray(frames[::step])) - neutral
            check_finite(moved, called)
            return moved

        return read

    def _from_files(self, subject: str, sentences: range):
        names = [f"sentence{number:02}" for number in sentences]
        paths = {name: self.root / "vertices_npy" / f"{subject}_{name}.npy" for name in names}
        paths = {name: path for name, path in paths.items() if path.exists()}
        if not paths:
            raise HiSTalkError(
                f"'{self.root / 'vertices_npy' / f'{subject}_{names[0]}.npy'}' is missing, as are all sentences of "
                "this subject and VOCA's data_verts.npy: put the data set's own files there."
            )
        for name, path in paths.items():
            sound = self.root / "wav" / f"{subject}_{name}.wav"
            if not sound.exists():
                raise HiSTalkError(f"'{sound}' is missing, though its vertices are there: copy it too.")
            yield name, lambda sound=sound: read_audio(sound), lambda path=path: read_frames(path, VERTICES)

    def _from_original(self, subject: str, sentences: range):
        verts, audio, index = self._original
        spoken, sounds = _table(index, subject, self.root / FILES[2]), _table(audio, subject, self.root / FILES[1])
        names = [f"sentence{n:02}" for n in sentences if f"sentence{n:02}" in spoken]
        if not names:
            raise HiSTalkError(f"'{self.root / FILES[2]}' has no sentence of '{subject}': use VOCASET's own file.")
        for name in names:
            if name not in sounds:
                raise HiSTalkError(f"'{self.root / FILES[1]}' lacks {subject} {name}, though its vertices are there.")
            rows = _rows(_table(spoken, name, self.root / FILES[2]), f"{self.root / FILES[2]}: {subject} {name}")
            if max(rows) >= len(verts):
                raise HiSTalkError(f"'{self.root / FILES[0]}' ends before {subject} {name}: copy or download it again.")
            sound, called = _table(sounds, name, self.root / FILES[1]), f"{self.root / FILES[1]}: {subject} {name}"
            yield name, lambda sound=sound, called=called: _resampled(sound, called), lambda rows=rows: verts[rows]


def _table(table: dict, key: str, path: Path) -> dict:
    """What a table of tables holds; nothing where the key is not there."""
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise HiSTalkError(f"'{path}' holds no table of '{key}': use VOCASET's own file.")
    return found


def _rows(table: dict, called: str) -> list[int]:
    """Frame -> row of data_verts.npy, as the rows in the frames' order."""
    numbers = [*table, *table.values()]
    if not numbers or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in numbers):
        raise HiSTalkError(f"'{called}' holds no rows of {FILES[0]}: use VOCASET's own file.")
    return [row for _, row in sorted(table.items())]


def _resampled(sound: dict, called: str) -> np.ndarray:
    samples, rate = array_of(sound.get("audio"), called), sound.get("sample_rate")
    if (
        samples.ndim != 1
        or not len(samples)
        or not isinstance(rate, (int, float, np.number))
        or not 1000 <= rate <= 400_000
    ):
        raise HiSTalkError(f"'{called}' is no sound of one channel with its sample rate: use VOCASET's own file.")
    check_finite(samples, called)
    wave = samples.astype(np.float32) / (32768 if samples.dtype.kind == "i" else 1)
    return soxr.resample(wave, float(rate), SAMPLE_RATE)
