"""A file as its decoder sees it: composed of pieces of the real one, with a limit on what may be read."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

Piece = bytes | tuple[int, int]  # bytes of our own, or (first, length) of the file behind


class View(io.RawIOBase):
    """Read-only and seekable. Decoders call it from C, where nothing can be raised: `error` keeps what went wrong.

    budget: bytes that may still be read; a decoder that searches for something missing would read for hours.
    error: what reading the file behind raised, or None.
    """

    def __init__(self, behind: BinaryIO, pieces: list[Piece], budget: int):
        self.budget = budget
        self.error: OSError | None = None
        self._behind, self._pieces = behind, [piece for piece in pieces if _length(piece)]
        self._size, self._place = sum(map(_length, self._pieces)), 0

    def __len__(self) -> int:
        return self._size

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.budget <= 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As in files; positions before the start are the start."""
        self._place = max(0, offset + (0, self._place, self._size)[whence])
        return self._place

    def readinto(self, buffer) -> int:
        """As in files; 0 also if the budget is spent or the file behind cannot be read."""
        target, given = memoryview(buffer).cast("B"), 0
        try:
            while given < len(target) and self.budget > 0:
                count = self._copy(target[given : given + self.budget])
                if not count:
                    break
                given, self._place, self.budget = given + count, self._place + count, self.budget - count
        except OSError as error:
            self.error = error
        return given

    def _copy(self, target: memoryview) -> int:
        """Copy as much as fits of the piece at the position."""
        within = self._place
        for piece in self._pieces:
            length = _length(piece)
            if within < length:
                target = target[: length - within]
                if isinstance(piece, bytes):
                    target[:] = piece[within : within + len(target)]
                    return len(target)
                self._behind.seek(piece[0] + within)
                return self._behind.readinto(target)  # type: ignore[attr-defined]
            within -= length
        return 0

    def close(self) -> None:
        """Close the file behind too."""
        if not self.closed:
            self._behind.close()
        super().close()


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1]
