"""Many clips of mixed lengths heard at once: clips a minute, and what padding wastes, by the size of a batch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from table import Row, best

from histalk_blender.audio.reading import RATE, read_audio
from histalk_blender.head.head import load_head
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import WEIGHTS, synthesize_many
from histalk_blender.synthesis.windows import together

TITLE = "Batches of 128 clips of mixed lengths, 0.6 to 20 s"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"


def clips() -> list[np.ndarray]:
    """Lines of dialogue: most of 2 to 5 s, some of a word, some of a paragraph."""
    random = np.random.default_rng(0)
    speech = np.tile(read_audio(SPEECH), 6)
    found = []
    for seconds in np.clip(random.lognormal(1.2, 0.7, 128), 0.6, 20):
        first = random.integers(0, len(speech) - int(seconds * RATE))
        found.append(speech[first : first + int(seconds * RATE)])
    return found


def rows() -> Iterator[Row]:
    """Clips a minute at each batch size against one at a time, and the padding."""
    heard, head = clips(), load_head()
    lengths = sorted((len(clip) for clip in heard), reverse=True)
    for device in ("cpu", "cuda"):
        if device == "cuda" and not torch.cuda.is_available():
            yield Row("clips a minute on a GPU", None, "", "", "no CUDA device here")
            continue
        model = load_checkpoint(WEIGHTS, device)
        alone = None
        for size in (1, 8, 32, 128):
            seconds = best(lambda: synthesize_many(heard, model, head, rows=size, device=device), 3)
            alone = alone or seconds
            rate = len(heard) / seconds * 60
            absolute = f"{rate:.0f} clips a minute, {seconds / sum(lengths) * RATE:.4f} of real time"
            yield Row(f"{device}, up to {size} at once", alone / seconds, "x one at a time", "", absolute)
            parts = [lengths[part] for part in together(lengths, size)]
            padded = sum(len(part) * part[0] for part in parts)
            waste, absolute = 100 * (1 - sum(lengths) / padded), f"{len(parts)} batches"
            yield Row(f"{device}, up to {size} at once: padding", waste, "% of what is heard", "<= 10", absolute)
