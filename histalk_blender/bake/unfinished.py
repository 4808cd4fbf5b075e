"""A bake in the making is guarded, and taken back where it breaks off, whatever was renamed or deleted meanwhile."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterator

import bpy

from ..errors import HiSTalkError
from .actions import MARK, curve_bags
from .curves import PENDING_INDEX, key_path


def guarded(obj, slices: Generator[float], with_keys: bool) -> Iterator[float]:
    """The slices of a bake, which end with an error where somebody else touched what they have made so far.

    However they end before the last one, nothing of them stays.

    Args:
        obj: the mesh object.
        slices: make shape keys or curves, and take both back when they are closed.
        with_keys: whether they make the keys; else the keys are the animator's and stay.

    Raises:
        HiSTalkError: the mesh, its keys or curves were exchanged, removed, renamed or cleared between two slices.
    """
    mesh, uid, paths = obj.data, obj.data.session_uid, []
    try:
        for share in slices:
            paths = _waiting(mesh)
            yield share
            if obj.data != mesh:
                raise HiSTalkError(f"The mesh of '{obj.name}' was replaced while it was baked: bake again.")
            if _waiting(mesh) != paths:
                raise HiSTalkError(f"Shape keys or curves of '{obj.name}' were changed while it was baked: bake again.")
    except BaseException:
        _take_back(slices, uid, paths, with_keys)
        raise


def _waiting(mesh) -> list[str]:
    """Paths of the curves that wait to be played, of keys that are there; Blender renames them with the keys."""
    keys = mesh.shape_keys
    if keys is None:
        return []
    there = {key_path(key.name) for key in keys.key_blocks}
    curves = [curve for bag in curve_bags(keys.animation_data) for curve in bag.fcurves]
    return [curve.data_path for curve in curves if curve.array_index == PENDING_INDEX and curve.data_path in there]


def _take_back(slices: Generator[float], uid: int, paths: list[str], with_keys: bool) -> None:
    """Let the slices clean up, and then look for what they did not find any more under the names that they knew."""
    mesh = _mesh(uid)
    known = {*paths, *_waiting(mesh)} if mesh else set()
    try:
        slices.close()
    except Exception:  # of names that are not there any more
        traceback.print_exc()
    mesh = _mesh(uid)
    keys = mesh.shape_keys if mesh else None
    if keys is None:
        return
    _remove_waiting(keys)
    left = [key for key in keys.key_blocks if key_path(key.name) in known] if with_keys else []
    if left:
        holder = bpy.data.objects.new(MARK, mesh)  # the mesh may have no object any more
        try:
            for key in reversed(left):
                holder.shape_key_remove(key)
        finally:
            bpy.data.objects.remove(holder)


def _mesh(uid: int):
    return next((mesh for mesh in bpy.data.meshes if mesh.session_uid == uid), None)


def _remove_waiting(keys) -> None:
    """Take away the curves that nobody will let play, and the action that we began for them."""
    animation = keys.animation_data
    removed = False
    for bag in curve_bags(animation):
        for curve in reversed([curve for curve in bag.fcurves if curve.array_index == PENDING_INDEX]):
            bag.fcurves.remove(curve)
            removed = True
        for group in [group for group in bag.groups if group.name == MARK and not group.channels]:
            bag.groups.remove(group)
    action = animation.action if animation else None
    if removed and action is not None and action.get(MARK) and action.users == 1:
        bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
        if not any(bag.fcurves for bag in bags):
            bpy.data.actions.remove(action)
