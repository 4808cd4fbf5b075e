"""Sound as samples at 16 kHz, and at an even level."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from . import conversion
from .channels import MIX, pick_channel
from .decoding import RATE, Stretch
from .opening import SHORTEST, UNKNOWN, check_form, check_length, opened

LEVEL = -23.0  # dBFS of what is not silence, the level that the network was trained at
MOST_GAIN = 30.0  # dB; a hiss must not be lifted to speech
SILENCE = 10 ** (-60 / 20)  # root mean square below which 25 ms are silence


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


def is_silent(samples: np.ndarray) -> bool:
    """Whether no 25 ms of [N] samples rise above -60 dBFS."""
    return silent_levels(levels_of(samples))


def normalise_level(samples: np.ndarray) -> np.ndarray:
    """Bring what is not silence to -23 dBFS by one gain for the clip, which lifts by 30 dB at most; silence stays.

    Args:
        samples: [N] float32.
    """
    return samples * gain_for(levels_of(samples))


def silent_levels(levels: np.ndarray) -> bool:
    """`is_silent` of samples' levels."""
    return bool(levels.max(initial=0.0) < SILENCE)


def gain_for(levels: np.ndarray) -> np.float32:
    """The factor of `normalise_level`, from samples' levels."""
    loud = levels[levels > max(levels.max(initial=0.0) * 10**-1.5, SILENCE)]
    if not len(loud):
        return np.float32(1)
    gain = 10 ** (LEVEL / 20) / np.sqrt(np.mean(loud**2))
    return np.float32(min(gain, 10 ** (MOST_GAIN / 20)))


def levels_of(samples: np.ndarray) -> np.ndarray:
    """Root mean squares of each 25 ms of [N] samples; what is left over at the end has none."""
    size = RATE // 40
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    return np.sqrt(np.einsum("ij,ij->i", whole, whole) / size)
