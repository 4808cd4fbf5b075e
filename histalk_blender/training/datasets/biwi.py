"""BIWI B3D(AC)²: fourteen people, forty sentences, 23370 vertices at 25 frames a second, in a unit of its own.

The field's layout: wav/F1_e01.wav, vertices_npy/F1_e01.npy (T × 70110), templates.pkl, and CodeTalker's masks
regions/lve.txt (lips) and regions/fdd.txt (upper face). iBUG's 68 landmarks come with no release: a file of 68 vertex
indices, landmarks.txt, is read where there is one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...audio import SAMPLE_RATE
from ...audio.clip import read_audio
from ...errors import HiSTalkError
from ..arrays import check_finite
from .base import DataSet, Recording, Topology, frame_step, read_frames, read_templates, template_of

VERTICES = 23370
SEEN, UNSEEN = ("F2", "F3", "F4", "M3", "M4", "M5"), ("F1", "F5", "F6", "F7", "F8", "M1", "M2", "M6")
# The official split (docs/method.md section 6): subjects and sentences.
SPLITS = {
    "train": (SEEN, range(1, 33)),
    "val": (SEEN, range(33, 37)),
    "test-a": (SEEN, range(37, 41)),
    "test-b": (UNSEEN, range(37, 41)),
}
RATES = {25.0: 1}
OWN = {"lips": "regions/lve.txt", "upper_face": "regions/fdd.txt", "landmarks": "landmarks.txt"}


class Biwi(DataSet):
    """A folder in the field's layout."""

    name = "biwi"
    splits = ("train", "val", "test", "test-a", "test-b")
    sizes = {split: len(subjects) * len(sentences) for split, (subjects, sentences) in SPLITS.items()}

    def __init__(self, root: Path, **indices: Path | None):
        self.root = root
        own = {name: root / path for name, path in OWN.items() if (root / path).exists()}
        given = {name: path for name, path in indices.items() if path is not None}
        self.topology = Topology("biwi", VERTICES, 25.0, False, up=1).with_indices(**own | given)

    def recordings(self, split: str) -> list[Recording]:
        """See `DataSet`; "test" is A (people known to training) and B (strangers), each a group."""
        self.check_split(split)
        path = self.root / "templates.pkl"
        templates, found = read_templates(path, VERTICES), []
        for part in ("test-a", "test-b") if split == "test" else (split,):
            for subject in SPLITS[part][0]:
                neutral = template_of(templates, subject, path).astype(np.float32)
                found += [self._recording(name, part, neutral) for name in self._names(subject, SPLITS[part][1])]
        return found

    def _names(self, subject: str, sentences: range) -> list[str]:
        names = [f"{subject}_e{number:02}" for number in sentences]
        have = [name for name in names if (self.root / "vertices_npy" / f"{name}.npy").exists()]
        if not have:
            missing = self.root / "vertices_npy" / f"{names[0]}.npy"
            raise HiSTalkError(f"'{missing}' is missing, as are this subject's other sentences: copy them there.")
        return have

    def _recording(self, name: str, group: str, neutral: np.ndarray) -> Recording:
        vertices, sound = self.root / "vertices_npy" / f"{name}.npy", self.root / "wav" / f"{name}.wav"
        if not sound.exists():
            raise HiSTalkError(f"'{sound}' is missing, though its vertices are there: copy it too.")

        def motion() -> np.ndarray:
            frames = read_frames(vertices, VERTICES)
            frame_step(str(vertices), len(frames), len(read_audio(sound)) / SAMPLE_RATE, RATES)
            moved = np.asarray(frames, np.float32) - neutral
            check_finite(moved, str(vertices))
            return moved

        return Recording(name, name.split("_")[0], group, neutral, lambda: read_audio(sound), motion)
