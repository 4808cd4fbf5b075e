"""Audio files to mono samples at 16 kHz and an even level."""

from __future__ import annotations

from io import BytesIO
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


def read_audio(source: Path | bytes, start: float = 0.0, duration: float | None = None, name: str = "") -> np.ndarray:
    """Decode, mix down and resample a file or a stretch of it; only the result is held whole.

    Args:
        source: a file, or its bytes: whatever libsndfile reads (wav, flac, ogg, mp3), any rate and channel count.
        start: seconds into it.
        duration: seconds, 0.1 s to an hour; None reads to the end, and where the end comes earlier there is less.
        name: what messages call the bytes.

    Returns:
        [N] float32 at 16 kHz.

    Raises:
        HiSTalkError: the file is missing, a folder, empty, no audio, truncated, too short or long, not finite, or over
            before `start`.
    """
    called = f"'{name or 'packed sound'}'" if isinstance(source, bytes) else f"'{source}'"
    try:
        with sf.SoundFile(_opened(source, called)) as file:
            rate, first = file.samplerate, round(start * file.samplerate)
            if 0 < file.frames <= first:
                ends = f"{file.frames / rate:.1f} s"
                raise HiSTalkError(f"{called} ends at {ends}, before {start:.1f} s, where it is cut: trim less off it.")
            file.seek(first)
            promised = file.frames - first
            if duration is not None:
                promised = min(promised, round(duration * rate))
            if promised / rate > LONGEST + 1:
                raise HiSTalkError(f"{called} lasts {promised / rate / 60:.0f} minutes: cut it to an hour or less.")
            resampler = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
            parts, got = [], 0
            for block in file.blocks(blocksize=1 << 18, frames=promised, dtype="float32", always_2d=True):
                if not np.isfinite(block).all():
                    raise HiSTalkError(f"{called} holds samples that are no numbers: export it again.")
                got += len(block)
                parts.append(resampler.resample_chunk(block.mean(1)))
            parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    except (sf.LibsndfileError, RuntimeError) as error:
        why = getattr(error, "error_string", error)
        raise HiSTalkError(f"{called} is not audio that can be read ({why}): use wav, flac, ogg or mp3.") from error
    if 0 < got < promised * 0.98:
        raise HiSTalkError(f"{called} ends after {got / rate:.1f} of {promised / rate:.1f} s: copy or export it again.")
    samples = np.concatenate(parts)
    if len(samples) < SHORTEST * RATE:
        raise HiSTalkError(f"{called} lasts {len(samples) / RATE:.3f} s: at least {SHORTEST} s are needed.")
    return samples


def is_lossless(source: Path | bytes) -> bool:
    """Whether every decoder gives the same samples: what pads its start (mp3, ogg) is placed by each as it sees fit."""
    try:
        info = sf.info(BytesIO(source) if isinstance(source, bytes) else source)
    except sf.LibsndfileError:
        return False
    return info.subtype.startswith(("PCM", "FLOAT", "DOUBLE"))


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


def _opened(source: Path | bytes, called: str) -> Path | BytesIO:
    if isinstance(source, bytes):
        if not source:
            raise HiSTalkError(f"{called} is empty (0 bytes): pack the sound again.")
        return BytesIO(source)
    path = Path(source)
    if path.is_dir():
        raise HiSTalkError(f"{called} is a folder: name an audio file in it.")
    if not path.is_file():
        raise HiSTalkError(f"No audio file at {called}: check the path.")
    if path.stat().st_size == 0:
        raise HiSTalkError(f"{called} is empty (0 bytes): export the audio again.")
    return path
