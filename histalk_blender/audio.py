"""Audio files to mono samples at 16 kHz and an even level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from .errors import HiSTalkError

RATE = 16_000
SHORTEST = 0.1  # seconds
LONGEST = 3600.0  # seconds
LEVEL = -23.0  # dBFS of what is not silence, the level that the network was trained at
MOST_GAIN = 30.0  # dB; a hiss must not be lifted to speech
SILENCE = 10 ** (-60 / 20)  # root mean square below which 25 ms are silence


def read_audio(path: Path) -> np.ndarray:
    """Decode, mix down and resample one file; only the result is held whole.

    Args:
        path: whatever libsndfile reads (wav, flac, ogg, mp3), any rate and channel count, 0.1 s to an hour.

    Returns:
        [N] float32 at 16 kHz.

    Raises:
        HiSTalkError: the file is missing, a folder, empty, no audio, truncated, too short or long, or not finite.
    """
    path = Path(path)
    if path.is_dir():
        raise HiSTalkError(f"'{path}' is a folder: name an audio file in it.")
    if not path.is_file():
        raise HiSTalkError(f"No audio file at '{path}': check the path.")
    if path.stat().st_size == 0:
        raise HiSTalkError(f"'{path}' is empty (0 bytes): export the audio again.")
    try:
        with sf.SoundFile(path) as file:
            rate, promised = file.samplerate, file.frames
            if promised / rate > LONGEST + 1:
                raise HiSTalkError(f"'{path}' lasts {promised / rate / 60:.0f} minutes: cut it to an hour or less.")
            resampler = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
            parts, got = [], 0
            for block in file.blocks(blocksize=1 << 18, dtype="float32", always_2d=True):
                if not np.isfinite(block).all():
                    raise HiSTalkError(f"'{path}' holds samples that are no numbers (NaN or infinite): export it again.")
                got += len(block)
                parts.append(resampler.resample_chunk(block.mean(1)))
            parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    except (sf.LibsndfileError, RuntimeError) as error:
        raise HiSTalkError(f"'{path}' is not audio that can be read ({error}): use wav, flac, ogg or mp3.") from error
    if 0 < got < promised * 0.98:
        raise HiSTalkError(f"'{path}' ends after {got / rate:.1f} of {promised / rate:.1f} s: copy or export it again.")
    samples = np.concatenate(parts)
    if len(samples) < SHORTEST * RATE:
        raise HiSTalkError(f"'{path}' lasts {len(samples) / RATE:.3f} s: at least {SHORTEST} s are needed.")
    return samples


def is_silent(samples: np.ndarray) -> bool:
    """Whether no 25 ms of [N] samples rise above -60 dBFS."""
    return bool(_levels(samples).max(initial=0.0) < SILENCE)


def normalise_level(samples: np.ndarray) -> np.ndarray:
    """Bring what is not silence to -23 dBFS by one gain for the clip, of 30 dB at most; silence stays.

    Args:
        samples: [N] float32.
    """
    levels = _levels(samples)
    loud = levels[levels > max(levels.max(initial=0.0) * 10**-1.5, SILENCE)]
    if not len(loud):
        return samples
    gain = 10 ** (LEVEL / 20) / np.sqrt(np.mean(loud**2))
    return samples * np.float32(np.clip(gain, 10 ** (-MOST_GAIN / 20), 10 ** (MOST_GAIN / 20)))


def _levels(samples: np.ndarray) -> np.ndarray:
    size = RATE // 40
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    return np.sqrt(np.einsum("ij,ij->i", whole, whole) / size)
