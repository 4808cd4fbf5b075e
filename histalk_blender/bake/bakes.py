"""Bake: checks first, then the old bake goes and the new one comes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..arkit import fit_units
from ..errors import HiSTalkError
from ..head import load_head
from ..timing import resample
from .arkit_curves import arkit_keys, bake_units
from .cache import bake_cache
from .checks import check_object, fitted, refresh, scene_fps, why_nothing_moves
from .ownership import remove_bake
from .shape_keys import bake_basis, bake_keys

KINDS = ("cache", "keys", "basis", "arkit")


@dataclass(frozen=True)
class BakeReport:
    """What a bake made."""

    kind: str
    frames: int
    keys: int
    max_error_mm: float  # anywhere; for "arkit" the worst frame's root mean square
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
        kind: "cache", "keys", "basis", or "arkit": curves on the ARKit keys of a mesh of any topology, which takes
            the bundled head's motion.
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
    if kind == "arkit":
        arkit_keys(obj)
        motion, over = fit_units(displacements, load_head())
        error = float(over.max()) * 1000
    else:
        motion, error = fitted(obj, displacements), 0.0
    if kind == "cache":
        if cache_dir is None:
            if not bpy.data.filepath:
                raise HiSTalkError("The .blend is not saved: save it, or name a folder for the cache.")
            cache_dir = Path(bpy.data.filepath).parent
        if not Path(cache_dir).is_dir():
            raise HiSTalkError(f"'{cache_dir}' is no folder: make it, or choose another for the cache.")
    motion = resample(motion, fps, scene_fps(bpy.context.scene))
    remove_bake(obj)
    keys = 0
    if kind == "cache":
        bake_cache(obj, motion, start_frame, Path(cache_dir))
    elif kind == "arkit":
        keys = bake_units(obj, motion, start_frame)
    elif kind == "keys":
        keys = bake_keys(obj, motion, start_frame)
    else:
        keys, error = bake_basis(obj, motion, start_frame, tolerance_mm)
    refresh(obj)
    warnings = why_nothing_moves(obj)
    if kind != "cache" and obj.data.users > 1:
        warnings.append(f"Mesh '{obj.data.name}' is shared, so {obj.data.users} objects speak: make it single-user.")
    return BakeReport(kind, len(motion), keys, error, warnings)
