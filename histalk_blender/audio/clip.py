"""One clip's sound as the network hears it: at its level, a stretch at a time, so that an hour is never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import HiSTalkError
from . import RATE
from .channels import MIX
from .loudness import LOUDEST, gain_for, levels_of, silent_levels

if TYPE_CHECKING:
    from .decoding import Stretch

KEPT = (
    300 * RATE
)  # samples of a sound that is decoded once and kept, 20 MB; a longer one is decoded again as it is heard


class Sound:
    """Samples at 16 kHz; len() counts them."""

    def __init__(self, length: int, levels: np.ndarray, samples: np.ndarray | None, stretch: Stretch | None):
        """Args:
        length: samples.
        levels: of each 25 ms.
        samples: [N] float32, or None where they are decoded from `stretch` when they are asked for.
        """
        self.called = stretch.called if stretch else "the sound"  # in messages
        self.silent, self.gain = silent_levels(levels), gain_for(levels)
        self._length, self._samples, self._stretch = length, samples, stretch
        self._blocks: Iterator[np.ndarray] | None = None
        self._held, self._first = np.zeros(0, np.float32), 0  # what was decoded and may be asked for again

    @classmethod
    def of(cls, samples: np.ndarray) -> Sound:
        """Samples [N] float32 at 16 kHz.

        Raises:
            HiSTalkError: one is no number, or beyond all measure.
        """
        if not np.abs(samples).max(initial=0.0) <= LOUDEST:
            at = int(np.argmax(~(np.abs(samples) <= LOUDEST))) / RATE
            raise HiSTalkError(
                f"The sound's sample at {at:.3f} s is {samples[round(at * RATE)]:g}, which no sound has."
            )
        return cls(len(samples), levels_of(samples), samples, None)

    def __len__(self) -> int:
        return self._length

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._length / RATE

    def between(self, first: int, last: int) -> np.ndarray:
        """Samples first to last, exclusive, at the network's level; cheap when asked for in rising order.

        Raises:
            HiSTalkError: the file is no longer what it was.
        """
        last = min(last, self._length)
        if self._samples is not None:
            return self._samples[first:last] * self.gain
        if self._blocks is None or first < self._first:
            self.close()
            self._blocks = self._stretch.blocks()
        parts, end = [self._held], self._first + len(self._held)
        while end < last:
            block = next(self._blocks, None)
            if block is None:
                raise HiSTalkError(
                    f"{self._stretch.called} changed while it was heard: leave it alone, and start again."
                )
            parts.append(block)
            end += len(block)
            if end <= first:  # only passed by
                parts, self._held, self._first = [], np.zeros(0, np.float32), end
        held = np.concatenate([np.zeros(0, np.float32), *parts])
        self._held, self._first = held[max(0, first - self._first) :].copy(), max(first, self._first)
        return self._held[first - self._first : last - self._first] * self.gain

    def close(self) -> None:
        """Let the file go; what is asked for after that is decoded from its start."""
        if self._blocks is not None:
            self._blocks.close()
        self._blocks, self._held, self._first = None, np.zeros(0, np.float32), 0


def open_sound(
    source: Path | bytes, start: float = 0.0, duration: float | None = None, name: str = "", channel: str = MIX
) -> Sound:
    """Decode a file or a stretch of it once, see `audio.read_audio`, so that all that is wrong with it is said now.

    Raises:
        HiSTalkError: the file cannot be read, or does not hold what is asked for.
    """
    from .decoding import Stretch  # needs soundfile, which samples in memory do not

    stretch = Stretch(source, start, duration, name, channel)
    while True:
        length, rest, levels, kept = 0, np.zeros(0, np.float32), [], []
        for block in stretch.blocks():
            length += len(block)
            rest = np.concatenate([rest, block])
            levels.append(levels_of(rest))
            rest = rest[len(levels[-1]) * (RATE // 40) :]
            kept = [*kept, block] if length <= KEPT else []
        if not stretch.takes_one_channel():
            return Sound(length, np.concatenate(levels), np.concatenate(kept) if kept else None, stretch)
