"""Many clips of mixed lengths in one batch: clips a minute, and the share of padding, by the size of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from table import Row, best

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio.clip import read_audio
from histalk_blender.head.head import load_head
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import WEIGHTS, synthesize_many
from histalk_blender.synthesis.windows import batches

TITLE = "Batches of 128 clips of mixed lengths, 0.6 to 20 s"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
SIZES = (1, 8, 32, 128)


def clips() -> list[np.ndarray]:
    """Lines of dialogue: most of 2 to 5 s, some of a word, some of a paragraph."""
    random = np.random.default_rng(0)
    speech = np.tile(read_audio(SPEECH), 6)
    found = []
    for seconds in np.clip(random.lognormal(1.2, 0.7, 128), 0.6, 20):
        first = random.integers(0, len(speech) - int(seconds * SAMPLE_RATE))
        found.append(speech[first : first + int(seconds * SAMPLE_RATE)])
    return found


def rows() -> Iterator[Row]:
    """Clips a minute at each batch size against one at a time, and the padding."""
    sounds = clips()
    yield from _rows_on("cpu", sounds)
    if torch.cuda.is_available():
        yield from _rows_on("cuda", sounds)
    else:
        yield Row("clips a minute on a GPU", None, "", "", "no CUDA device here")


def _rows_on(device: str, sounds: list[np.ndarray]) -> Iterator[Row]:
    model, head = load_checkpoint(WEIGHTS, device), load_head()
    lengths = sorted((len(sound) for sound in sounds), reverse=True)

    def seconds_of(size: int) -> float:
        return best(lambda: synthesize_many(sounds, model, head, batch_size=size, device=device), 3)

    alone = None
    for size in SIZES:
        seconds = seconds_of(size)
        alone = alone or seconds
        rate = len(sounds) / seconds * 60
        absolute = f"{rate:.0f} clips a minute, {seconds / sum(lengths) * SAMPLE_RATE:.4f} of real time"
        yield Row(f"{device}, up to {size} at once", alone / seconds, "x one at a time", "", absolute)
        parts = [lengths[part] for part in batches(lengths, size)]
        padded = sum(len(part) * part[0] for part in parts)
        waste, absolute = 100 * (1 - sum(lengths) / padded), f"{len(parts)} batches"
        yield Row(f"{device}, up to {size} at once: padding", waste, "% of the samples", "<= 10", absolute)
