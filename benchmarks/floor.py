"""60 s of speech, stage by stage: each time against the least that its operations and bytes need on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from ceilings import timed
from stages import network_rows
from table import Row, best

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio.clip import read_audio
from histalk_blender.audio.loudness import normalise_loudness
from histalk_blender.head.head import load_head
from histalk_blender.motion.point_cache import write_pc2
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import WEIGHTS, synthesize

TITLE = "The floor, 60 s of speech"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
SECONDS = 60


def rows() -> Iterator[Row]:
    """The CPU's rows, and the GPU's where there is one."""
    sound, head = np.resize(normalise_loudness(read_audio(SPEECH)), SECONDS * SAMPLE_RATE), load_head()
    yield from _synthesis("cpu", sound, head, 2.0)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        yield from _around(Path(folder), sound, head)
    if torch.cuda.is_available():
        yield from _synthesis("cuda", sound, head, 3.0)
    else:
        yield Row("the network on a GPU", None, "", "", "no CUDA device here")


def _synthesis(device: str, sound: np.ndarray, head, most: float) -> Iterator[Row]:
    model = load_checkpoint(WEIGHTS, device)
    yield from network_rows(device, model, torch.from_numpy(sound)[None].to(device), most)
    seconds = timed(lambda: synthesize(sound, model, head, levels=False, device=device), device)
    yield Row(f"{device}: whole synthesis", seconds / SECONDS, "of real time", "<= 0.04", f"{seconds:.2f} s")


def _around(folder: Path, sound: np.ndarray, head) -> Iterator[Row]:
    """Before and after the network."""
    path = folder / "speech.wav"
    soundfile.write(path, np.repeat(sound, 3), 3 * SAMPLE_RATE)
    seconds = best(lambda: read_audio(path))
    yield Row("decoding and resampling from 48 kHz", seconds / SECONDS, "of real time", "", f"{1000 * seconds:.0f} ms")
    motion = synthesize(sound, load_checkpoint(WEIGHTS), head, levels=False).motion
    block = np.zeros((len(motion), 3 * len(head.vertices)), np.float32)

    def plain() -> None:
        with open(folder / "plain", "wb") as file:
            file.write(block.data)
            file.flush()
            os.fsync(file.fileno())

    written, floor = best(lambda: write_pc2(folder / "a.pc2", head.vertices, motion)), best(plain)
    yield Row(
        "bake to PC2",
        written / floor,
        "x a plain write of its bytes",
        "",
        f"{1000 * written:.0f} ms, {block.nbytes / 1e6:.0f} MB",
    )
