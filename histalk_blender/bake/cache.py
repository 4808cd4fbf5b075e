"""Mesh cache: a PC2 file and the modifier that plays it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import bpy
import numpy as np

from ..errors import HiSTalkError
from .ownership import MARK


def write_pc2(path: Path, positions, vertices: int, frames: int) -> None:
    """Write a point cache, one frame at a time, under a temporary name until it is whole.

    Args:
        path: the .pc2 file.
        positions: iterable of [V, 3] float32 positions, one a frame.

    Raises:
        HiSTalkError: the file cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<12sIIffI", b"POINTCACHE2\0", 1, vertices, 0.0, 1.0, frames))
            for frame in positions:
                file.write(np.ascontiguousarray(frame, "<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another cache folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def bake_cache(obj, displacements: np.ndarray, start_frame: float, folder: Path) -> str:
    """Write the cache and put its modifier first on the stack.

    The modifier overwrites what comes before it, so the object's own shape keys at their present values are
    written into the cache.

    Returns:
        The modifier's name.
    """
    vertices = len(obj.data.vertices)
    rest = _mixed_shape(obj).reshape(-1, 3)
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in obj.name)
    path = folder / f"{MARK}-{safe}.pc2"
    write_pc2(path, (rest + frame for frame in displacements), vertices, len(displacements))
    modifier = obj.modifiers.new(MARK, "MESH_CACHE")
    modifier.cache_format = "PC2"
    modifier.filepath = bpy.path.relpath(str(path)) if bpy.data.filepath else str(path)
    modifier.frame_start = start_frame
    modifier.time_mode = "FRAME"
    modifier.play_mode = "SCENE"
    modifier.deform_mode = "OVERWRITE"
    obj.modifiers.move(len(obj.modifiers) - 1, 0)
    return modifier.name


def _mixed_shape(obj) -> np.ndarray:
    """[V * 3] the mesh as its own shape keys make it now."""
    out = np.empty(len(obj.data.vertices) * 3, np.float32)
    keys = obj.data.shape_keys
    if keys is None:
        obj.data.vertices.foreach_get("co", out)
        return out
    basis, own = np.empty_like(out), np.empty_like(out)
    keys.reference_key.data.foreach_get("co", basis)
    out[:] = basis
    for key in keys.key_blocks[1:]:
        if key.value and not key.mute and not key.vertex_group:
            key.data.foreach_get("co", own)
            out += (own - basis) * key.value
    return out
