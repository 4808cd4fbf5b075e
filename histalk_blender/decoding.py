"""One stretch of an audio file, block by block, with all that can be wrong with files said in one sentence."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile as sf
import soxr

from .containers import is_cut_off, lets_guess, unsized_chunk
from .errors import HiSTalkError

RATE = 16_000  # samples a second that come out
SHORTEST = 0.1  # seconds
LONGEST = 3600.0  # seconds
CANCELLED = 0.03  # of the energy that the mean of unlike channels has; below, they work against each other
BLOCK = 1 << 18  # frames of the file decoded at once


class Stretch:
    """What is to be heard of a file, decoded as often as it is asked for, each time the same samples.

    Of a file that was cut off, a stretch that lies in what is left of it is read; anything that reaches further is
    refused. So is a whole mp3 of which libsndfile would leave out the end.
    """

    def __init__(self, source: Path | bytes, start: float = 0.0, duration: float | None = None, name: str = ""):
        """Args:
            source: a file, or its bytes: whatever libsndfile reads (wav, flac, ogg, mp3), any rate and channel count.
            start: seconds into it.
            duration: seconds, 0.1 s to an hour; None reads to the end, and where the end comes earlier there is less.
            name: what messages call the bytes.

        Raises:
            HiSTalkError: the file is missing, a folder or empty.
        """
        self.called = f"'{name or 'packed sound'}'" if isinstance(source, bytes) else f"'{source}'"
        self._source, self._start, self._duration = source, start, duration
        self._channel: int | None = None  # None = the mean of all
        check_source(source, self.called)

    def blocks(self) -> Iterator[np.ndarray]:
        """[n] float32 at 16 kHz each, of the channels' mean, or of what `takes_one_channel` chose.

        Raises:
            HiSTalkError: it is no audio, truncated, too short or long, not finite, or over before the start.
        """
        source, called = self._source, self.called
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
            raise HiSTalkError(f"{called} is not audio that can be read ({why(error)}): use wav, flac, ogg or mp3.") from error
        with file:
            rate, first, frames = file.samplerate, round(self._start * file.samplerate), file.frames
            wanted = None if self._duration is None else round(self._duration * rate)
            if cut and (wanted is None or first + wanted > frames):
                lasts = f"{frames / rate:.1f} s"
                raise HiSTalkError(f"{called} breaks off after {lasts}, before its end: copy or export it again.")
            if 0 < frames <= first:
                ends = f"{frames / rate:.1f} s"
                raise HiSTalkError(f"{called} ends at {ends}, before {self._start:.1f} s, where it is cut: trim less off it.")
            promised = frames - first if wanted is None else min(frames - first, wanted)
            if promised / rate > LONGEST + 1:
                raise HiSTalkError(f"{called} lasts {promised / rate / 60:.0f} minutes: cut it to an hour or less.")
            try:
                yield from self._decoded(file, first, promised)
            except (sf.LibsndfileError, RuntimeError) as error:
                raise HiSTalkError(
                    f"{called} breaks off before its end, or is damaged ({why(error)}): copy or export it again."
                ) from error
            if guessed and wanted is None and whole.tell() < 0.95 * len(whole.getbuffer()):
                raise HiSTalkError(f"{called} does not say how long it is, and is longer than it seems: export it as wav.")
            if self._got < promised * 0.98 and not guessed:
                lasts = f"{(first + self._got) / rate:.1f} of {frames / rate:.1f} s"
                raise HiSTalkError(f"{called} breaks off after {lasts}, before its end: copy or export it again.")
        if self._given < SHORTEST * RATE:
            raise HiSTalkError(f"{called} lasts {self._given / RATE:.3f} s: at least {SHORTEST} s are needed.")

    def takes_one_channel(self) -> bool:
        """Whether the channels that were decoded cancel each other out; the next blocks are then those of the loudest."""
        energy = self._energies.sum() / len(self._energies) ** 2
        if self._channel is not None or self._energy >= CANCELLED * energy:
            return False
        self._channel = int(self._energies.argmax())
        return True

    def _decoded(self, file: sf.SoundFile, first: int, frames: int) -> Iterator[np.ndarray]:
        file.seek(first)
        resampler = soxr.ResampleStream(file.samplerate, RATE, 1, dtype="float32")
        buffer = np.empty((min(BLOCK, max(frames, 1)), file.channels), np.float32)
        self._got, self._given, self._energy, self._energies = 0, 0, 0.0, np.zeros(file.channels)
        last = False
        while not last:
            # Not by SoundFile.blocks: where a file ends too early, that gives the last block again and again.
            block = file.read(out=buffer[: frames - self._got])
            if not np.isfinite(block).all():
                raise HiSTalkError(f"{self.called} holds samples that are no numbers: export it again.")
            self._got += len(block)
            last = self._got >= frames or not len(block)
            mono = block.mean(1) if self._channel is None else np.ascontiguousarray(block[:, self._channel])
            self._energy += np.square(mono, dtype=np.float64).sum()
            self._energies += np.square(block, dtype=np.float64).sum(0)
            chunk = resampler.resample_chunk(mono, last=last)
            self._given += len(chunk)
            yield chunk


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


def why(error: Exception) -> str:
    """libsndfile's reason without its frame."""
    return str(getattr(error, "error_string", error)).strip().removeprefix("Error : ").rstrip(".")


def check_source(source: Path | bytes, called: str) -> None:
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
