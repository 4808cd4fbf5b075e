"""Motion as a few shapes and their weights in time: predicted by the network, changed by layers, written by a bake."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import HiSTalkError

CHUNK = 256  # frames expanded at once


@dataclass(frozen=True, eq=False)
class Motion:
    """T frames of V vertices as sums of K shapes: an hour is a few megabytes, and changes in time are cheap.

    weights: [T, K] float32. shapes: [K, V, 3] float32, metres at weight one. fps: frames a second.
    """

    weights: np.ndarray
    shapes: np.ndarray
    fps: float

    @classmethod
    def of_frames(cls, displacements: np.ndarray, fps: float) -> Motion:
        """Any motion [T, V, 3] in metres, exactly: each frame is a shape of its own."""
        return cls(np.eye(len(displacements), dtype=np.float32), displacements.astype(np.float32), fps)

    def __len__(self) -> int:
        return len(self.weights)

    def check_finite(self) -> None:
        """Refuse a motion that would otherwise be written or fitted without an error.

        Raises:
            HiSTalkError: a weight or a shape is NaN or infinite.
        """
        if not (np.isfinite(self.weights).all() and np.isfinite(self.shapes).all()):
            raise HiSTalkError("The motion holds NaN or infinities: choose other weights, or export the sound again.")

    @property
    def flat(self) -> np.ndarray:
        """[K, 3V] the shapes, a row each."""
        return self.shapes.reshape(len(self.shapes), 3 * self.shapes.shape[1])

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self) / self.fps

    def displacements(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Frames first to last, exclusive, as [n, V, 3] in metres."""
        flat = self.weights[first:last] @ self.flat
        return flat.reshape(-1, *self.shapes.shape[1:])

    def chunks(self):
        """All frames [n, V, 3] in metres, some at a time, so that they are never held whole."""
        for first in range(0, len(self), CHUNK):
            yield self.displacements(first, first + CHUNK)

    def at_fps(self, fps: float) -> Motion:
        """At another rate by linear interpolation; the first frame stays at time 0 and the duration is kept.

        Args:
            fps: frames a second.

        Returns:
            max(1, round(T · fps / self.fps)) frames; `self` when the rates agree.
        """
        if abs(self.fps - fps) < 1e-6:
            return self
        where = np.arange(max(1, round(len(self) * fps / self.fps))) * self.fps / fps
        return replace(self.sampled(where), fps=fps)

    def sampled(self, where: np.ndarray) -> Motion:
        """S frames, linear between its own, at places [S] in frames; the ends are held."""
        where = np.clip(where, 0, len(self) - 1)
        low = np.floor(where).astype(int)
        high = np.minimum(low + 1, len(self) - 1)
        share = (where - low).astype(np.float32)[:, None]
        return replace(self, weights=self.weights[low] * (1 - share) + self.weights[high] * share)

    def smoothed(self, seconds: float) -> Motion:
        """Through a Gaussian in time, `seconds` wide at half its height; the ends are held."""
        sigma = seconds * self.fps / 2.3548
        if sigma < 0.05:
            return self
        reach = int(np.ceil(3 * sigma))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        padded = np.pad(self.weights, ((reach, reach), (0, 0)), mode="edge")
        size = 1 << (len(padded) + 2 * reach).bit_length()
        spectrum = np.fft.rfft(kernel / kernel.sum(), size)[:, None] * np.fft.rfft(padded, size, axis=0)
        weights = np.fft.irfft(spectrum, size, axis=0)[2 * reach : 2 * reach + len(self)]
        return replace(self, weights=weights.astype(np.float32))

    def between(self, first: int, last: int) -> Motion:
        """Its frames first to last, exclusive."""
        return replace(self, weights=self.weights[first:last])

    def on(self, shapes: np.ndarray) -> Motion:
        """The same weights on other shapes [K, V', 3]: another topology, another head."""
        return replace(self, shapes=np.ascontiguousarray(shapes, np.float32))

    def plus(self, weights: np.ndarray, shapes: np.ndarray) -> Motion:
        """With further shapes [J, V, 3] and their weights [T, J]."""
        return replace(
            self,
            weights=np.concatenate([self.weights, weights.astype(np.float32)], 1),
            shapes=np.concatenate([self.shapes, shapes.astype(np.float32)]),
        )
