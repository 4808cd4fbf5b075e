"""One clip's sound, as the network hears it."""

from __future__ import annotations

import numpy as np

from .audio import is_silent, normalise_level


class Sound:
    """Samples at 16 kHz and at the network's level, a stretch at a time."""

    def __init__(self, samples: np.ndarray):
        self.silent = is_silent(samples)
        self._samples = samples if self.silent else normalise_level(samples)

    @classmethod
    def of(cls, samples: np.ndarray) -> Sound:
        """[N] float32 at 16 kHz."""
        return cls(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def between(self, first: int, last: int) -> np.ndarray:
        """Samples first to last, exclusive."""
        return self._samples[first:last]
