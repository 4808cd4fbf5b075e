"""Whole clips: windows, cross-fade, progress, cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..audio import SAMPLE_RATE
from ..audio.clip import AudioClip
from ..head.head import Head
from ..motion.motion import Motion
from .checks import check_motion, check_outputs, check_sound
from .performance import Performance
from .windows import together, windows

WEIGHTS = Path(__file__).resolve().parents[2] / "model_weights" / "histalk-small.safetensors"
# Samples of which what the network hears has a multiple: kernels are made and kept for each length that occurs, and
# making them takes as long as hearing a second.
STEP = 5120


class Cancelled(Exception):
    """The caller asked synthesis to stop."""


def synthesize(
    samples: np.ndarray | AudioClip, model, head: Head, *, landmark_offsets: np.ndarray | None = None, **options
) -> Performance:
    """One clip's `synthesize_many`.

    Args:
        samples: [N] float32 at 16 kHz, or a `Sound`.
        landmark_offsets: [T, 68, 3] metres that the clip's landmarks are moved by, or None.
    """
    return synthesize_many([samples], model, head, landmark_offsets=[landmark_offsets], **options)[0]


def synthesize_many(
    clips: Sequence[np.ndarray | AudioClip],
    model,
    head: Head,
    *,
    levels: bool = True,
    window_s: float = 50.4,
    overlap_s: float = 7.2,
    rows: int = 1,
    landmark_offsets: Sequence[np.ndarray | None] | None = None,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Performance]:
    """Speech to dense motion; windows overlap and are cross-faded, so memory holds a few windows and the results.

    Args:
        clips: each [N] float32 at 16 kHz, or a `Sound`.
        model: a loaded `network.HiSTalk` whose topologies include the head's.
        head: whose vertices move.
        levels: keep landmarks, levels and gates too: 5.7 kB a frame, where the motion alone takes 0.3 kB.
        window_s, overlap_s: seconds of a window, and of what two neighbours share.
        rows: windows, of any clips, that the network hears at once; those of like length meet.
        landmark_offsets: for each clip [T, 68, 3] metres, or None: the network predicts landmarks, they are moved by
            these, and the dense motion is decoded from them. Predicted landmarks are `sparse_displacements`.
        device: torch device name.
        progress: called with the share done, 0 to 1.
        cancelled: asked before each batch of windows.

    Raises:
        Cancelled: `cancelled` said so.
        HiSTalkError: the model has no output for the head's topology, a `Sound` can no longer be read, or what the
            network makes of one is no motion.
        ValueError: landmark offsets are not finite numbers [T, 68, 3] of their clip.
    """
    check_outputs(model, head.topology, len(head.vertices))
    config = model.config
    sounds = [clip if isinstance(clip, AudioClip) else AudioClip.of(clip) for clip in clips]
    offsets = landmark_offsets or [None] * len(sounds)
    results, todo = [], []
    for which, sound in enumerate(sounds):
        T = config.frames(len(sound))
        if offsets[which] is not None and (offsets[which].shape != (T, 68, 3) or not np.isfinite(offsets[which]).all()):
            raise ValueError(f"landmark_offsets must be finite numbers [{T}, 68, 3], not {offsets[which].shape}.")
        results.append(_empty(T, config.dense_components, levels))
        if sound.silent:
            if levels:
                results[-1]["gates"] += 0.5
            continue
        for start, end, weight in windows(T, config.fps, window_s, overlap_s, config.period):
            last = round(end / config.fps * SAMPLE_RATE) if end < T else len(sound)
            todo.append((which, start, weight, round(start / config.fps * SAMPLE_RATE), last))
    # Of like length together; the windows of a clip stay in their order, in which its sound is decoded.
    todo.sort(key=lambda window: -min(window[4] - window[3], round(window_s * SAMPLE_RATE)))
    for part in together([last - first for *_, first, last in todo], rows):
        if cancelled and cancelled():
            raise Cancelled
        batch = todo[part]
        heard = hear(
            model,
            [sounds[which].between(first, last) for which, _, _, first, last in batch],
            device,
            levels,
            [sounds[which].called for which, *_ in batch],
            [None if offsets[which] is None else offsets[which][start:] for which, start, *_ in batch],
        )
        for (which, start, weight, *_), parts in zip(batch, heard):
            for name, new in parts.items():
                whole, new = results[which][name][start : start + len(weight)], new[: len(weight)]
                whole[: len(new)] += new * weight[: len(new)].reshape(-1, *[1] * (new.ndim - 1))
        if progress:
            progress(part.stop / len(todo))
    if progress:
        progress(1.0)
    return [_performance(result, bases(model), head, config.fps) for result in results]


def hear(
    model,
    sounds: list[np.ndarray],
    device: str,
    levels: bool = False,
    called: Sequence[str] = (),
    landmark_offsets: Sequence[np.ndarray | None] = (),
) -> Iterator[dict[str, np.ndarray]]:
    """What `_empty` holds, of each sound [N] float32, and some frames more: they come from what fills it up.

    All that the network says of a sound passes here, so that whatever is no motion is found here.

    Args:
        called: names of the sounds, for messages.
        landmark_offsets: for each sound [frames, 68, 3] metres or None; frames beyond the sound's are ignored.

    Raises:
        HiSTalkError: a sound or what the network makes of it is not finite, or moves a face by metres.
    """
    import torch

    lengths = [len(sound) for sound in sounds]
    called = called or ["the sound"] * len(sounds)
    for sound, name in zip(sounds, called):
        check_sound(sound, name)
    waves = np.zeros((len(sounds), -(-max(lengths) // STEP) * STEP), np.float32)
    for wave, sound in zip(waves, sounds):
        wave[: len(sound)] = sound
    moved = _offsets(landmark_offsets, model.config.frames(waves.shape[1]))
    parts = _parts(model, waves, lengths, device, levels, moved)
    if not all(np.isfinite(part).all() for part in parts.values()):
        half, model.acoustic.half_on = model.acoustic.half_on, ()
        try:  # half precision, which GPUs use, ends at 65504
            parts = _parts(model, waves, lengths, device, levels, moved) if torch.device(device).type in half else parts
        finally:
            model.acoustic.half_on = half
    heard = [{name: part[row] for name, part in parts.items()} for row in range(len(sounds))]
    for one, length, name in zip(heard, lengths, called):
        check_motion(model, {key: part[: model.config.frames(length)] for key, part in one.items()}, name)
    return iter(heard)


def _offsets(landmark_offsets: Sequence[np.ndarray | None], frames: int) -> np.ndarray | None:
    """[B, frames, 68, 3], zero where nothing is moved; None where nothing is at all."""
    if all(one is None for one in landmark_offsets):
        return None
    moved = np.zeros((len(landmark_offsets), frames, 68, 3), np.float32)
    for row, one in zip(moved, landmark_offsets):
        if one is not None:
            row[: len(one)] = one[:frames]
    return moved


def _parts(
    model, waves: np.ndarray, lengths: list[int], device: str, levels: bool, moved: np.ndarray | None
) -> dict[str, np.ndarray]:
    import torch

    with torch.inference_mode():
        features = model.encode(torch.from_numpy(waves).to(device), torch.tensor(lengths, device=device))
        if moved is None:
            out = model.from_features(features)
        else:
            landmarks = model.predict_landmarks(features).edited(torch.from_numpy(moved).to(device))
            out = model.predict_dense(features, landmarks)
    parts = {"weights": out.fine + out.coarse}
    if levels:
        parts |= {"sparse": out.sparse, "levels": out.levels.transpose(1, 2), "gates": out.gates.transpose(1, 2)}
    return {name: part.float().cpu().numpy() for name, part in parts.items()}


def bases(model) -> dict[str, np.ndarray]:
    """Topology -> [K, V, 3]: the model's output layers."""
    return {name: layer.basis.detach().float().cpu().numpy() for name, layer in model.outputs.items()}


def _empty(frames: int, components: int, levels: bool) -> dict[str, np.ndarray]:
    """A clip at rest."""
    found = {"weights": np.zeros((frames, components), np.float32)}
    if levels:
        found["sparse"] = np.zeros((frames, 68, 3), np.float32)
        found["levels"] = np.zeros((frames, 4, 68, 3), np.float32)
        found["gates"] = np.zeros((frames, 4, 68), np.float32)
    return found


def _performance(result: dict[str, np.ndarray], outputs: dict[str, np.ndarray], head: Head, fps: float) -> Performance:
    more = {}
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
