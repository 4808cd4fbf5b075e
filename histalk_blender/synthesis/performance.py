"""The predicted motion of one clip: kept so that style, head and bake may change without the network; and its file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np

from ..errors import HiSTalkError
from ..files import atomic_open
from ..head.head import Head, load_head
from ..head.topologies import Topology
from ..motion.arkit_fit import fit_blendshapes
from ..motion.motion import Motion
from ..motion.retarget import to_arkit, to_vertices
from ..motion.style import Style


@dataclass(frozen=True, eq=False)
class Performance:
    """The motion of one clip; T frames, V vertices, metres. Levels and gates are None if they were not asked for."""

    motion: Motion  # of the head that was asked for
    outputs: dict[
        str, np.ndarray
    ]  # topology's name -> [K, V', 3]: the motion's shapes on each topology of the checkpoint
    neutral_vertices: np.ndarray  # [V, 3]
    neutral_landmarks: np.ndarray  # [68, 3]
    landmark_shapes: np.ndarray  # [K, 68, 3]: the motion's shapes at the landmarks
    topology: str
    sparse_displacements: np.ndarray | None = None  # [T, 68, 3]: S_pt
    level_displacements: np.ndarray | None = None  # [4, T, 68, 3]: frame, phoneme, word, utterance, gated
    gates: np.ndarray | None = None  # [4, T, 68] in (0, 1)
    remarks: tuple[str, ...] = ()  # what the user should know of how it was computed

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

    @property
    def arkit_weights(self) -> np.ndarray:
        """[T, 52] weights of ARKit's blendshapes whose face is nearest to it, in ARKIT_BLENDSHAPES' order."""
        return self._fitted[0]

    @property
    def residual(self) -> np.ndarray:
        """[T] metres between the blendshapes' face and it, see `arkit_fit.residual_of`."""
        return self._fitted[1]

    @cached_property
    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        """Computed when it is first needed: it takes longer than the network."""
        return fit_blendshapes(self.motion, load_head())

    def retarget(self, topology: Topology, rest: np.ndarray, style: Style) -> Motion:
        """The styled motion for one head's own vertices, see `retarget.to_vertices`; of the bundled head alone."""
        return to_vertices(self.motion, self.outputs, lambda: self.arkit_weights, topology, rest, style)

    def arkit_motion(
        self, style: Style, limits: np.ndarray | None = None, own: Head | None = None
    ) -> tuple[Motion, np.ndarray]:
        """The styled motion as a rig's ARKit weights, and its residual, see `retarget.to_arkit`."""
        return to_arkit(self.motion, self.arkit_weights, style, limits, own)

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

    The same motion gives the same bytes.

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
