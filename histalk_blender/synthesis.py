"""Audio + model + head -> a performance: windows, cross-fade, progress, cancel."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np

from .errors import HiSTalkError
from .head import Head
from .motion import Motion

WEIGHTS = Path(__file__).resolve().parent.parent / "model_weights" / "histalk-small.safetensors"


class Cancelled(Exception):
    """The caller asked synthesis to stop."""


@dataclass(frozen=True, eq=False)
class Performance:
    """The motion of one clip; T frames, V vertices, metres."""

    motion: Motion  # of the head that was asked for
    outputs: dict[str, np.ndarray]  # topology -> [K, V', 3]: the same weights on every topology of the checkpoint
    neutral_vertices: np.ndarray  # [V, 3]
    sparse_displacements: np.ndarray  # [T, 68, 3]: S_pt
    level_displacements: np.ndarray  # [4, T, 68, 3]: frame, phoneme, word, utterance, gated
    gates: np.ndarray  # [4, T, 68] in (0, 1)
    landmark_positions: np.ndarray  # [T, 68, 3], read off the dense mesh
    neutral_landmarks: np.ndarray  # [68, 3]
    topology: str
    remarks: tuple[str, ...] = ()  # what the user should know of how it was made

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.motion.fps

    @property
    def displacements(self) -> np.ndarray:
        """[T, V, 3] every vertex of every frame, held whole."""
        return self.motion.displacements()

    def save(self, path: Path) -> None:
        """Write the arrays to one .npz, under a temporary name until it is whole, the frames one chunk at a time.

        Raises:
            HiSTalkError: the folder is missing or may not be written.
        """
        path = Path(path)
        temporary = path.with_name(path.name + ".part")
        small = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("motion", "outputs", "remarks")}
        shape = (len(self.motion), *self.motion.shapes.shape[1:])
        try:
            with ZipFile(temporary, "w", allowZip64=True) as archive:
                for name, value in (small | {"fps": self.fps}).items():
                    # A ZipInfo says 1980 where a name would say now, and equal runs make equal files.
                    with archive.open(ZipInfo(f"{name}.npy"), "w") as file:
                        np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)
                with archive.open(ZipInfo("displacements.npy"), "w", force_zip64=True) as file:
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    for chunk in self.motion.chunks():
                        file.write(chunk.astype("<f4").tobytes())
            os.replace(temporary, path)
        except OSError as error:
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another place.") from error
        finally:
            temporary.unlink(missing_ok=True)


def synthesize(
    samples: np.ndarray,
    model,
    head: Head,
    *,
    window_s: float = 24.0,
    overlap_s: float = 9.6,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Performance:
    """Speech to dense motion; windows overlap and are cross-faded, so memory holds one window and the result.

    Args:
        samples: [N] float32 at 16 kHz.
        model: a loaded `network.HiSTalk` whose topologies include the head's.
        head: whose vertices move.
        window_s, overlap_s: seconds of a window, and of what two neighbours share.
        device: torch device name.
        progress: called with the share done, 0 to 1.
        cancelled: asked before each window.

    Raises:
        Cancelled: `cancelled` said so.
        HiSTalkError: the model has no output for the head's topology.
    """
    import torch

    from .audio import RATE, is_silent, normalise_level  # its wheels are not needed to register

    if head.topology not in model.outputs:
        raise HiSTalkError(f"The weights have no output for '{head.topology}': train one or choose another head.")
    outputs = {name: layer.basis.detach().float().cpu().numpy() for name, layer in model.outputs.items()}
    T, K = model.config.frames(len(samples)), model.config.dense_components
    fps = model.config.fps
    shapes = {"weights": (T, K), "sparse": (T, 68, 3), "levels": (T, 4, 68, 3), "gates": (T, 4, 68)}
    result = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    if is_silent(samples):
        result["gates"][:] = 0.5
    else:
        samples = normalise_level(samples)
        for start, end, fade in _windows(T, round(window_s * fps), round(overlap_s * fps), model.config.period):
            if cancelled and cancelled():
                raise Cancelled
            sound = samples[round(start / fps * RATE) : round(end / fps * RATE) if end < T else None]
            with torch.inference_mode():
                out = model.components(torch.from_numpy(np.ascontiguousarray(sound))[None].to(device))
            parts = {
                "weights": (out.fine + out.coarse)[0], "sparse": out.sparse[0],
                "levels": out.levels[0].transpose(0, 1), "gates": out.gates[0].transpose(0, 1),
            }  # fmt: skip
            for name, part in parts.items():
                whole, part = result[name], part[: end - start].float().cpu().numpy()
                ramp = fade[: len(part)].reshape(-1, *[1] * (part.ndim - 1))
                whole[start : start + len(part)] *= 1 - ramp
                whole[start : start + len(part)] += part * ramp
            if progress:
                progress(end / T)
    if progress:
        progress(1.0)
    motion = Motion(result["weights"], outputs[head.topology], fps)
    neutral = head.landmarks(head.vertices)
    landmarks = motion.on(head.landmarks(motion.shapes)).displacements()
    return Performance(
        motion, outputs, head.vertices, result["sparse"], result["levels"].transpose(1, 0, 2, 3),
        result["gates"].transpose(1, 0, 2), neutral + landmarks, neutral, head.topology,
    )  # fmt: skip


def _windows(frames: int, window: int, overlap: int, period: int):
    """(start, end, fade [end - start]) frames of each window, which fades in over the middle eighth of an overlap.

    The rest of an overlap only gives the network context: there one window alone counts. Windows start on
    the network's period where it is short enough, so that its tokens hold the same sound as in the whole clip, and
    the last one reaches back as far as it may, so that it hears no less than the others.
    """
    grid = period if period <= window - overlap else 1
    step = (window - overlap) // grid * grid
    start, before = 0, 0
    while True:
        end = min(start + window, frames)
        fade = np.ones(end - start, np.float32)
        if start:
            shared = before - start
            length = shared // 8
            first = (shared - length) // 2
            fade[:first] = 0
            fade[first : first + length] = (np.arange(length) + 1) / (length + 1)
        yield start, end, fade
        if end == frames:
            return
        before = end
        last = -(-(frames - window) // grid) * grid
        start = min(start + step, last)
