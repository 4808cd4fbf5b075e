"""Files that are whole when they have their name, and the opening of strangers' files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

KINDS = {
    stat.S_IFDIR: "it is a folder", stat.S_IFIFO: "it is a pipe", stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device", stat.S_IFBLK: "it is a device",
}  # fmt: skip


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading if it is a regular one: a pipe would wait for ever, a device give for ever.

    Raises:
        OSError: it is not there, no regular file, or cannot be read; `strerror` says which.
    """
    try:
        _check_regular(os.stat(path), path)  # before opening, which alone sets some devices off
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL byte, or characters that no file name can hold
        raise OSError(errno.EINVAL, "no file can have such a name", str(path)) from error
    try:
        _check_regular(os.fstat(handle), path)  # again, as it may have been exchanged in between
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_regular(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, KINDS.get(stat.S_IFMT(found.st_mode), "it is no regular file"), str(path))


def settle(temporary: Path, path: Path) -> None:
    """Give a finished file its name, so that not even a power cut leaves half of it there.

    Raises:
        OSError: it cannot be written to the disk or renamed.
    """
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file at once, under a temporary name until it is whole.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(data)
        settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
