"""Sound that only Blender reads: m4a, mp4, mkv and their like become a file of ours, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from ..errors import HiSTalkError
from ..runtime import processes
from ..runtime.pins import BPY

PATIENCE = 900.0  # seconds that Blender may read one file, where it is a child; an hour of speech takes ten


def is_there() -> bool:
    """Whether Blender, or its module, can be asked."""
    return "bpy" in sys.modules or find_spec("bpy") is not None


def check(called: str) -> None:
    """Refuse a sound where Blender cannot be asked.

    Raises:
        HiSTalkError: it cannot.
    """
    if not is_there():
        raise HiSTalkError(f"{called} is of a kind that Blender reads: pip install bpy=={BPY}, or convert it to wav.")


class Converted:
    """A sound as libsndfile reads it; its file is gone with this object.

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
        check(called)
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="histalk-", ignore_cleanup_errors=True)
            path = Path(self._folder.name, "sound.flac")
            if isinstance(source, bytes):
                packed = path.with_suffix(".packed")
                packed.write_bytes(source)
                source = packed
            write = _write if "bpy" in sys.modules else _write_by_child
            write(source.absolute(), path, called, longest)
            self.source = path
            if os.name == "posix":  # there it can be deleted at once, and is gone however we end
                self.source = open(path, "rb")
                self._folder.cleanup()
        except OSError as error:
            folder, why = tempfile.gettempdir(), error.strerror or str(error)
            raise HiSTalkError(f"{called} cannot be converted in '{folder}' ({why}): make room there.") from error


def _write(source: Path, path: Path, called: str, longest: float) -> None:
    from ..bake.aud_decoder import write_flac

    write_flac(source, path, called, longest)


def _write_by_child(source: Path, path: Path, called: str, longest: float) -> None:
    """Blender's module may be loaded by the main thread alone, and keeps a process from ending: so in one of its own."""
    command = processes.module_command("bake.aud_child", str(source), str(path), called, str(longest))
    try:
        done = processes.run(command, timeout=PATIENCE)
        told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise HiSTalkError(f"Blender still reads {called} after {PATIENCE:.0f} s: convert it to wav.") from error
    except (ValueError, IndexError) as error:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1][:200] if lines else f"code {done.returncode}"
        raise HiSTalkError(f"Blender's module could not read {called} ({why}): convert it to wav.") from error
    if told["refused"]:
        raise HiSTalkError(told["refused"])
    if told["failed"]:
        raise OSError(told["failed"])
