"""Speech to performances on a device: the network kept from one to the next, and what to do when memory is full."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import HiSTalkError
from ..head.head import load_head
from ..runtime.imports import gc_paused, import_torch
from . import WEIGHTS, Performance, synthesize_many
from .checks import check_outputs
from .clips import hear

if TYPE_CHECKING:
    from ..audio.clip import AudioClip

WINDOWS = ((50.4, 7.2), (16.8, 7.2), (9.6, 4.8))  # seconds of a window and its overlap, each for less memory


def listen(
    sound: AudioClip | np.ndarray,
    weights: Path | None,
    device: str,
    say: Callable[[str, float], None],
    levels: bool = False,
) -> Performance:
    """One sound to a performance, on a device that has the memory for it.

    Args:
        sound: or its samples, [N] float32 at 16 kHz.
        weights: a checkpoint; None = the bundled one.
        device: "auto", "cpu", "cuda" or "cuda:N".
        say: called with the stage's name and the share of it done; what it raises ends the work.
        levels: see `synthesize_many`.

    Raises:
        HiSTalkError: the weights cannot be read, or there is no such device.
    """
    say("Listening", 0.0)
    import_torch()
    device = pick_device(device)
    return perform([sound], weights, device, levels=levels, progress=lambda share: say("Listening", share))[0]


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


_models: dict[tuple, object] = {}


def _model(path: Path, device: str):
    """The checkpoint, kept for the next recording; one at a time."""
    from ..network import load_checkpoint

    with gc_paused():
        key = (path, path.stat().st_mtime_ns if path.exists() else 0, device)
        if key not in _models:
            _models.clear()
            _models[key] = load_checkpoint(path, device)
        return _models[key]


def check_weights(weights: Path | None, device: str) -> None:
    """Tell what is wrong with a checkpoint before any clip is heard; the first clip finds it read.

    Raises:
        HiSTalkError: it cannot be read, or is of no use for the bundled head.
    """
    head = load_head()
    check_outputs(_model(Path(weights or WEIGHTS), device), head.topology, len(head.vertices))


def warm_up(weights: Path | None, device: str) -> None:
    """Let the first recording find PyTorch imported, the weights read and the device at work.

    Args:
        weights, device: as for `listen`.

    Raises:
        HiSTalkError: as `listen`.
    """
    import_torch()
    device = pick_device(device)
    noise = np.random.default_rng(0).normal(0, 0.05, 16_000).astype(np.float32)
    for _ in hear(_model(Path(weights or WEIGHTS), device), [noise], device):
        pass
    load_head().unit_deltas()


def forget() -> None:
    """Give the memory of the network back."""
    _models.clear()


def perform(
    clips: Sequence[AudioClip | np.ndarray],
    weights: Path | None,
    device: str,
    rows: int = 1,
    levels: bool = True,
    progress: Callable[[float], None] | None = None,
) -> list[Performance]:
    """Clips' motion on the bundled head; a full GPU is answered with shorter and fewer windows, and then with the CPU.

    Args:
        clips: sounds, or the samples of each, [N] float32 at 16 kHz.
        weights: a checkpoint; None = the bundled one.
        device: a torch device, see `pick_device`.
        rows: windows that the network hears at once.
        levels: see `synthesize_many`.
        progress: called with the share done.

    Raises:
        HiSTalkError: the weights cannot be read.
    """
    import torch

    model, head = _model(Path(weights or WEIGHTS), device), load_head()
    for (window, overlap), at_once in zip(WINDOWS, (rows, 1, 1)) if device != "cpu" else [(WINDOWS[0], rows)]:
        try:
            found = synthesize_many(
                clips,
                model,
                head,
                device=device,
                window_s=window,
                overlap_s=overlap,
                rows=at_once,
                levels=levels,
                progress=progress,
            )
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            continue
        full = f"The GPU's memory was full, so the sound was heard in windows of {window:g} s."
        return found if window == WINDOWS[0][0] else [replace(one, remarks=(full,)) for one in found]
    forget()
    found = synthesize_many(clips, model.to("cpu"), head, levels=levels, progress=progress)
    return [replace(one, remarks=("The GPU's memory was full, so the CPU did the work.",)) for one in found]
