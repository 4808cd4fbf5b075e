"""Whole clips, one or many: windows, batches, overlap-add."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import SAMPLE_RATE
from ..audio.clip import AudioClip
from ..head.head import Head
from ..motion.motion import Motion
from .checks import check_motion, check_outputs, check_sound
from .performance import Performance
from .windows import batches, overlap_add_windows

WEIGHTS = Path(__file__).resolve().parents[2] / "model_weights" / "histalk-small.safetensors"
# Samples; the network's input is padded to a multiple. PyTorch makes and keeps kernels for each length that occurs, and
# making them takes as long as running a second of speech.
STEP = 5120


class Cancelled(Exception):
    """The caller stopped synthesis."""


def synthesize(
    samples: np.ndarray | AudioClip, model, head: Head, *, landmark_offsets: np.ndarray | None = None, **options
) -> Performance:
    """One clip's `synthesize_many`.

    Args:
        samples: [N] float32 at 16 kHz, or an `AudioClip`.
        landmark_offsets: [T, 68, 3] metres that the clip's landmarks are moved by, or None.
    """
    return synthesize_many([samples], model, head, landmark_offsets=[landmark_offsets], **options)[0]


@dataclass(frozen=True, eq=False)
class _Window:
    """A part of a clip that the network runs on at once."""

    clip: int  # index
    start: int  # its first frame
    fade: np.ndarray  # [frames] what its motion is multiplied by; fades of overlapping windows sum to one
    first: int  # its first sample
    last: int  # and the one after its last

    def __len__(self) -> int:
        return self.last - self.first


def synthesize_many(
    clips: Sequence[np.ndarray | AudioClip],
    model,
    head: Head,
    *,
    levels: bool = True,
    window_s: float = 50.4,
    overlap_s: float = 7.2,
    batch_size: int = 1,
    landmark_offsets: Sequence[np.ndarray | None] | None = None,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Performance]:
    """Speech to dense motion, overlap-add over windows: memory holds a few windows and the results.

    Args:
        clips: each [N] float32 at 16 kHz, or an `AudioClip`.
        model: a loaded `network.HiSTalk` whose topologies include the head's.
        head: whose vertices move.
        levels: keep landmarks, levels and gates too: 5.7 kB a frame; the motion alone takes 0.3 kB.
        window_s, overlap_s: seconds of a window, and of what two neighbours share.
        batch_size: windows, of any clips, that the network runs on at once; those of similar length are batched.
        landmark_offsets: for each clip [T, 68, 3] metres, or None: the network predicts landmarks, they are moved by
            these, and the dense motion is decoded from them. Predicted landmarks are `sparse_displacements`.
        device: torch device name.
        progress: called with the share done, 0 to 1.
        cancelled: called before each batch of windows; whether to stop.

    Raises:
        Cancelled: `cancelled` returned true.
        HiSTalkError: the model has no output for the head's topology, an `AudioClip` can no longer be read, or a
            prediction is not finite or moves the face by metres.
        ValueError: landmark offsets are not finite numbers [T, 68, 3] of their clip.
    """
    check_outputs(model, head.topology, len(head.vertices))
    config = model.config
    clips = [clip if isinstance(clip, AudioClip) else AudioClip.of(clip) for clip in clips]
    offsets = landmark_offsets or [None] * len(clips)
    results, windows = [], []
    for index, clip in enumerate(clips):
        T, edits = config.frames(len(clip)), offsets[index]
        if edits is not None and (edits.shape != (T, 68, 3) or not np.isfinite(edits).all()):
            raise ValueError(f"landmark_offsets must be finite numbers [{T}, 68, 3], not {edits.shape}.")
        results.append(_zeros(T, config.dense_components, levels))
        if not clip.silent:
            windows += _windows(index, clip, T, config, window_s, overlap_s)
        elif levels:
            results[-1]["gates"] += 0.5
    # By length, longest first; the windows of a clip stay in their order, in which it is decoded.
    windows.sort(key=lambda window: -min(len(window), round(window_s * SAMPLE_RATE)))
    for part in batches(list(map(len, windows)), batch_size):
        if cancelled and cancelled():
            raise Cancelled
        batch = windows[part]
        predictions = predict_batch(
            model,
            [clips[window.clip].between(window.first, window.last) for window in batch],
            device,
            levels,
            [clips[window.clip].called for window in batch],
            [None if offsets[window.clip] is None else offsets[window.clip][window.start :] for window in batch],
        )
        for window, prediction in zip(batch, predictions):
            _add(results[window.clip], prediction, window)
        if progress:
            progress(part.stop / len(windows))
    if progress:
        progress(1.0)
    return [_performance(result, bases(model), head, config.fps) for result in results]


def _windows(index: int, clip: AudioClip, T: int, config, window_s: float, overlap_s: float) -> Iterator[_Window]:
    for start, end, fade in overlap_add_windows(T, config.fps, window_s, overlap_s, config.period):
        last = round(end / config.fps * SAMPLE_RATE) if end < T else len(clip)
        yield _Window(index, start, fade, round(start / config.fps * SAMPLE_RATE), last)


def _add(result: dict[str, np.ndarray], prediction: dict[str, np.ndarray], window: _Window) -> None:
    """Add a window's prediction to its clip's, faded."""
    fade = window.fade
    for name, new in prediction.items():
        whole, new = result[name][window.start : window.start + len(fade)], new[: len(fade)]
        whole[: len(new)] += new * fade[: len(new)].reshape(-1, *[1] * (new.ndim - 1))


def predict_batch(
    model,
    sounds: list[np.ndarray],
    device: str,
    levels: bool = False,
    names: Sequence[str] = (),
    landmark_offsets: Sequence[np.ndarray | None] = (),
) -> list[dict[str, np.ndarray]]:
    """Run the network on a batch, and check what it predicts.

    Args:
        sounds: each [N] float32 at 16 kHz, at the network's loudness.
        device: torch device name.
        levels: see `synthesize_many`.
        names: of the sounds, for messages.
        landmark_offsets: for each sound [frames, 68, 3] metres or None; frames beyond the sound's are ignored.

    Returns:
        For each sound the arrays of `_zeros`, with further frames at the end, which come from padding.

    Raises:
        HiSTalkError: a sound or a prediction is not finite, or moves the face by metres.
    """
    import torch

    lengths = [len(sound) for sound in sounds]
    names = names or ["the sound"] * len(sounds)
    for sound, name in zip(sounds, names):
        check_sound(sound, name)
    waves = np.zeros((len(sounds), -(-max(lengths) // STEP) * STEP), np.float32)
    for wave, sound in zip(waves, sounds):
        wave[: len(sound)] = sound
    moved = _offsets(landmark_offsets, model.config.frames(waves.shape[1]))
    arrays = _run(model, waves, lengths, device, levels, moved)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        half, model.acoustic.half_on = model.acoustic.half_on, ()
        try:  # half precision, which GPUs use, ends at 65504
            arrays = _run(model, waves, lengths, device, levels, moved) if torch.device(device).type in half else arrays
        finally:
            model.acoustic.half_on = half
    predictions = [{name: array[row] for name, array in arrays.items()} for row in range(len(sounds))]
    for prediction, length, name in zip(predictions, lengths, names):
        check_motion(model, {key: part[: model.config.frames(length)] for key, part in prediction.items()}, name)
    return predictions


def _offsets(landmark_offsets: Sequence[np.ndarray | None], frames: int) -> np.ndarray | None:
    """[B, frames, 68, 3], zero where nothing is moved; None if nothing is."""
    if all(one is None for one in landmark_offsets):
        return None
    moved = np.zeros((len(landmark_offsets), frames, 68, 3), np.float32)
    for row, one in zip(moved, landmark_offsets):
        if one is not None:
            row[: len(one)] = one[:frames]
    return moved


def _run(
    model, waves: np.ndarray, lengths: list[int], device: str, levels: bool, moved: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The network's arrays [B, frames, ...] for waves [B, N]; `_zeros` names them."""
    import torch

    with torch.inference_mode():
        features = model.encode(torch.from_numpy(waves).to(device), torch.tensor(lengths, device=device))
        if moved is None:
            out = model.from_features(features)
        else:
            landmarks = model.predict_landmarks(features).edited(torch.from_numpy(moved).to(device))
            out = model.predict_dense(features, landmarks)
    tensors = {"weights": out.fine + out.coarse}
    if levels:
        tensors |= {"sparse": out.sparse, "levels": out.levels.transpose(1, 2), "gates": out.gates.transpose(1, 2)}
    return {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}


def bases(model) -> dict[str, np.ndarray]:
    """Topology's name -> [K, V, 3] metres: the model's output layers."""
    return {name: layer.basis.detach().float().cpu().numpy() for name, layer in model.outputs.items()}


def _zeros(frames: int, components: int, levels: bool) -> dict[str, np.ndarray]:
    """A clip without motion: weights [T, K] of the shapes; landmarks, their levels and gates, if `levels`."""
    found = {"weights": np.zeros((frames, components), np.float32)}
    if levels:
        found["sparse"] = np.zeros((frames, 68, 3), np.float32)
        found["levels"] = np.zeros((frames, 4, 68, 3), np.float32)
        found["gates"] = np.zeros((frames, 4, 68), np.float32)
    return found


def _performance(result: dict[str, np.ndarray], outputs: dict[str, np.ndarray], head: Head, fps: float) -> Performance:
    more: dict[str, Any] = {}
    if "levels" in result:
        more = {
            "sparse_displacements": result["sparse"],
            "level_displacements": result["levels"].transpose(1, 0, 2, 3),
            "gates": result["gates"].transpose(1, 0, 2),
        }
    motion, shapes = Motion(result["weights"], outputs[head.topology], fps), outputs[head.topology]
    return Performance(
        motion, outputs, head.vertices, head.landmarks(head.vertices), head.landmarks(shapes), head.topology, **more
    )
