"""One segment of an audio file, decoded block by block; whatever is wrong with it becomes one sentence."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from ..errors import HiSTalkError
from . import SAMPLE_RATE, conversion
from .channels import MIX, pick_channel
from .headers import Contents
from .loudness import MAX_SAMPLE
from .opening import (
    HEADER_BYTES,
    LONGEST,
    SHORTEST,
    UNKNOWN,
    Decoder,
    check_form,
    check_length,
    not_audio,
    open_source,
    opened,
    why,
)
from .views import View

CANCELLED = 0.03  # of the energy that the mean of independent channels has; below, they cancel each other
BLOCK = 1 << 18  # frames of the file decoded at once
BLOCK_SAMPLES = 1 << 20  # of all channels, where there are more than four
HOT = 32.0  # 30 dB above full scale; samples beyond are integers in a float file, or damage
FEW = 0.01  # share of samples beyond `HOT` below which they are damage


class AudioSegment:
    """A part of a file, which can be decoded several times, each time to the same samples.

    Of a truncated file, a segment inside what is left is read; one beyond it is refused. So is a whole mp3 if
    libsndfile would leave out its end. Memory does not grow with a file or with what its header says, and no more is
    decoded than an hour of sound can need.
    """

    def __init__(
        self,
        source: Path | bytes,
        start: float = 0.0,
        duration: float | None = None,
        name: str = "",
        channel: str = MIX,
    ):
        """Open nothing yet.

        Args:
            source: a file, or its bytes: what libsndfile reads (wav, flac, ogg, mp3), and what Blender reads.
            start: seconds into it.
            duration: seconds, 0.1 s to an hour, or less if the file ends earlier; None = to the end.
            name: what messages call the bytes.
            channel: see `channels.read_channel`.

        Raises:
            HiSTalkError: the file is missing, empty or not a regular file.
        """
        self.called = f"'{name or 'packed sound'}'" if isinstance(source, bytes) else f"'{source}'"
        self._source, self._start, self._duration = source, start, duration
        self._wanted = channel
        self._channel: int | None = None  # None = the mean of all
        self._converted: conversion.Converted | None = None
        open_source(source, self.called).close()

    def blocks(self) -> Generator[np.ndarray, None, None]:
        """[n] float32 at 16 kHz each, of the channel, the channels' mean, or of what `takes_one_channel` chose.

        Raises:
            HiSTalkError: it is not audio, truncated, too short or too long, has impossible samples, ends before the
                start, or has no such channel.
        """
        called = self.called
        with self._opened() as (file, view, contents):
            rate, frames = file.samplerate, file.frames
            first = round(self._start * rate)
            check_form(file, called)
            known = frames < UNKNOWN
            wanted = None if self._duration is None else round(self._duration * rate)
            if contents.cut and (wanted is None or not known or first + wanted > frames):
                lasts = f" after {frames / rate:.1f} s" if known else ""
                raise HiSTalkError(f"{called} breaks off{lasts}, before its end: copy or export it again.")
            if 0 < frames <= first:
                raise self._over(frames / rate)
            promised = frames - first if wanted is None else min(frames - first, wanted)
            if known or wanted is not None:
                check_length(promised / rate, file.channels * promised, called)
            else:
                promised = round((LONGEST + 2) * rate)
            if self._wanted != MIX:
                self._channel = pick_channel(self._wanted, file.channels, called)
            view.budget = HEADER_BYTES + round(4 * rate * file.channels * (LONGEST + 2))
            try:
                passed = self._go_to(file, first)
                yield from self._decoded(file, first, promised)
            except (sf.LibsndfileError, RuntimeError) as error:
                raise HiSTalkError(
                    f"{called} breaks off before its end, or is damaged ({why(error)}): copy or export it again."
                ) from error
            if view.error is not None:
                raise HiSTalkError(f"{called} cannot be read ({view.error.strerror}): copy it again.")
            if view.exhausted:
                raise HiSTalkError(f"{called} is larger than an hour of its sound can be: export it again.")
            if not known:
                if first and not self._got:
                    raise self._over(passed / rate)
                check_length(self._got / rate, 0, called)
            if contents.guessed and wanted is None and view.tell() < 0.95 * len(view):
                raise HiSTalkError(
                    f"{called} does not say how long it is, and is longer than it seems: export it as wav."
                )
            if known and self._got < promised * 0.98 and not contents.guessed:
                lasts = f"{(first + self._got) / rate:.1f} of {frames / rate:.1f} s"
                raise HiSTalkError(f"{called} breaks off after {lasts}, before its end: copy or export it again.")
            self._check_loudness()
        if self._given < SHORTEST * SAMPLE_RATE:
            raise HiSTalkError(f"{called} lasts {self._given / SAMPLE_RATE:.3f} s: at least {SHORTEST} s are needed.")

    def takes_one_channel(self) -> bool:
        """Whether the decoded channels cancel each other out; the next blocks are then those of the loudest."""
        energy = self._energies.sum() / len(self._energies) ** 2
        if self._channel is not None or self._energy >= CANCELLED * energy:
            return False
        self._channel = int(self._energies.argmax())
        return True

    @contextmanager
    def _opened(self) -> Iterator[tuple[Decoder, View, Contents]]:
        """The file's own decoder, or that of its conversion by Blender, which is made once."""
        source = self._converted.source if self._converted else self._source
        with opened(source, self.called) as found:
            if found is not None:
                yield found
                return
        self._converted = conversion.Converted(self._source, self.called, LONGEST)
        with opened(self._converted.source, self.called) as found:
            if found is None:
                raise not_audio(self.called)
            yield found

    def _over(self, seconds: float) -> HiSTalkError:
        return HiSTalkError(
            f"{self.called} ends at {seconds:.1f} s, before {self._start:.1f} s, where it is cut: trim less off it."
        )

    def _go_to(self, file: Decoder, first: int) -> int:
        """Go to a frame, by decoding up to it if the format has no seeking; returns the frame that was reached."""
        if not first:
            return 0
        if file.can_seek:
            return file.seek(first)
        buffer, passed = self._buffer(file, first), 0
        while passed < first:
            count = len(file.read(out=buffer[: first - passed]))
            if not count:
                break
            passed += count
        return passed

    def _buffer(self, file: Decoder, frames: int) -> np.ndarray:
        most = min(BLOCK, max(1, BLOCK_SAMPLES // file.channels))
        return np.empty((min(most, max(frames, 1)), file.channels), np.float32)

    def _decoded(self, file: Decoder, first: int, frames: int) -> Iterator[np.ndarray]:
        resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32")
        buffer = self._buffer(file, frames)
        self._got, self._given, self._energy, self._energies = 0, 0, 0.0, np.zeros(file.channels)
        self._peak, self._peak_s, self._beyond = 0.0, 0.0, 0
        last = False
        while not last:
            # Not by SoundFile.blocks: if a file ends too early, that gives the last block again and again.
            block = file.read(out=buffer[: frames - self._got])
            spoken = block if self._channel is None else block[:, [self._channel]]
            self._weigh(spoken, first + self._got, file.samplerate)
            self._got += len(block)
            last = self._got >= frames or not len(block)
            mono = spoken.mean(1) if self._channel is None else spoken[:, 0]
            self._energy += np.square(mono, dtype=np.float64).sum()
            self._energies += np.square(block, dtype=np.float64).sum(0)
            chunk = resampler.resample_chunk(mono, last=last)
            self._given += len(chunk)
            yield chunk

    def _weigh(self, block: np.ndarray, first: int, rate: int) -> None:
        """Refuse impossible samples [n, channels], and count suspicious ones; they begin at frame `first`."""
        peak = max(block.max(initial=0.0), -block.min(initial=0.0))
        if peak <= HOT:
            return
        sizes = np.abs(block).max(1)
        at = (first + int(np.argmax(~(sizes <= MAX_SAMPLE)))) / rate
        if not np.isfinite(peak):
            raise HiSTalkError(f"{self.called} holds samples that are not numbers, at {at:.3f} s: export it again.")
        if peak > MAX_SAMPLE:
            raise self._damaged(peak, at)
        self._beyond += int((sizes > HOT).sum())
        if peak > self._peak:
            self._peak, self._peak_s = float(peak), (first + int(sizes.argmax())) / rate

    def _check_loudness(self) -> None:
        """A few samples far beyond full scale are damage; many are a float file of integers."""
        if 0 < self._beyond < FEW * self._got:
            raise self._damaged(self._peak, self._peak_s)

    def _damaged(self, peak: float, at: float) -> HiSTalkError:
        return HiSTalkError(
            f"{self.called} holds a sample of {peak:.3g} at {at:.3f} s, where full scale is 1: copy or export it again."
        )
