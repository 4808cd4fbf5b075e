"""One clip's samples as the network takes them: at one loudness, a part at a time, so an hour is never held whole."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import HiSTalkError
from . import SAMPLE_RATE
from .channels import MIX
from .loudness import BLOCK, MAX_SAMPLE, is_silence, rms_per_block, speech_gain

if TYPE_CHECKING:
    from .decoding import AudioSegment

# Samples of a clip that is decoded once and kept, 20 MB; a longer one is decoded again when its parts are asked for.
KEPT = 300 * SAMPLE_RATE


class AudioClip:
    """Samples at 16 kHz; len() counts them."""

    def __init__(self, length: int, rms: np.ndarray, source: np.ndarray | AudioSegment, name: str = "the sound"):
        """Keep samples, or where they come from.

        Args:
            length: samples.
            rms: see `rms_per_block`.
            source: samples [N] float32, or the segment that they are decoded from when they are asked for.
            name: for messages.
        """
        self.called = name
        self.silent, self.gain = is_silence(rms), speech_gain(rms)
        self._length, self._source = length, source
        self._blocks: Generator[np.ndarray, None, None] | None = None
        self._held, self._first = np.zeros(0, np.float32), 0  # what was decoded and may be asked for again

    @classmethod
    def of(cls, samples: np.ndarray) -> AudioClip:
        """Samples [N] float32 at 16 kHz.

        Raises:
            HiSTalkError: one is not a number, or far beyond full scale.
        """
        allowed = np.abs(samples) <= MAX_SAMPLE  # false for NaN too
        if not allowed.all():
            at = int(np.argmin(allowed))
            raise HiSTalkError(
                f"The sound's sample at {at / SAMPLE_RATE:.3f} s is {samples[at]:g}, beyond any sound: export it again."
            )
        return cls(len(samples), rms_per_block(samples), samples)

    def __len__(self) -> int:
        return self._length

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._length / SAMPLE_RATE

    def between(self, first: int, last: int) -> np.ndarray:
        """Samples first to last, exclusive, at the network's loudness; cheap when asked for in rising order.

        Raises:
            HiSTalkError: the file has changed.
        """
        last = min(last, self._length)
        if isinstance(self._source, np.ndarray):
            return self._source[first:last] * self.gain
        if self._blocks is None or first < self._first:
            self.close()
            self._blocks = self._source.blocks()
        parts, end = [self._held], self._first + len(self._held)
        while end < last:
            block = next(self._blocks, None)
            if block is None:
                raise HiSTalkError(f"{self.called} changed while it was read: do not change it, and start again.")
            parts.append(block)
            end += len(block)
            if end <= first:  # before what is asked for
                parts, self._held, self._first = [], np.zeros(0, np.float32), end
        held = np.concatenate([np.zeros(0, np.float32), *parts])
        self._held, self._first = held[max(0, first - self._first) :].copy(), max(first, self._first)
        return self._held[first - self._first : last - self._first] * self.gain

    def close(self) -> None:
        """Close the file; what is asked for afterwards is decoded from its start."""
        if self._blocks is not None:
            self._blocks.close()
        self._blocks, self._held, self._first = None, np.zeros(0, np.float32), 0


def open_clip(
    source: Path | bytes, start: float = 0.0, duration: float | None = None, name: str = "", channel: str = MIX
) -> AudioClip:
    """Decode a file or a segment of it once, see `AudioSegment`, so that every error in it is raised now.

    Raises:
        HiSTalkError: the file cannot be read, or does not hold what is asked for.
    """
    from .decoding import AudioSegment  # needs soundfile, which samples in memory do not

    segment = AudioSegment(source, start, duration, name, channel)
    while True:
        length, rest, rms, kept = 0, np.zeros(0, np.float32), [], []
        for block in segment.blocks():
            length += len(block)
            rest = np.concatenate([rest, block])
            rms.append(rms_per_block(rest))
            rest = rest[len(rms[-1]) * BLOCK :]
            kept = [*kept, block] if length <= KEPT else []
        if not segment.takes_one_channel():
            return AudioClip(length, np.concatenate(rms), np.concatenate(kept) if kept else segment, segment.called)


def read_audio(
    source: Path | bytes, start: float = 0.0, duration: float | None = None, name: str = "", channel: str = MIX
) -> np.ndarray:
    """Decode, mix down and resample a file or a segment of it, see `AudioSegment`; only the result is held whole.

    Where the channels cancel each other out, the loudest is taken instead of their mean.

    Returns:
        [N] float32 at 16 kHz.

    Raises:
        HiSTalkError: the file cannot be read, or does not hold what is asked for.
    """
    from .decoding import AudioSegment

    segment = AudioSegment(source, start, duration, name, channel)
    while True:
        samples = np.concatenate(list(segment.blocks()))
        if not segment.takes_one_channel():
            return samples
