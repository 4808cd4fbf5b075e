"""Baked shape keys and curves are removed, or set apart from those of others who play the same actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import bpy

from . import record
from .actions import MARK, Place, drop_empty, is_kept, other_players, own_bag, places, single_user, take_off
from .curves import PENDING_INDEX, key_path
from .owned_keys import OwnedKeys, has_baked_keys, owned_shape_keys
from .record import SAVED_VALUES


def set_apart(obj, follow: bool) -> Callable[[], None]:
    """Before a new bake: this mesh gets copies to change of actions whose curves play elsewhere too, or that hold
    another mesh's bake.

    Args:
        obj: the mesh object.
        follow: whether meshes that play the same slot and have no bake of their own, teeth say, go with the new one.

    Returns:
        What takes it back.
    """
    keys = obj.data.shape_keys
    if keys is None:
        return lambda: None
    ours = owned_shape_keys(keys)
    actions = {place.action.session_uid for place, _ in ours.curves if _is_needed(place, keys, ours, follow)}
    for place in places(keys.animation_data):
        others = other_players(place, keys) if place.strip is None else ()
        if any(isinstance(user, bpy.types.Key) and has_baked_keys(user) for user in others):
            actions.add(place.action.session_uid)
    chosen = [place for place in places(keys.animation_data) if place.action.session_uid in actions]
    return single_user(keys, chosen) if chosen else lambda: None


def _is_needed(place: Place, keys, ours: OwnedKeys, follow: bool) -> bool:
    """Whether somebody else wants our curves of a place to stay there."""
    if is_kept(place.action):
        return True
    paths = {path for other, path in ours.curves if other.id == place.id}
    others = [user for user in other_players(place, keys) if isinstance(user, bpy.types.Key)]
    if follow:
        others = [user for user in others if has_baked_keys(user)]
    return any(key_path(key.name) in paths for user in others for key in user.key_blocks)


def remove_keys(obj, but: Iterable[str] = (), follow: bool = False) -> OwnedKeys:
    """Remove the keys and F-curves of a bake from an object.

    Keys that were sculpted since stay, as the animator's, with value 0.

    Args:
        obj: the mesh object.
        but: keys of a bake that is being made, which stay, as its pending curves do.
        follow: as for `set_apart`.

    Returns:
        What was there.
    """
    keys = obj.data.shape_keys
    if not has_baked_keys(keys):
        return OwnedKeys()
    ours, written = owned_shape_keys(keys), record.read(keys)
    _remove_curves(keys, ours, follow)
    lent, saved = SAVED_VALUES in keys, dict(keys.get(SAVED_VALUES, {}))
    record.erase(keys)
    for name in reversed(ours.keys.values()):
        if lent:
            keys.key_blocks[name].value = saved.get(name, 0.0)  # a renamed one is set to 0
        elif name not in but:
            obj.shape_key_remove(keys.key_blocks[name])
    for name in ours.sculpted:
        keys.key_blocks[name].value = 0.0
    if not lent and written.basis:
        _clear_if_bare(obj)
    return ours


def remove_unfinished(obj, names: Iterable[str], new: Iterable[str] = ()) -> None:
    """Remove the pending curves of these keys, and these new keys, of a cancelled bake; an older bake stays."""
    keys = obj.data.shape_keys
    animation = keys.animation_data
    bag, paths = own_bag(animation), {key_path(name) for name in names}
    for curve in reversed(bag.fcurves) if bag else ():
        if curve.array_index == PENDING_INDEX and curve.data_path in paths:
            bag.fcurves.remove(curve)
    if bag:
        _tidy(keys, Place(animation.action, animation.action_slot))
    for name in reversed(list(new)):
        obj.shape_key_remove(keys.key_blocks[name])


def _remove_curves(keys, ours: OwnedKeys, follow: bool) -> None:
    """Take our curves off these shape keys, and leave them to whoever else plays them."""
    theirs = {place.id: _is_needed(place, keys, ours, follow) for place, _ in ours.curves}
    paths = {path for _, path in ours.curves}
    for place in [place for place in places(keys.animation_data) if place.id in theirs]:
        if theirs[place.id]:
            if all(curve.data_path in paths for bag in place.bags for curve in bag.fcurves):
                take_off(keys, place)
                continue
            single_user(keys, [place])
            same = [one for one in places(keys.animation_data) if one.strip == place.strip]
            place = same[0]
        for bag in place.bags:
            for curve in reversed(bag.fcurves):
                if curve.data_path in paths and curve.array_index != PENDING_INDEX:
                    bag.fcurves.remove(curve)
        _tidy(keys, place)


def _tidy(keys, place: Place) -> None:
    """After curves of ours were removed: no empty group, strip, slot or action of ours stays."""
    for bag in place.bags:
        for group in [group for group in bag.groups if group.name == MARK and not group.channels]:
            bag.groups.remove(group)
    if place.action.get(MARK) and not any(bag.fcurves for bag in place.bags):
        action, handle = place.action, place.slot.handle
        take_off(keys, place)
        drop_empty(action, handle)


def _clear_if_bare(obj) -> None:
    """Where nothing but the first key is left of the shape keys that we began, they go."""
    keys = obj.data.shape_keys
    animation = keys.animation_data
    if len(keys.key_blocks) == 1 and not keys.keys():
        if animation is None or not (animation.action or animation.drivers or animation.nla_tracks):
            obj.shape_key_clear()
