"""Point caches: every vertex of every frame, streamed to disk."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .errors import HiSTalkError
from .files import settle
from .motion import CHUNK, Motion

Step = Callable[[float], None]


def write_pc2(path: Path, shown: np.ndarray, motion: Motion, step: Step = lambda share: None, named: bool = True) -> Path:
    """A PC2 cache: positions in metres of frame 0 and on; the frames are never held whole.

    Args:
        path: what the file is called when it is whole.
        shown: [V, 3] positions at rest.
        motion: T frames of the V vertices.
        step: called with the share done; what it raises ends the work, and leaves no file.
        named: give it its name; else it stays under its temporary one.

    Returns:
        Where it lies.

    Raises:
        HiSTalkError: it cannot be written.
    """
    header = struct.pack("<12sIIffI", b"POINTCACHE2\0", 1, len(shown), 0.0, 1.0, len(motion))
    return _write(path, header, "<f4", shown, motion, step, named)


def write_mdd(path: Path, shown: np.ndarray, motion: Motion, step: Step = lambda share: None) -> Path:
    """An MDD cache: as `write_pc2`, with the seconds of each frame."""
    times = (np.arange(len(motion)) / motion.fps).astype(">f4")
    header = struct.pack(">2i", len(motion), len(shown)) + times.tobytes()
    return _write(path, header, ">f4", shown, motion, step, True)


def _write(path: Path, header: bytes, number: str, shown: np.ndarray, motion: Motion, step: Step, named: bool) -> Path:
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(header)
            for i, chunk in enumerate(motion.chunks()):
                step(i * CHUNK / len(motion))
                file.write((shown + chunk).astype(number).tobytes())
            file.flush()
            os.fsync(file.fileno())
        if named:
            settle(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another folder.") from error
        raise
    return path if named else part
