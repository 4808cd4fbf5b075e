"""What the network made of one clip, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np

from ..errors import HiSTalkError
from ..files import atomic_open
from ..motion.motion import Motion


@dataclass(frozen=True, eq=False)
class Performance:
    """The motion of one clip; T frames, V vertices, metres. What each level did is None where it was not asked for."""

    motion: Motion  # of the head that was asked for
    outputs: dict[str, np.ndarray]  # topology -> [K, V', 3]: the same weights on every topology of the checkpoint
    neutral_vertices: np.ndarray  # [V, 3]
    neutral_landmarks: np.ndarray  # [68, 3]
    landmark_shapes: np.ndarray  # [K, 68, 3]: the motion's shapes at the landmarks
    topology: str
    sparse_displacements: np.ndarray | None = None  # [T, 68, 3]: S_pt
    level_displacements: np.ndarray | None = None  # [4, T, 68, 3]: frame, phoneme, word, utterance, gated
    gates: np.ndarray | None = None  # [4, T, 68] in (0, 1)
    remarks: tuple[str, ...] = ()  # what the user should know of how it was made

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.motion.fps

    @property
    def displacements(self) -> np.ndarray:
        """[T, V, 3] every vertex of every frame, held whole."""
        return self.motion.displacements()

    @property
    def landmark_positions(self) -> np.ndarray:
        """[T, 68, 3], read off the dense mesh."""
        return self.neutral_landmarks + self.motion.on(self.landmark_shapes).displacements()

    def save(self, path: Path) -> None:
        """Write all of it to one .npz: see `save_motion`."""
        names = (
            "neutral_vertices",
            "sparse_displacements",
            "level_displacements",
            "gates",
            "landmark_positions",
            "neutral_landmarks",
            "topology",
        )
        found = {name: getattr(self, name) for name in names}
        save_motion(path, self.motion, {name: value for name, value in found.items() if value is not None})


def save_motion(path: Path, motion: Motion, more: dict[str, object]) -> None:
    """Write a motion's displacements, its rate and further arrays to one .npz, the frames one chunk at a time.

    The file has its name when it is whole, and the same bytes for the same motion.

    Raises:
        HiSTalkError: the folder is missing or may not be written, or the motion is not finite.
    """
    motion.check_finite()
    path = Path(path)
    shape = (len(motion), *motion.shapes.shape[1:])
    try:
        with atomic_open(path) as whole, ZipFile(whole, "w", allowZip64=True) as archive:
            for name, value in (more | {"fps": motion.fps}).items():
                with archive.open(ZipInfo(f"{name}.npy"), "w") as file:  # dated 1980, not now
                    np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)
            with archive.open(ZipInfo("displacements.npy"), "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for chunk in motion.chunks():
                    file.write(chunk.astype("<f4").tobytes())
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another place.") from error
