"""Blender's own writers behind a temporary name, and why they could not write, of which they say little."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import HiSTalkError
from ..files import atomic_path, has_room

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def blender_output(path: Path, verb: str = "written", needs: int = 1 << 20) -> Iterator[Path]:
    """A temporary path for an operator of Blender; `path` when the block ends well. A link there is replaced.

    Args:
        path: the file in the end.
        verb: what cannot be done with it where that fails.
        needs: bytes that it takes on the way, as far as is known: with fewer free, a failure is a full disk.

    Raises:
        HiSTalkError: it cannot be written; its cause is an OSError, with ENOSPC for a full disk.
    """
    path = Path(path)
    path = path.parent.resolve() / path.name
    try:
        with atomic_path(path) as temporary:
            try:
                yield temporary
            except RuntimeError as error:  # all that operators raise
                raise _reason(error, path.parent, needs) from error
    except OSError as error:
        fix = "make room, or choose another place" if error.errno in FULL else "choose another place"
        raise HiSTalkError(f"'{path}' cannot be {verb} ({error.strerror or error}): {fix}.") from error


def _reason(error: RuntimeError, folder: Path, needs: int) -> OSError:
    """What an operator said, in one line: its error may be a traceback, with the place of its raising below."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Location:")]
    said = lines[-1].strip().removeprefix("Error: ") if lines else type(error).__name__
    full = next((number for number in FULL if os.strerror(number) in str(error)), None)
    if full is None and not has_room(folder, needs):  # asked for as long as the temporary file is there
        full = errno.ENOSPC
    return OSError(full, os.strerror(full)) if full else OSError(errno.EIO, said)
