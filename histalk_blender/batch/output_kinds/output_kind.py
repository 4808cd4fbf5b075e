"""The class that every kind of output extends, and the clip that it writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import HiSTalkError
from ...head.topologies import Topology, recognise, vertex_counts
from ...motion.layers import layered_weights
from ...motion.motion import Motion
from ...motion.timing import from_sound_start

if TYPE_CHECKING:
    from ...synthesis import Performance
    from ..job import Job


@dataclass(frozen=True, eq=False)
class ClipResult:
    """One clip's animation and the head that it is for.

    performance: what the network predicted.
    fps: frames a second of what is written.
    basis_positions, shown_positions: [V, 3] the head's vertices in metres, without and with the user's own shape keys.
    obj: the baked head in Blender's open scene; None where no output needs Blender.
    """

    job: Job
    performance: Performance
    fps: float
    basis_positions: np.ndarray
    shown_positions: np.ndarray
    obj: object = None

    @cached_property
    def frames(self) -> tuple[int, int]:
        """First and last scene frame: the row's, else from the sound's first one until sound and motion have ended."""
        motion = from_sound_start(self.performance.motion, self.fps, self.job.style.delay)
        return self.job.written_frames(len(motion))

    @property
    def topology(self) -> Topology:
        """Of the head.

        Raises:
            HiSTalkError: it has none that dense motion can be made for.
        """
        if topology := recognise(self.basis_positions):
            return topology
        raise HiSTalkError(
            f"The object has {len(self.basis_positions)} vertices, {vertex_counts()}: choose one of those, or leave "
            "pc2, mdd and npz out."
        )

    @cached_property
    def motion(self) -> Motion:
        """Displacements of the head's vertices; see `_in_frames`.

        Raises:
            HiSTalkError: see `topology`.
        """
        motion = self.performance.retarget(self.topology, self.basis_positions, self.job.style)
        return self._in_frames(motion)

    @cached_property
    def arkit_weights(self) -> np.ndarray:
        """[T, 52] weights of the ARKit blendshapes; see `_in_frames`."""
        motion, style = self.performance.motion, self.job.style
        weights = layered_weights(self.performance.arkit_weights, style, motion.fps)
        return self._in_frames(replace(motion, weights=weights)).weights

    def _in_frames(self, motion: Motion) -> Motion:
        """The motion for a file without a start frame: it begins with the sound, or with the row's first frame.

        Raises:
            HiSTalkError: the row's frames end before the sound, or begin after the motion.
        """
        motion = from_sound_start(motion, self.fps, self.job.style.delay)
        first, last = self.job.written_frames(len(motion))
        start = self.job.start
        motion = motion.between(max(0, first - start), max(0, last - start + 1))
        if not len(motion):
            raise HiSTalkError(f"Nothing is spoken in the frames {first} to {last}: choose others.")
        return motion


class OutputKind(ABC):
    """One file of a clip.

    name: in `--outputs` and in a manifest.
    suffix: of its file; "" = a dot and the name.
    needs_blender: written from the baked head in Blender's open scene, and not from the motion alone.
    arkit_format: name of a file format whose animation can only be ARKit curves; "" for any bake.
    """

    name: str
    suffix = ""
    needs_blender = False
    arkit_format = ""

    def file(self, clip: str) -> str:
        """Its file's name for a clip's name."""
        return clip + (self.suffix or f".{self.name}")

    def check_scene(self) -> None:  # noqa: B027  # most kinds need nothing of it
        """Refuse the user's open scene before anything is baked in it.

        Raises:
            HiSTalkError: this cannot be written from it.
        """

    @abstractmethod
    def write(self, clip: ClipResult, path: Path) -> None:
        """Make the file, which must be whole when it has its name (see `files`).

        Raises:
            HiSTalkError: it cannot be made.
        """
