"""Sound that only Blender reads (m4a, mp4, mkv ...) is converted to FLAC, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from ..errors import HiSTalkError
from ..runtime import processes
from ..runtime.pins import BPY

Decoder = Callable[[Path, Path, str, float], None]  # source, FLAC file to write, name for messages, longest seconds
CHILD = "bake.aud_child"  # module that a process of its own runs where no decoder is registered
TIMEOUT = 900.0  # seconds for one file in a process of its own; an hour of speech takes ten
_decoders: list[Decoder] = []


def register_decoder(decoder: Decoder) -> None:
    """Convert in this process from now on. `bake.aud_decoder` calls this, as it loads Blender's module."""
    _decoders[:] = [decoder]


def is_available() -> bool:
    """Whether Blender, or its module, is there to convert."""
    return "bpy" in sys.modules or find_spec("bpy") is not None


def check_available(called: str) -> None:
    """Refuse a sound where Blender cannot convert it.

    Raises:
        HiSTalkError: it is not there.
    """
    if not is_available():
        raise HiSTalkError(f"{called} is of a kind that Blender reads: pip install bpy=={BPY}, or convert it to wav.")


class Converted:
    """A sound as libsndfile reads it; its file goes with this object.

    source: the file, for `opening.opened`.
    """

    source: Path | BinaryIO

    def __init__(self, source: Path | bytes, called: str, longest: float):
        """Let Blender read a sound.

        Args:
            called: what messages call it.
            longest: seconds that it may last.

        Raises:
            HiSTalkError: Blender is not there or cannot read it, it is cut off or too long, or there is no room.
        """
        check_available(called)
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="histalk-", ignore_cleanup_errors=True)
            path = Path(self._folder.name, "sound.flac")
            if isinstance(source, bytes):
                packed = path.with_suffix(".packed")
                packed.write_bytes(source)
                source = packed
            decode = _decoders[0] if _decoders else _decode_in_child
            decode(source.absolute(), path, called, longest)
            self.source = path
            if os.name == "posix":  # an open file can be deleted there, so it is gone however this process ends
                self.source = open(path, "rb")
                self._folder.cleanup()
        except OSError as error:
            folder, why = tempfile.gettempdir(), error.strerror or str(error)
            raise HiSTalkError(f"{called} cannot be converted in '{folder}' ({why}): make room there.") from error


def _decode_in_child(source: Path, path: Path, called: str, longest: float) -> None:
    """In its own process: only a main thread may load Blender's module, which then keeps the process from ending."""
    command = processes.module_command(CHILD, str(source), str(path), called, str(longest))
    try:
        done = processes.run(command, timeout=TIMEOUT)
        reply = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise HiSTalkError(
            f"Blender did not finish reading {called} in {TIMEOUT:.0f} seconds: convert it to wav."
        ) from error
    except (ValueError, IndexError) as error:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1][:200] if lines else f"code {done.returncode}"
        raise HiSTalkError(f"Blender's module could not read {called} ({why}): convert it to wav.") from error
    if reply["refused"]:
        raise HiSTalkError(reply["refused"])
    if reply["failed"]:
        raise OSError(reply["failed"])
