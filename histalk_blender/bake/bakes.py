"""Bake and its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..errors import HiSTalkError
from ..timing import resample
from .cache import bake_cache
from .checks import MARK, check_object, curve_bags, fitted, is_our_curve, refresh, scene_fps, why_nothing_moves
from .shape_keys import bake_basis, bake_keys

KINDS = ("cache", "keys", "basis")


@dataclass(frozen=True)
class BakeReport:
    """What a bake made."""

    kind: str
    frames: int
    keys: int
    max_error_mm: float
    warnings: list[str]


def bake(
    obj,
    displacements: np.ndarray,
    *,
    kind: str = "cache",
    start_frame: int = 1,
    fps: float = 30.0,
    cache_dir: Path | None = None,
    tolerance_mm: float = 0.1,
) -> BakeReport:
    """Bake motion on a mesh of its topology, in place of an earlier bake of ours and of nothing else.

    Args:
        obj: the mesh object; its shape keys, modifiers, parents and scale stay.
        displacements: [T, V, 3] metres in the mesh's own space; a FLAME head also takes the bundled head's.
        kind: "cache", "keys" or "basis".
        start_frame: scene frame of the first motion frame.
        fps: the motion's frames a second; it is resampled to the scene's.
        cache_dir: folder of the cache file; None = beside the saved .blend.
        tolerance_mm: largest error anywhere that "basis" may leave.

    Raises:
        HiSTalkError: the target or an argument is wrong; the scene is untouched.
    """
    displacements = np.asarray(displacements, np.float32)
    if kind not in KINDS:
        raise HiSTalkError(f"'{kind}' is no kind of bake: choose {', '.join(KINDS)}.")
    if displacements.ndim != 3 or displacements.shape[2] != 3 or not len(displacements):
        raise HiSTalkError(f"Motion must be frames x vertices x 3, not {displacements.shape}: synthesize it again.")
    check_object(obj)
    displacements = fitted(obj, displacements)
    if kind == "cache":
        if cache_dir is None:
            if not bpy.data.filepath:
                raise HiSTalkError("The .blend is not saved: save it, or name a folder for the cache.")
            cache_dir = Path(bpy.data.filepath).parent
        if not Path(cache_dir).is_dir():
            raise HiSTalkError(f"'{cache_dir}' is no folder: make it, or choose another for the cache.")
    motion = resample(displacements, fps, scene_fps(bpy.context.scene))
    remove_bake(obj)
    keys, error = 0, 0.0
    if kind == "cache":
        bake_cache(obj, motion, start_frame, Path(cache_dir))
    elif kind == "keys":
        keys = bake_keys(obj, motion, start_frame)
    else:
        keys, error = bake_basis(obj, motion, start_frame, tolerance_mm)
    refresh(obj)
    warnings = why_nothing_moves(obj)
    if kind != "cache" and obj.data.users > 1:
        warnings.append(f"Mesh '{obj.data.name}' is shared, so {obj.data.users} objects speak: make it single-user.")
    return BakeReport(kind, len(motion), keys, error, warnings)


def remove_bake(obj) -> None:
    """Take away what `bake` made on this object: keys, their F-curves, the modifier; cache files stay on disk."""
    for modifier in [m for m in obj.modifiers if m.type == "MESH_CACHE" and m.name.startswith(MARK)]:
        obj.modifiers.remove(modifier)
    keys = obj.data.shape_keys
    if keys is None:
        return
    ours = [key for key in keys.key_blocks if key.name.startswith(MARK)]
    if not ours:
        return
    action = keys.animation_data.action if keys.animation_data else None
    if action is not None:
        # By a mark and not by its name: Blender names actions after the object, which may be called HiSTalk too.
        if action.get(MARK):
            bpy.data.actions.remove(action)
        else:
            for bag in curve_bags(keys.animation_data):
                for curve in [curve for curve in bag.fcurves if is_our_curve(curve)]:
                    bag.fcurves.remove(curve)
    for key in reversed(ours):
        obj.shape_key_remove(key)
    left = obj.data.shape_keys
    if left is not None and len(left.key_blocks) == 1:
        animation = left.animation_data
        if animation is None or not (animation.action or animation.drivers or animation.nla_tracks):
            obj.shape_key_clear()
