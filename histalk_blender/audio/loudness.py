"""How loud samples are, and the one gain that brings a clip's speech to the network's level."""

from __future__ import annotations

import numpy as np

from . import RATE

LEVEL = -23.0  # dBFS of what is not silence, the level that the network was trained at
MOST_GAIN = 30.0  # dB; a hiss must not be lifted to speech
SILENCE = 10 ** (-60 / 20)  # root mean square below which 25 ms are silence
LOUDEST = 2.0**32  # beyond what whole numbers of 32 bits can be


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
