"""Our own corpus as a data set: the teacher's motion on the bundled head, known voices and strangers apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...head.head import Head, load_head
from ..corpus.clips import Clip, load_clips
from .base import DataSet, Recording, Topology


class Corpus(DataSet):
    """Shards made by `training.corpus.build`."""

    name = "corpus"
    splits = ("test", "test_known", "test_stranger", "train")

    def __init__(self, root: Path, **indices: Path | None):
        self.root, self.head = root, load_head()
        lips, upper = self.head.regions["lips"], self.head.regions["upper_face"]
        self.topology = Topology(
            "histalk",
            len(self.head.vertices),
            30.0,
            True,
            lips,
            upper,
            self.head.landmarks,
            masks=(
                ("lips", f"{len(lips)} vertices, head.npz"),
                ("upper_face", f"{len(upper)} vertices, head.npz"),
                ("landmarks", "iBUG's 68, head.npz"),
            ),
        ).with_indices(**indices)

    def clips(self, split: str) -> list[Clip]:
        """The shards' clips of a split; "test" holds both halves."""
        self.check_split(split)
        return load_clips(self.root, {"test_known", "test_stranger"} if split == "test" else {split})

    def recordings(self, split: str) -> list[Recording]:
        """See `DataSet`; a group is the split and the source."""
        return [recording_of(clip, self.head) for clip in self.clips(split)]


def recording_of(clip: Clip, head: Head) -> Recording:
    """A clip with the teacher's motion."""

    def arkit_weights() -> np.ndarray:
        return np.asarray(clip.controls, np.float32)

    return Recording(
        clip.id,
        clip.speaker,
        f"{clip.split} {clip.source}",
        head.vertices,
        lambda: np.asarray(clip.samples, np.float32) / 32768,
        lambda: head.pose(arkit_weights()),
        clip.phones,
        arkit_weights,
    )
