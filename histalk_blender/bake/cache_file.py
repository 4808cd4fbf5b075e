"""The place of a cache on the disk."""

from __future__ import annotations

import itertools
from pathlib import Path

import bpy

from ..errors import HiSTalkError
from ..files import path_key
from .actions import MARK

LONGEST_NAME = 180  # bytes of the 255 that a file system takes: some are for numbers and temporary names


def cache_path(obj, place: Path | None) -> Path:
    """The file of an object's cache: never that of another object of the file.

    Raises:
        HiSTalkError: see `cache_place`.
    """
    place = cache_place(place)
    if place.suffix.lower() == ".pc2":
        return place
    # Two files in one folder may both hold a "Head".
    name = "-".join(part for part in (MARK, Path(bpy.data.filepath).stem, obj.name) if part)
    name = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name)
    name = name.encode()[:LONGEST_NAME].decode(errors="ignore")
    taken = {_cache_key(modifier) for other in bpy.data.objects if other != obj for modifier in other.modifiers}
    paths = (place / f"{name}{f'-{count}' if count > 1 else ''}.pc2" for count in itertools.count(1))
    return next(path for path in paths if path_key(str(path)) not in taken)


def cache_place(place: Path | None) -> Path:
    """The folder that takes a cache, or the .pc2 itself where that is named; None = beside the saved .blend.

    Raises:
        HiSTalkError: the .blend is not saved, or the folder is missing.
    """
    if place is None:
        if not bpy.data.filepath:
            raise HiSTalkError("The .blend is not saved: save it, or name a folder for the cache.")
        place = Path(bpy.data.filepath).parent
    place = Path(place)
    if place.suffix.lower() != ".pc2":
        folder = place = place.resolve()  # a saved .blend makes relative what is absolute
    else:
        folder = place.parent.resolve()
        place = folder / place.name
    if not folder.is_dir():
        raise HiSTalkError(f"'{folder}' is no folder: make it, or choose another for the cache.")
    return place


def _cache_key(modifier) -> str:
    """What identifies the file of a Mesh Cache modifier on any file system; "" of other modifiers."""
    if modifier.type != "MESH_CACHE" or not modifier.filepath:
        return ""
    path = Path(bpy.path.abspath(modifier.filepath, library=modifier.id_data.library))
    return path_key(str(path.parent.resolve() / path.name))
