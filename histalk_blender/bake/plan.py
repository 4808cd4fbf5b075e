"""What must hold before a bake, and all that the making needs to know of the scene."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np

from ..errors import HiSTalkError
from ..files import path_key
from .actions import MARK
from .arkit_rig import read_rig, with_own_shapes
from .edits import check_edits
from .make import KINDS, ArkitRig, Plan
from .ownership import values_at_rest
from .savable import check_savable
from .targets import why_no_mesh

LONGEST_NAME = (
    180  # bytes of a cache's name, of the 255 that a file system takes: some are for numbers and temporary names
)


def plan_bake(
    obj,
    *,
    kind: str = "cache",
    start_frame: float = 1,
    cache: Path | None = None,
    tolerance_mm: float = 0.1,
    mapping: Mapping[str, str | None] | None = None,
    scene=None,
    discard_edits: bool = False,
) -> Plan:
    """Check everything and read the scene; nothing is touched.

    Args:
        obj: the mesh object.
        kind: "cache", "keys", "basis" or "arkit".
        start_frame: scene frame of the first motion frame.
        cache: the .pc2, or a folder for it; None = beside the saved .blend.
        tolerance_mm: largest error anywhere that "basis" may leave on a human-sized head; on others it is scaled.
        mapping: for "arkit", see `read_rig`.
        scene: whose frame rate counts; None = the present one.
        discard_edits: replace the earlier bake though it was changed by hand since.

    Raises:
        HiSTalkError: the target or an argument is wrong, or the earlier bake was changed by hand.
    """
    if kind not in KINDS:
        raise HiSTalkError(f"'{kind}' is no kind of bake: choose {', '.join(KINDS)}.")
    check_object(obj)
    check_savable(obj, kind)
    check_edits(obj, discard_edits)
    rig = with_own_shapes(obj, read_rig(obj, mapping)) if kind == "arkit" else ArkitRig()
    return Plan(
        kind,
        obj.name,
        rest_positions(obj),
        shown_positions(obj),
        start_frame,
        scene_fps(scene or bpy.context.scene),
        cache_path(obj, cache) if kind == "cache" else None,
        tolerance_mm,
        rig,
        discard_edits,
    )


def check_object(obj) -> None:
    """Refuse what cannot be baked on.

    Raises:
        HiSTalkError: no object, no mesh or one without vertices, a linked one, or edit mode.
    """
    if reason := why_no_mesh(obj):
        raise HiSTalkError(reason)
    if obj.library:
        raise HiSTalkError(
            f"'{obj.name}' is linked from another file: make it a library override (Object › Library Override › Make) and "
            "bake as a mesh cache, or make it local."
        )
    if obj.mode == "EDIT":
        raise HiSTalkError(f"'{obj.name}' is in edit mode: press Tab to leave it, then bake.")


def cache_path(obj, place: Path | None) -> Path:
    """Where an object's cache goes: never over one that another object of the file plays.

    Raises:
        HiSTalkError: the .blend is not saved, or the folder is missing.
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
        HiSTalkError: see `cache_path`.
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
    """What tells the file of a Mesh Cache modifier from others, on any file system; "" of other modifiers."""
    if modifier.type != "MESH_CACHE" or not modifier.filepath:
        return ""
    path = Path(bpy.path.abspath(modifier.filepath, library=modifier.id_data.library))
    return path_key(str(path.parent.resolve() / path.name))


def scene_fps(scene) -> float:
    """Frames a second of a scene, 23.976 and its kin included."""
    return scene.render.fps / scene.render.fps_base


def rest_positions(obj) -> np.ndarray:
    """[V, 3] without any shape key."""
    keys = obj.data.shape_keys
    rest = np.empty(len(obj.data.vertices) * 3, np.float32)
    (keys.reference_key.data if keys else obj.data.vertices).foreach_get("co", rest)
    return rest.reshape(-1, 3)


def shown_positions(obj) -> np.ndarray:
    """[V, 3] as the user's own shape keys make the mesh now."""
    keys, rest = obj.data.shape_keys, rest_positions(obj)
    shown, own = rest.copy(), np.empty(rest.size, np.float32)
    values = values_at_rest(keys)
    for key in keys.key_blocks[1:] if keys else ():
        value = values.get(key.name, key.value)
        if value and not key.mute and not key.vertex_group:
            key.data.foreach_get("co", own)
            shown += (own.reshape(-1, 3) - rest) * value
    return shown
