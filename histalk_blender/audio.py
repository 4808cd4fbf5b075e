"""Audio files to mono samples at 16 kHz and an even level."""

from __future__ import annotations

import mmap
import os
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile as sf
import soxr

from .containers import is_cut_off, lets_guess, unsized_chunk
from .errors import HiSTalkError

RATE = 16_000
SHORTEST = 0.1  # seconds
LONGEST = 3600.0  # seconds
LEVEL = -23.0  # dBFS of what is not silence, the level that the network was trained at
MOST_GAIN = 30.0  # dB; a hiss must not be lifted to speech
CANCELLED = 0.03  # of the energy that the mean of unlike channels has; below, they work against each other
SILENCE = 10 ** (-60 / 20)  # root mean square below which 25 ms are silence


def read_audio(source: Path | bytes, start: float = 0.0, duration: float | None = None, name: str = "") -> np.ndarray:
    """Decode, mix down and resample a file or a stretch of it; only the result is held whole.

    Of a file that was cut off, a stretch that lies in what is left of it is read; anything that reaches further is
    refused. So is a whole mp3 of which libsndfile would leave out the end. Where the channels cancel each other out,
    the loudest is taken instead of their mean.

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
    _check_source(source, called)
    try:
        with _raw(source) as raw:
            cut, guessed, unsized = is_cut_off(raw), lets_guess(raw), unsized_chunk(raw)
        whole = BytesIO(source) if isinstance(source, bytes) else source
        if guessed:
            whole = BytesIO(source if isinstance(source, bytes) else Path(source).read_bytes())
        file = sf.SoundFile(_sized(source, unsized) if unsized else whole)
    except OSError as error:
        raise HiSTalkError(f"{called} cannot be read ({error.strerror}): check its permissions.") from error
    except (sf.LibsndfileError, RuntimeError) as error:
        why = _why(error)
        raise HiSTalkError(f"{called} is not audio that can be read ({why}): use wav, flac, ogg or mp3.") from error
    with file:
        rate, first, frames = file.samplerate, round(start * file.samplerate), file.frames
        wanted = None if duration is None else round(duration * rate)
        if cut and (wanted is None or first + wanted > frames):
            lasts = f"{frames / rate:.1f} s"
            raise HiSTalkError(f"{called} breaks off after {lasts}, before its end: copy or export it again.")
        if 0 < frames <= first:
            ends = f"{frames / rate:.1f} s"
            raise HiSTalkError(f"{called} ends at {ends}, before {start:.1f} s, where it is cut: trim less off it.")
        promised = frames - first if wanted is None else min(frames - first, wanted)
        if promised / rate > LONGEST + 1:
            raise HiSTalkError(f"{called} lasts {promised / rate / 60:.0f} minutes: cut it to an hour or less.")
        try:
            samples, got = _mixed(file, first, promised, called)
        except (sf.LibsndfileError, RuntimeError) as error:
            raise HiSTalkError(
                f"{called} breaks off before its end, or is damaged ({_why(error)}): copy or export it again."
            ) from error
        if guessed and wanted is None and whole.tell() < 0.95 * len(whole.getbuffer()):
            raise HiSTalkError(f"{called} does not say how long it is, and is longer than it seems: export it as wav.")
        if got < promised * 0.98 and not guessed:
            lasts = f"{(first + got) / rate:.1f} of {frames / rate:.1f} s"
            raise HiSTalkError(f"{called} breaks off after {lasts}, before its end: copy or export it again.")
    if len(samples) < SHORTEST * RATE:
        raise HiSTalkError(f"{called} lasts {len(samples) / RATE:.3f} s: at least {SHORTEST} s are needed.")
    return samples


def check_header(source: Path) -> None:
    """Whether a file says of itself that it is sound of a fitting length, without decoding it.

    Raises:
        HiSTalkError: it does not.
    """
    called = f"'{source}'"
    _check_source(source, called)
    try:
        seconds = sf.info(source).duration
    except (OSError, sf.LibsndfileError, RuntimeError) as error:
        raise HiSTalkError(
            f"{called} is not audio that can be read ({_why(error)}): use wav, flac, ogg or mp3."
        ) from error
    if 0 < seconds < SHORTEST:
        raise HiSTalkError(f"{called} lasts {seconds:.3f} s: at least {SHORTEST} s are needed.")
    if seconds > LONGEST + 1:
        raise HiSTalkError(f"{called} lasts {seconds / 60:.0f} minutes: cut it to an hour or less.")


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


def _mixed(
    file: sf.SoundFile, first: int, frames: int, called: str, channel: int | None = None
) -> tuple[np.ndarray, int]:
    """[N] samples at 16 kHz of the channels' mean, or of one channel; and how many frames were decoded for them."""
    file.seek(first)
    resampler = soxr.ResampleStream(file.samplerate, RATE, 1, dtype="float32")
    buffer = np.empty((min(1 << 18, max(frames, 1)), file.channels), np.float32)
    parts, got, energy, energies = [], 0, 0.0, np.zeros(file.channels)
    # Not by SoundFile.blocks: where a file ends too early, that gives the last block again and again.
    while got < frames and len(block := file.read(out=buffer[: frames - got])):
        if not np.isfinite(block).all():
            raise HiSTalkError(f"{called} holds samples that are no numbers: export it again.")
        got += len(block)
        mono = block.mean(1) if channel is None else np.ascontiguousarray(block[:, channel])
        energy += np.square(mono, dtype=np.float64).sum()
        energies += np.square(block, dtype=np.float64).sum(0)
        parts.append(resampler.resample_chunk(mono))
    if channel is None and energy < CANCELLED * energies.sum() / file.channels**2:
        return _mixed(file, first, frames, called, int(energies.argmax()))
    parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts), got


def _raw(source: Path | bytes) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


class _Pages(mmap.mmap):
    """Of a file, that may be sought past the end of as files may; libsndfile does."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> None:
        place = offset + (0, self.tell(), len(self))[whence]
        super().seek(max(0, min(place, len(self))))


def _sized(source: Path | bytes, start: int) -> BytesIO | _Pages:
    """A wav whose sound has the size 0, with one that libsndfile reads to the end of the file."""
    if isinstance(source, bytes):
        return BytesIO(_form(source) + source[4 : start - 4] + b"\xff" * 4 + source[start:])
    with open(source, "rb") as file:
        pages = _Pages(file.fileno(), 0, access=mmap.ACCESS_COPY)
    pages[:4], pages[start - 4 : start] = _form(pages), b"\xff" * 4
    return pages


def _form(wav: bytes | _Pages) -> bytes:
    """RIFF also for RF64, which has another place for its size."""
    return b"RIFF" if wav[:4] == b"RF64" else wav[:4]


def _why(error: Exception) -> str:
    """libsndfile's reason without its frame."""
    return str(getattr(error, "error_string", error)).strip().removeprefix("Error : ").rstrip(".")


def _check_source(source: Path | bytes, called: str) -> None:
    if isinstance(source, bytes):
        if not source:
            raise HiSTalkError(f"{called} is empty (0 bytes): pack the sound again.")
        return
    path = Path(source)
    if path.is_dir():
        raise HiSTalkError(f"{called} is a folder: name an audio file in it.")
    if not path.is_file():
        raise HiSTalkError(f"No audio file at {called}: check the path.")
    if path.stat().st_size == 0:
        raise HiSTalkError(f"{called} is empty (0 bytes): export the audio again.")
