"""Audio + model + head -> performances: windows, cross-fade, progress, cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np

from .errors import HiSTalkError
from .files import settle
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
        """Write all of it to one .npz: see `save_motion`."""
        small = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("motion", "outputs", "remarks")}
        save_motion(path, self.motion, small)


def save_motion(path: Path, motion: Motion, more: dict[str, object]) -> None:
    """Write a motion's displacements, its rate and further arrays to one .npz, the frames one chunk at a time.

    The file has its name when it is whole, and the same bytes for the same motion.

    Raises:
        HiSTalkError: the folder is missing or may not be written.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    shape = (len(motion), *motion.shapes.shape[1:])
    try:
        with ZipFile(temporary, "w", allowZip64=True) as archive:
            for name, value in (more | {"fps": motion.fps}).items():
                with archive.open(ZipInfo(f"{name}.npy"), "w") as file:  # dated 1980, not now
                    np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)
            with archive.open(ZipInfo("displacements.npy"), "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for chunk in motion.chunks():
                    file.write(chunk.astype("<f4").tobytes())
        settle(temporary, path)
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another place.") from error
    finally:
        temporary.unlink(missing_ok=True)


def synthesize(samples: np.ndarray, model, head: Head, **options) -> Performance:
    """One clip's `synthesize_many`.

    Args:
        samples: [N] float32 at 16 kHz.
    """
    return synthesize_many([samples], model, head, **options)[0]


def synthesize_many(
    clips: Sequence[np.ndarray],
    model,
    head: Head,
    *,
    window_s: float = 24.0,
    overlap_s: float = 9.6,
    rows: int = 1,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Performance]:
    """Speech to dense motion; windows overlap and are cross-faded, so memory holds a few windows and the results.

    Args:
        clips: each [N] float32 at 16 kHz.
        model: a loaded `network.HiSTalk` whose topologies include the head's.
        head: whose vertices move.
        window_s, overlap_s: seconds of a window, and of what two neighbours share.
        rows: windows, of any clips, that the network hears at once; those of like length meet.
        device: torch device name.
        progress: called with the share done, 0 to 1.
        cancelled: asked before each batch of windows.

    Raises:
        Cancelled: `cancelled` said so.
        HiSTalkError: the model has no output for the head's topology.
    """
    from .audio import RATE, is_silent, normalise_level  # its wheels are not needed to register

    if head.topology not in model.outputs:
        raise HiSTalkError(f"The weights have no output for '{head.topology}': train one or choose another head.")
    fps, period = model.config.fps, model.config.period
    results, windows = [], []
    for which, samples in enumerate(clips):
        T = model.config.frames(len(samples))
        results.append(_empty(T, model.config.dense_components))
        if is_silent(samples):
            results[-1]["gates"][:] = 0.5
            continue
        samples = normalise_level(samples)
        for start, end, fade in _windows(T, round(window_s * fps), round(overlap_s * fps), period):
            sound = samples[round(start / fps * RATE) : round(end / fps * RATE) if end < T else None]
            windows.append((which, start, fade, sound))
    # Stable, so that the windows of a clip come in their order, as cross-fading needs: none is longer than one before.
    windows.sort(key=lambda window: -len(window[3]))
    for first in range(0, len(windows), rows):
        if cancelled and cancelled():
            raise Cancelled
        batch = windows[first : first + rows]
        for (which, start, fade, _), parts in zip(batch, _hear(model, [sound for *_, sound in batch], device)):
            for name, part in parts.items():
                whole, part = results[which][name][start : start + len(fade)], part[: len(fade)]
                ramp = fade[: len(part)].reshape(-1, *[1] * (part.ndim - 1))
                whole[: len(part)] = whole[: len(part)] * (1 - ramp) + part * ramp
        if progress:
            progress((first + len(batch)) / len(windows))
    if progress:
        progress(1.0)
    outputs = {name: layer.basis.detach().float().cpu().numpy() for name, layer in model.outputs.items()}
    return [_performance(result, outputs, head, fps) for result in results]


def _empty(frames: int, components: int) -> dict[str, np.ndarray]:
    shapes = {"weights": (components,), "sparse": (68, 3), "levels": (4, 68, 3), "gates": (4, 68)}
    return {name: np.zeros((frames, *shape), np.float32) for name, shape in shapes.items()}


def _hear(model, sounds: list[np.ndarray], device: str) -> Iterator[dict[str, np.ndarray]]:
    """What `_empty` holds, of each sound [N]; of one shorter than the longest, some frames more."""
    import torch

    lengths = torch.tensor([len(sound) for sound in sounds], device=device)
    waves = [torch.from_numpy(np.ascontiguousarray(sound)) for sound in sounds]
    with torch.inference_mode():
        out = model.components(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).to(device), lengths)
    parts = {
        "weights": out.fine + out.coarse, "sparse": out.sparse,
        "levels": out.levels.transpose(1, 2), "gates": out.gates.transpose(1, 2),
    }  # fmt: skip
    parts = {name: part.float().cpu().numpy() for name, part in parts.items()}
    return ({name: part[row] for name, part in parts.items()} for row in range(len(sounds)))


def _performance(result: dict[str, np.ndarray], outputs: dict[str, np.ndarray], head: Head, fps: float) -> Performance:
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
