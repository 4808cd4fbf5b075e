"""Files that are whole when they have their name."""

from __future__ import annotations

import os
from pathlib import Path


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
