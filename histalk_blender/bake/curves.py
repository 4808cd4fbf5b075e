"""F-curves on shape keys: where they lie, and how those of a bake are written without playing before all are there."""

from __future__ import annotations

from collections.abc import Iterable

import bpy
import numpy as np

from .actions import MARK, curve_bags, own_bag
from .record import fingerprint

PENDING_INDEX = 1  # of a curve that is being made: a key's value has only index 0, so Blender does not evaluate it
LINEAR = 1  # Blender's number of an interpolation


def key_path(key: str) -> str:
    """The data path of a shape key's value."""
    return f'key_blocks["{bpy.utils.escape_identifier(key)}"].value'


def curve_paths(keys) -> set[str]:
    """The data paths of all curves that play on these shape keys."""
    bags = curve_bags(keys.animation_data) if keys else ()
    return {curve.data_path for bag in bags for curve in bag.fcurves}


def set_curve(obj, key: str, first_frame: float, values) -> str:
    """Write an F-curve on one key's value, one point [n] a frame, linear between them; pending until `play_curves`.

    Returns its fingerprint.
    """
    keys = obj.data.shape_keys
    animation = keys.animation_data or keys.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(f"{MARK} {obj.name}")
        animation.action[MARK] = True
    curve = animation.action.fcurve_ensure_for_datablock(keys, key_path(key), index=PENDING_INDEX)
    curve.mute, curve.extrapolation = True, "CONSTANT"
    bag = own_bag(animation)
    curve.group = bag.groups.get(MARK) or bag.groups.new(MARK)
    points = np.stack([first_frame + np.arange(len(values)), values], 1).astype(np.float32)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(points))
    curve.keyframe_points.foreach_set("co", points.ravel())
    curve.keyframe_points.foreach_set("interpolation", np.full(len(points), LINEAR, np.int32))
    curve.update()
    return fingerprint(curve)


def play_curves(obj, names: Iterable[str]) -> None:
    """Let the pending curves of these keys play."""
    bag = own_bag(obj.data.shape_keys.animation_data)
    pending = {curve.data_path: curve for curve in bag.fcurves if curve.array_index == PENDING_INDEX} if bag else {}
    for name in names:
        pending[key_path(name)].array_index = 0
        pending[key_path(name)].mute = False
