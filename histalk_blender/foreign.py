"""Sound that only Blender reads: m4a, mp4, mkv and their like become a file of ours, once."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from .errors import HiSTalkError


def is_there() -> bool:
    """Whether Blender can be asked. Its module may be loaded by the main thread alone."""
    if "bpy" in sys.modules:
        return True
    return threading.current_thread() is threading.main_thread() and find_spec("bpy") is not None


def check(called: str) -> None:
    """Refuse a sound where Blender cannot be asked.

    Raises:
        HiSTalkError: it cannot.
    """
    if not is_there():
        raise HiSTalkError(f"{called} is of a kind that Blender reads: pip install bpy==4.5.15, or convert it to wav.")


class Converted:
    """A sound as libsndfile reads it, gone with this object."""

    source: Path | BinaryIO

    def __init__(self, source: Path | bytes, called: str, longest: float):
        """See `convert`."""
        check(called)
        try:
            from .bake.aud_decoder import write_flac
        except ImportError as error:
            raise HiSTalkError(
                f"{called} needs Blender's module, which does not load ({error}): convert it to wav."
            ) from error
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="histalk-", ignore_cleanup_errors=True)
            path = Path(self._folder.name, "sound.flac")
            if isinstance(source, bytes):
                packed = path.with_suffix(".packed")
                packed.write_bytes(source)
                source = packed
            write_flac(source, path, called, longest)
            self.source = path
            if os.name == "posix":  # there it can be deleted at once, and is gone however we end
                self.source = open(path, "rb")
                self._folder.cleanup()
        except OSError as error:
            why = error.strerror or str(error)
            folder = tempfile.gettempdir()
            raise HiSTalkError(f"{called} cannot be converted in '{folder}' ({why}): make room there.") from error


def convert(source: Path | bytes, called: str, longest: float) -> Converted:
    """Let Blender read a sound.

    Args:
        longest: seconds that it may last.

    Raises:
        HiSTalkError: Blender is not there, or cannot read it, or it is cut off or too long.
    """
    return Converted(source, called, longest)
