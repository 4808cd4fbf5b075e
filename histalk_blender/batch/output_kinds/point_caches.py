"""Point caches: every vertex of every frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import HiSTalkError
from ...files import commit_file
from ...motion.point_cache import write_mdd, write_pc2
from .output_kind import ClipResult, OutputKind


class _PointCache(OutputKind):
    write_temporary: Callable  # as `write_pc2`

    def write(self, clip: ClipResult, path: Path) -> None:
        try:
            commit_file(self.write_temporary(path, clip.shown_positions, clip.motion), path)
        except OSError as error:
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): fix that.") from error


class Pc2(_PointCache):
    """For Blender's Mesh Cache modifier."""

    name = "pc2"
    write_temporary = staticmethod(write_pc2)


class Mdd(_PointCache):
    """For other programs."""

    name = "mdd"
    write_temporary = staticmethod(write_mdd)
