"""How loud samples are, and the one gain that brings a clip's speech to the network's loudness."""

from __future__ import annotations

import numpy as np

from . import SAMPLE_RATE

BLOCK = SAMPLE_RATE // 40  # samples in 25 ms, of which loudness is measured
SPEECH_DBFS = -23.0  # dBFS of what is not silence; the network was trained at it
MAX_GAIN_DB = 30.0  # dB; a hiss must not be lifted to speech
SILENCE_RMS = 10 ** (-60 / 20)  # root mean square below which 25 ms are silence
MAX_SAMPLE = 2.0**32  # beyond the range of 32-bit integers


def is_silent(samples: np.ndarray) -> bool:
    """Whether no 25 ms of [N] samples rise above -60 dBFS."""
    return is_silence(rms_per_block(samples))


def normalise_loudness(samples: np.ndarray) -> np.ndarray:
    """Bring what is not silence to -23 dBFS by one gain for the clip, which lifts by 30 dB at most; silence stays.

    Args:
        samples: [N] float32.
    """
    return samples * speech_gain(rms_per_block(samples))


def is_silence(rms: np.ndarray) -> bool:
    """`is_silent`, from `rms_per_block`."""
    return bool(rms.max(initial=0.0) < SILENCE_RMS)


def speech_gain(rms: np.ndarray) -> np.float32:
    """The factor of `normalise_loudness`, from `rms_per_block`."""
    loud = rms[rms > max(rms.max(initial=0.0) * 10**-1.5, SILENCE_RMS)]
    if not len(loud):
        return np.float32(1)
    gain = 10 ** (SPEECH_DBFS / 20) / np.sqrt(np.mean(loud**2))
    return np.float32(min(gain, 10 ** (MAX_GAIN_DB / 20)))


def rms_per_block(samples: np.ndarray) -> np.ndarray:
    """Root mean square of each whole 25 ms of [N] samples."""
    whole = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK)
    return np.sqrt(np.einsum("ij,ij->i", whole, whole) / BLOCK)
