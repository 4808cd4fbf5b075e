"""Sound files as samples at 16 kHz, and what their headers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from . import conversion
from .channels import MIX, pick_channel
from .decoding import Stretch
from .opening import SHORTEST, UNKNOWN, check_form, check_length, opened


def read_audio(
    source: Path | bytes, start: float = 0.0, duration: float | None = None, name: str = "", channel: str = MIX
) -> np.ndarray:
    """Decode, mix down and resample a file or a stretch of it, see `Stretch`; only the result is held whole.

    Where the channels cancel each other out, the loudest is taken instead of their mean.

    Returns:
        [N] float32 at 16 kHz.

    Raises:
        HiSTalkError: the file cannot be read, or does not hold what is asked for.
    """
    stretch = Stretch(source, start, duration, name, channel)
    while True:
        samples = np.concatenate(list(stretch.blocks()))
        if not stretch.takes_one_channel():
            return samples


def check_header(source: Path, channel: str = MIX) -> None:
    """Whether a file says of itself that it is sound of a fitting length, without decoding it.

    Raises:
        HiSTalkError: it does not, or has no such channel.
    """
    called = f"'{source}'"
    with opened(source, called) as found:
        if found is None:
            conversion.check(called)
            return
        file = found[0]
        seconds = 0.0 if file.frames >= UNKNOWN else file.frames / max(file.samplerate, 1)
        check_form(file, called)
        check_length(seconds, file.channels * round(seconds * file.samplerate), called)
        pick_channel(channel, file.channels, called)
    if 0 < seconds < SHORTEST:
        raise HiSTalkError(f"{called} lasts {seconds:.3f} s: at least {SHORTEST} s are needed.")


def seconds_of(source: Path) -> float:
    """How long a file says that it is; 0 where it does not say, or cannot be read."""
    try:
        with opened(source, f"'{source}'") as found:
            known = found is not None and found[0].frames < UNKNOWN
            return found[0].frames / found[0].samplerate if known else 0.0
    except HiSTalkError:
        return 0.0


def is_lossless(source: Path | bytes) -> bool:
    """Whether every decoder gives the same samples: what pads its start (mp3, ogg) is placed by each as it sees fit."""
    try:
        with opened(source, "") as found:
            return found is not None and found[0].subtype.startswith(("PCM", "FLOAT", "DOUBLE"))
    except HiSTalkError:
        return False
