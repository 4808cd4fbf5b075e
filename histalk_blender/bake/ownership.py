"""What is ours in a scene, how it is told from the user's own, and how it is taken away again."""

from __future__ import annotations

from collections.abc import Iterable

import bpy
import numpy as np

MARK = "HiSTalk"  # keys, modifiers, actions and groups of curves of ours are called so at first
MADE = f"{MARK} made"  # on the shape keys' data: names of the keys that we made, one a line
KEPT = f"{MARK} kept"  # on the shape keys' data: name -> value that a key of the user's had before our curves
CACHE = f"{MARK} cache"  # on the object: persistent_uid of our modifier
WAITING = 1  # index of a curve in the making: a key's value has only index 0, so nothing plays it


def curve_bags(animation):
    """The channel bags of the action slot that plays on this data-block."""
    if animation is not None and animation.action is not None:
        for layer in animation.action.layers:
            for strip in layer.strips:
                bag = strip.channelbag(animation.action_slot) if animation.action_slot else None
                if bag:
                    yield bag


def is_our_curve(curve) -> bool:
    """Whether an F-curve is of our making."""
    return curve.group is not None and curve.group.name == MARK


def our_keys(keys) -> list:
    """The shape keys that we made, and those of the user's that our curves move; renamed ones too."""
    if keys is None:
        return []
    names = {*keys.get(MADE, "").split("\n"), *keys.get(KEPT, {})}
    paths = {curve.data_path for curve in _our_curves(keys, waiting=False)}  # Blender renames them with the key
    return [key for key in keys.key_blocks if key.name in names or key_path(key.name) in paths]


def made_keys(keys) -> set[str]:
    """Names of the shape keys that we made: none of the user's, whatever our curves move."""
    return set() if keys is None or KEPT in keys else {key.name for key in our_keys(keys)}


def our_modifier(obj):
    """The Mesh Cache modifier that plays our cache, or None."""
    uid = obj.get(CACHE)
    found = next((modifier for modifier in obj.modifiers if modifier.persistent_uid == uid), None)
    if found is None and obj.override_library:  # which forgets both when the file is opened again, and keeps the modifier
        found = next((modifier for modifier in obj.modifiers if _is_added_cache(modifier)), None)
    return found


def _is_added_cache(modifier) -> bool:
    """Whether a modifier of a library override is a cache added to it under our name."""
    ours = modifier.type == "MESH_CACHE" and modifier.name.partition(".")[0] == MARK and not modifier.is_override_data
    return ours and modifier.cache_format == "PC2"


def has_baked_keys(keys) -> bool:
    """Whether our curves play on these shape keys, or should."""
    return keys is not None and (MADE in keys or KEPT in keys)


def has_bake(obj) -> bool:
    """Whether `bake` left anything on this object."""
    return our_modifier(obj) is not None or has_baked_keys(obj.data.shape_keys)


def drives_our_keys(animation) -> bool:
    """Whether the action that plays holds curves of ours."""
    return any(is_our_curve(curve) for bag in curve_bags(animation) for curve in bag.fcurves)


def set_curve(obj, key: str, first_frame: float, values) -> None:
    """An F-curve of ours on one key's value, one point [n] a frame, linear between them; it waits for `play_curves`."""
    keys = obj.data.shape_keys
    animation = keys.animation_data or keys.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(f"{MARK} {obj.name}")
        animation.action[MARK] = True
    curve = animation.action.fcurve_ensure_for_datablock(keys, key_path(key), index=WAITING)
    curve.mute, curve.extrapolation = True, "CONSTANT"
    bag = next(curve_bags(animation))
    curve.group = bag.groups.get(MARK) or bag.groups.new(MARK)
    points = np.stack([first_frame + np.arange(len(values)), values], 1).astype(np.float32)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(points))
    curve.keyframe_points.foreach_set("co", points.ravel())
    curve.keyframe_points.foreach_set("interpolation", np.ones(len(points), np.int32))  # linear
    curve.update()


def key_path(key: str) -> str:
    """Where an F-curve finds a shape key's value."""
    return f'key_blocks["{bpy.utils.escape_identifier(key)}"].value'


def play_curves(obj) -> None:
    """Let the waiting curves play."""
    for curve in _our_curves(obj.data.shape_keys, waiting=True):
        curve.array_index = 0
        curve.mute = False


def remove_bake(obj, but: Iterable[str] = ()) -> None:
    """Take away what `bake` made on this object: keys, F-curves, the modifier; cache files stay on disk.

    Args:
        obj: the mesh object.
        but: keys of a bake in the making, which stay, as its waiting curves do.
    """
    if our_modifier(obj) is not None:
        obj.modifiers.remove(our_modifier(obj))
    if CACHE in obj:
        del obj[CACHE]
    keys = obj.data.shape_keys
    but = set(but)
    ours = [key for key in our_keys(keys) if key.name not in but]
    if not ours:
        return
    _remove_curves(keys, waiting=False)
    lent, kept = KEPT in keys, dict(keys.get(KEPT, {}))
    for name in (MADE, KEPT):
        if name in keys:
            del keys[name]
    for key in reversed(ours):
        if lent:
            key.value = kept.get(key.name, 0.0)  # a renamed one rests
        else:
            obj.shape_key_remove(key)
    left = obj.data.shape_keys
    if left is not None and len(left.key_blocks) == 1:
        animation = left.animation_data
        if animation is None or not (animation.action or animation.drivers or animation.nla_tracks):
            obj.shape_key_clear()


def remove_unfinished(obj, new: Iterable[str] = ()) -> None:
    """Take away the waiting curves and these new keys of a bake that was cancelled; an older bake stays."""
    keys = obj.data.shape_keys
    _remove_curves(keys, waiting=True)
    for name in reversed(list(new)):
        obj.shape_key_remove(keys.key_blocks[name])


def _our_curves(keys, waiting: bool) -> list:
    curves = [curve for bag in curve_bags(keys.animation_data) for curve in bag.fcurves if is_our_curve(curve)]
    return [curve for curve in curves if (curve.array_index == WAITING) == waiting]


def _remove_curves(keys, waiting: bool) -> None:
    """Those that wait or those that play; with the last of an action that we made, the action."""
    animation = keys.animation_data
    action = animation.action if animation else None
    for curve in reversed(_our_curves(keys, waiting)):
        next(curve_bags(animation)).fcurves.remove(curve)
    for bag in curve_bags(animation):
        for group in [group for group in bag.groups if group.name == MARK and not group.channels]:
            bag.groups.remove(group)
    # An action of ours goes too, unless the user has put curves of their own into it.
    if action is not None and action.get(MARK) and not any(bag.fcurves for bag in curve_bags(animation)):
        bpy.data.actions.remove(action)
