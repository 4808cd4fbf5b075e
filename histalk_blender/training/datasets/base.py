"""What every data set gives: recordings by split, on one topology with its masks and landmarks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import HiSTalkError
from ...files import open_regular
from ...runtime.output import printable
from ..arrays import array_of, check_finite, read_npy
from .pickles import read_pickle

MOST_TEXT = 10_000_000  # bytes of a list of indices: a million of them


@dataclass(frozen=True, eq=False)
class Topology:
    """A mesh as metrics and training see it."""

    name: str  # of the network's output layer
    vertices: int
    fps: float  # of the data's motion
    metres: bool  # False: the data's own unit
    lips: np.ndarray | None = None  # vertex indices; None = unknown
    upper_face: np.ndarray | None = None
    landmarks: Callable[[np.ndarray], np.ndarray] | None = None  # [..., V, 3] -> [..., 68, 3] iBUG; None = unknown
    up: int = 2  # the axis that points up: 2 on Blender's axes
    masks: tuple[tuple[str, str], ...] = ()  # lips, upper_face, landmarks: where each comes from

    def with_indices(
        self, lips: Path | None = None, upper_face: Path | None = None, landmarks: Path | None = None
    ) -> Topology:
        """With the vertex indices of these files in place of its own.

        Raises:
            HiSTalkError: a file is missing, holds no indices of this mesh, or not 68 landmarks.
        """
        out, masks = self, dict(self.masks)
        for name, path in (("lips", lips), ("upper_face", upper_face), ("landmarks", landmarks)):
            if path is None:
                continue
            found = read_indices(path, self.vertices)
            value = found
            if name == "landmarks":
                if len(found) != 68:
                    raise HiSTalkError(f"'{path}' holds {len(found)} indices: landmarks are iBUG's 68, in its order.")
                value = VertexLandmarks(found)
            masks[name] = f"{len(found)} vertices of {Path(str(path)).name}"
            out = replace(out, **{name: value})
        return replace(out, masks=tuple(masks.items()))


@dataclass(frozen=True, eq=False)
class VertexLandmarks:
    """Landmarks that are vertices."""

    indices: np.ndarray  # [68]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """[..., V, 3] -> [..., 68, 3]."""
        return points[..., self.indices, :]


@dataclass(frozen=True, eq=False)
class Recording:
    """One sentence of one person; sound and motion are read when they are asked for."""

    id: str
    subject: str
    group: str  # what its table is called: people known to training and strangers never share one
    neutral: np.ndarray  # [V, 3]
    samples: Callable[[], np.ndarray]  # -> [N] float32 at 16 kHz
    motion: Callable[[], np.ndarray]  # -> [T, V, 3] displacements from `neutral`
    phones: list | None = None  # (ARPAbet, start s, end s), where they are known
    arkit_weights: Callable[[], np.ndarray] | None = None  # -> [T, 52], where the teacher made the motion


class DataSet(ABC):
    """A folder of recordings."""

    name: str
    root: Path
    splits: tuple[str, ...]
    sizes: dict[str, int] = {}  # recordings of each group where all are there, as far as that is known
    topology: Topology

    @abstractmethod
    def recordings(self, split: str) -> list[Recording]:
        """All recordings of a split.

        Raises:
            HiSTalkError: the split is unknown, or a file is missing or not what it should be.
        """

    def check_split(self, split: str) -> None:
        """Refuse a split that the data set does not have."""
        if split not in self.splits:
            raise HiSTalkError(f"{self.name} has no split '{split}': choose {', '.join(self.splits)}.")


def read_indices(path: Path, vertices: int) -> np.ndarray:
    """Vertex indices: text with commas or spaces, .npy, or keys of a pickled dictionary as in FLAME_masks.pkl:lips
    or FLAME_masks.pkl:forehead+eye_region.

    Raises:
        HiSTalkError: the file is missing, or holds anything else than indices below `vertices`.
    """
    name, _, keys = str(path).partition(".pkl:")
    file = Path(f"{name}.pkl" if keys else name)
    if not file.is_file():
        raise HiSTalkError(f"No vertex indices at '{file}': check the path.")
    try:
        if keys:
            table = read_pickle(file)
            found = np.concatenate([array_of(table[key], key).ravel() for key in keys.split("+")])
        elif file.suffix == ".npy":
            found = np.array(read_npy(file)).ravel()
        else:
            with open_regular(file) as text:
                words = text.read(MOST_TEXT).decode("utf-8-sig").replace(",", " ").split()
            found = np.array([int(word) for word in words], np.int64)
    except HiSTalkError:
        raise
    except Exception as error:
        raise HiSTalkError(
            f"'{path}' holds no list of vertex indices ({printable(error, 120)}): give numbers from 0."
        ) from error
    check_finite(found, str(path))
    if not len(found) or found.min() < 0 or found.max() >= vertices or (found % 1).any():
        raise HiSTalkError(f"'{path}' must hold indices from 0 to {vertices - 1}, the vertices of this mesh.")
    return found.astype(int)


def read_templates(path: Path, vertices: int) -> dict[str, np.ndarray]:
    """Neutral faces by subject, [V, 3] each.

    Raises:
        HiSTalkError: the file is missing, or a face is not of `vertices` vertices in finite numbers.
    """
    found = {}
    for subject, face in read_pickle(path).items():
        called = f"{path}: {printable(subject, 120)}"
        found[str(subject)] = as_frames(array_of(face, called), vertices, called)[0]
        check_finite(found[str(subject)], called)
    return found


def template_of(templates: dict[str, np.ndarray], subject: str, path: Path) -> np.ndarray:
    """One subject's neutral face [V, 3]."""
    if subject not in templates:
        raise HiSTalkError(f"'{path}' has no face of '{subject}': use the data set's own templates.pkl.")
    return templates[subject]


def read_frames(path: Path, vertices: int) -> np.ndarray:
    """[T, V, 3] positions of a .npy file, memory-mapped.

    Raises:
        HiSTalkError: the file is missing, no array, or of another mesh.
    """
    if not path.is_file():
        raise HiSTalkError(f"'{path}' is missing: put the data set's own file there.")
    return as_frames(read_npy(path), vertices, str(path))


def as_frames(array: np.ndarray, vertices: int, called: str) -> np.ndarray:
    """Any array of whole frames of a mesh as [T, V, 3]."""
    fits = array.shape[-1:] == (3 * vertices,) or array.shape[-2:] == (vertices, 3)
    if array.dtype.kind != "f" or not array.size or not fits:
        raise HiSTalkError(f"'{called}' is {array.dtype} {array.shape}, where frames of {vertices} vertices are due.")
    return array.reshape(-1, vertices, 3)


def frame_step(called: str, frames: int, seconds: float, rates: dict[float, int]) -> int:
    """Every how manieth frame is kept, by which of the usual rates fits the sound.

    Args:
        rates: frames a second -> step.

    Raises:
        HiSTalkError: sound and motion are not of one length at any rate.
    """
    if not frames or not seconds:
        raise HiSTalkError(
            f"'{called}' has {frames} frames for {seconds:.1f} s of sound: use the data set's own files."
        )
    rate = min(rates, key=lambda rate: abs(np.log(frames / seconds / rate)))
    if not 0.7 < frames / seconds / rate < 1.4:
        raise HiSTalkError(
            f"'{called}' has {frames} frames for {seconds:.1f} s of sound: at {' or '.join(f'{r:g}' for r in rates)} "
            "frames a second they do not belong together."
        )
    return rates[rate]
