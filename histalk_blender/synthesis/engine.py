"""Speech to performances on a device: choosing it, keeping the model loaded, and what to do if memory is full."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..audio import SAMPLE_RATE
from ..errors import HiSTalkError
from ..head.head import load_head
from ..runtime.imports import gc_paused, import_torch
from . import WEIGHTS, Performance, synthesize_many
from .checks import check_outputs
from .clips import predict_batch

if TYPE_CHECKING:
    from ..audio.clip import AudioClip
    from ..network import HiSTalk

WINDOW_SIZES = ((50.4, 7.2), (16.8, 7.2), (9.6, 4.8))  # seconds of a window and its overlap, for less and less memory


def perform_clip(
    clip: AudioClip | np.ndarray,
    weights: Path | None,
    device: str,
    progress: Callable[[float], None],
    levels: bool = False,
) -> Performance:
    """One clip's `perform_clips`; imports PyTorch first.

    Args:
        clip: or its samples, [N] float32 at 16 kHz.
        weights: a checkpoint; None = the bundled one.
        device: "auto", "cpu", "cuda" or "cuda:N".
        progress: called with the share done; what it raises ends the work.
        levels: see `synthesize_many`.

    Raises:
        HiSTalkError: the weights cannot be read, or there is no such device.
    """
    progress(0.0)
    import_torch()
    return perform_clips([clip], weights, pick_device(device), levels=levels, progress=progress)[0]


def pick_device(name: str) -> str:
    """The torch device for "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        HiSTalkError: there is no such device, or CUDA was asked for and there is none.
    """
    import torch

    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise HiSTalkError(f"There is no device '{name}': choose auto, cpu, cuda or cuda:N.")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise HiSTalkError("No CUDA device is usable here: choose the CPU, or the device automatically.")
    count = torch.cuda.device_count() if ":" in name else 0
    if ":" in name and int(name[5:]) >= count:
        raise HiSTalkError(f"There is no device '{name}': the last one here is cuda:{count - 1}.")
    return name


_models: dict[tuple, HiSTalk] = {}


def _load_model(path: Path, device: str):
    """The checkpoint's model; the last one stays in memory."""
    from ..network import load_checkpoint

    with gc_paused():
        key = (path, path.stat().st_mtime_ns if path.exists() else 0, device)
        if key not in _models:
            _models.clear()
            _models[key] = load_checkpoint(path, device)
        return _models[key]


def check_weights(weights: Path | None, device: str) -> None:
    """Refuse a checkpoint before any clip is synthesised; the first clip finds it loaded.

    Raises:
        HiSTalkError: it cannot be read, or has no output for the bundled head.
    """
    head = load_head()
    check_outputs(_load_model(Path(weights or WEIGHTS), device), head.topology, len(head.vertices))


def preload_model(weights: Path | None, device: str) -> None:
    """Import PyTorch, load the weights and run the network once, so that the first recording need not wait for it.

    Args:
        weights, device: as for `perform_clip`.

    Raises:
        HiSTalkError: as `perform_clip`.
    """
    import_torch()
    device = pick_device(device)
    noise = np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE).astype(np.float32)
    predict_batch(_load_model(Path(weights or WEIGHTS), device), [noise], device)
    load_head().blendshape_deltas()


def unload() -> None:
    """Free the model's memory."""
    _models.clear()


def perform_clips(
    clips: Sequence[AudioClip | np.ndarray],
    weights: Path | None,
    device: str,
    batch_size: int = 1,
    levels: bool = True,
    progress: Callable[[float], None] | None = None,
) -> list[Performance]:
    """Clips' motion on the bundled head; if the GPU's memory is full, with shorter and fewer windows, then on the CPU.

    Args:
        clips: each an `AudioClip`, or samples [N] float32 at 16 kHz.
        weights: a checkpoint; None = the bundled one.
        device: a torch device, see `pick_device`.
        batch_size: windows that the network runs on at once.
        levels: see `synthesize_many`.
        progress: called with the share done.

    Raises:
        HiSTalkError: the weights cannot be read.
    """
    import torch

    model, head = _load_model(Path(weights or WEIGHTS), device), load_head()
    attempts = [(WINDOW_SIZES[0], batch_size), *((size, 1) for size in WINDOW_SIZES[1:])]
    for (window, overlap), size in attempts if device != "cpu" else attempts[:1]:
        try:
            found = synthesize_many(
                clips,
                model,
                head,
                device=device,
                window_s=window,
                overlap_s=overlap,
                batch_size=size,
                levels=levels,
                progress=progress,
            )
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            continue
        if window == WINDOW_SIZES[0][0]:
            return found
        return _with_remark(found, f"The GPU's memory was full, so windows of {window:g} s were used.")
    unload()
    found = synthesize_many(clips, model.to("cpu"), head, levels=levels, progress=progress)
    return _with_remark(found, "The GPU's memory was full, so the CPU did the work.")


def _with_remark(performances: list[Performance], remark: str) -> list[Performance]:
    return [replace(performance, remarks=(remark,)) for performance in performances]
