"""What a bake that broke off has left on a mesh, found by itself, whatever was renamed or deleted meanwhile."""

from __future__ import annotations

import bpy

from .ownership import WAITING, curve_bags, is_our_curve, key_path


def remove_half_made(mesh, with_keys: bool) -> None:
    """Take away curves that still wait to be played, and on wish the shape keys that they were made for.

    Only a bake in the making has waiting curves, and Blender renames their paths with the keys.

    Args:
        mesh: of an object, or of none any more.
        with_keys: whether we made the keys; else they are the animator's and stay.
    """
    keys = mesh.shape_keys
    if keys is None:
        return
    waiting = set()
    for bag in curve_bags(keys.animation_data):
        for curve in reversed(bag.fcurves):
            if curve.array_index == WAITING and is_our_curve(curve):
                waiting.add(curve.data_path)
                bag.fcurves.remove(curve)
        for group in [group for group in bag.groups if not group.channels]:
            bag.groups.remove(group)
    if not with_keys or not waiting:
        return
    holder = bpy.data.objects.new("HiSTalk", mesh)  # keys are removed through an object
    try:
        for key in reversed([key for key in keys.key_blocks if key_path(key.name) in waiting]):
            holder.shape_key_remove(key)
    finally:
        bpy.data.objects.remove(holder)
