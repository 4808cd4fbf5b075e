"""Point caches, PC2 and MDD: every vertex of every frame, written a few frames at a time."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from ..files import create_file, discard_file, temp_path
from .motion import Motion

FRAMES = 64  # expanded at once: they stay in the processor's cache until they are written
Step = Callable[[float], None]


def write_pc2(path: Path, shown: np.ndarray, motion: Motion, step: Step = lambda share: None) -> Path:
    """Write a PC2 cache under a temporary name, synced to disk; the caller passes it to `commit_file`.

    Args:
        path: the cache's final name.
        shown: [V, 3] positions that the motion is added to, metres.
        motion: of these vertices; one sample each of its frames.
        step: called with the share done; what it raises stops the work, and no file is left.

    Returns:
        The temporary name, beside `path`.

    Raises:
        HiSTalkError: the folder is missing, full or may not be written.
    """
    # The header's start and rate are in frames: one sample a frame, from frame 0 on.
    header = struct.pack("<12sIIffI", b"POINTCACHE2\0", 1, len(shown), 0.0, 1.0, len(motion))
    return _write(path, header, _positions(shown, motion, "<f4", step))


def write_mdd(path: Path, shown: np.ndarray, motion: Motion, step: Step = lambda share: None) -> Path:
    """Write an MDD cache as `write_pc2` writes a PC2; its times are seconds from the first frame on.

    Axes are the mesh's own, as in a PC2: Blender's Mesh Cache modifier plays both with its default axes.
    """
    times = (np.arange(len(motion)) / motion.fps).astype(">f4").tobytes()
    header = struct.pack(">ii", len(motion), len(shown)) + times
    return _write(path, header, _positions(shown, motion, ">f4", step))


def _positions(shown: np.ndarray, motion: Motion, kind: str, step: Step) -> Iterator[memoryview]:
    """All frames' positions, some at a time, in two buffers by turns: new memory would cost as much as writing."""
    motion.check_finite()
    shown, basis = np.ascontiguousarray(shown, np.float32).ravel(), motion.flat
    buffers = np.empty((2, min(FRAMES, len(motion)), len(shown)), np.float32)
    for first in range(0, len(motion), FRAMES):
        step(first / len(motion))
        weights = motion.weights[first : first + FRAMES]
        frames = np.matmul(weights, basis, out=buffers[first // FRAMES % 2, : len(weights)])
        frames += shown
        if np.dtype(kind) != np.float32:
            frames.byteswap(inplace=True)
        yield frames.data


def _write(path: Path, header: bytes, body: Iterator[memoryview]) -> Path:
    part = temp_path(path)
    try:
        with create_file(part) as file, ThreadPoolExecutor(1) as beside:
            writing = beside.submit(file.write, header)
            for frames in body:  # computed while the previous ones are written
                writing.result()
                writing = beside.submit(file.write, frames)
            writing.result()
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        discard_file(part)
        if isinstance(error, OSError):
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another folder.") from error
        raise
    return part
