"""What is ours in a scene, how it is told from the animator's own, and how it is taken away again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import bpy
import numpy as np

from . import record
from .actions import MARK, Place, curve_bags, drop_empty, is_kept, other_players, own_bag, places, single_user, take_off
from .record import KEPT, MADE, changed_shapes, fingerprint, names_in, sketch

CACHE = f"{MARK} cache"  # on the object: persistent_uid of our modifier
CACHE_START = f"{MARK} cache start"  # on the object: the frame at which we let it begin
WAITING = 1  # index of a curve in the making: a key's value has only index 0, so nothing plays it


@dataclass(frozen=True)
class Owned:
    """What of a bake is still there, by the keys' present names.

    A key is ours where the record on the shape keys' data names it, or vouches for the curve that Blender renamed
    with it, and it has the shape that we wrote. A curve is ours where such a key's record has its fingerprint; in our
    group and with another fingerprint it is ours, changed by hand. The name of a group alone says nothing: it is
    copied with every action.
    """

    keys: dict[str, str] = field(default_factory=dict)  # name when it was written -> name now
    sculpted: list[str] = field(default_factory=list)  # made by us, with another shape now: they stay
    curves: list[tuple[Place, str]] = field(default_factory=list)  # where, and data path
    edited: list[str] = field(default_factory=list)  # keys whose curve was changed
    cleared: list[str] = field(default_factory=list)  # keys whose curve was deleted, where others are left


def owned(keys) -> Owned:
    """What of our bake is left on these shape keys."""
    names, written = names_in(keys), record.read(keys)
    if not names:
        return Owned()
    at = {key_path(key.name): key.name for key in keys.key_blocks}
    unique = {place.id: place for place in places(keys.animation_data)}.values()
    playing = [(place, curve) for place in unique for bag in place.bags for curve in bag.fcurves]
    playing = [(place, curve, fingerprint(curve)) for place, curve in playing if curve.array_index != WAITING]
    now = _names_now(names, written, at, playing)
    sculpted = []
    if MADE in keys:
        now, sculpted = _as_written(keys, now, written)
    curves, edited, seen = [], [], set()
    paths = {key_path(now.get(name, name)): name for name in names}
    for place, curve, found in playing:
        name = paths.get(curve.data_path)
        if name is None:
            continue
        wrote = written.curves.get(name)
        if found == wrote or is_ours(curve):
            curves.append((place, curve.data_path))
            seen.add(name)
            if wrote is not None and found != wrote:
                edited.append(now.get(name, name))
    cleared = [now[name] for name in written.curves if name in now and name not in seen] if seen else []
    return Owned(now, sculpted, curves, edited, cleared)


def _names_now(names: list[str], written: record.Record, at: dict[str, str], playing: list) -> dict[str, str]:
    """Name when it was written -> name now; a key that was renamed is found by its curve, whose path Blender renames.

    Args:
        at: data path -> key, of all keys there are.
        playing: place, curve and fingerprint of all curves that play.
    """
    prints: dict[str, list[str]] = {}
    for place, curve, found in playing:
        # Older bakes kept no fingerprints: there our group in our action has to do.
        if curve.data_path in at and (written.curves or (is_ours(curve) and place.action.get(MARK))):
            prints.setdefault(found if written.curves else "", []).append(curve.data_path)
    wrote = {name: written.curves.get(name, None if written.curves else "") for name in names}
    taken = {key_path(name): name for name in names if key_path(name) in prints.get(wrote[name], ())}
    for name in [name for name in names if key_path(name) not in taken]:
        free = [path for path in prints.get(wrote[name], ()) if path not in taken]
        free = [path for path in free if written.curves or at[path] not in wrote]
        if free:
            taken[free[0]] = name
    found = {name: at[path] for path, name in taken.items()}
    for name in names:
        if name not in found and key_path(name) in at and key_path(name) not in taken:
            found[name] = name
    return {name: found[name] for name in names if name in found}


def _as_written(keys, now: dict[str, str], written: record.Record) -> tuple[dict[str, str], list[str]]:
    """Of keys that we are said to have made, those that have our shape, and those that were sculpted since.

    One that has another shape, and another slider or place than ours, was deleted and made anew by hand.
    """
    known = [name for name in now if name in written.shapes]
    if not known:
        return now, []
    rest = _positions(keys.reference_key)
    noise = 2.5e-7 * float(np.abs(rest).max(initial=0.0)) * len(rest) ** 0.5
    found = np.array([sketch(_positions(keys.key_blocks[now[name]]) - rest) for name in known])
    changed = changed_shapes(np.array([written.shapes[name] for name in known]), found, noise)
    if changed.all() and sketch(rest - rest.mean(0)) != written.rest:
        return now, []  # the mesh itself is another: shapes tell nothing
    place = {name: keys.key_blocks.find(now[name]) for name in known}
    kept, sculpted, ours = dict(now), [], [name for name, other in zip(known, changed) if not other]
    for i, name in enumerate(known):
        if not changed[i]:
            continue
        key = keys.key_blocks[kept.pop(name)]
        behind = [place[other] for other in known[i + 1 :] if other in ours]
        if abs(key.slider_min - written.low) < 1e-6 and not any(place[name] > other for other in behind):
            sculpted.append(key.name)
    return kept, sculpted


def _positions(key) -> np.ndarray:
    out = np.empty(len(key.data) * 3, np.float32)
    key.data.foreach_get("co", out)
    return out.reshape(-1, 3)


def is_ours(curve) -> bool:
    """Whether an F-curve is called ours: enough to speak of it, too little to delete it."""
    return curve.group is not None and curve.group.name == MARK


def our_paths(keys) -> set[str]:
    """Data paths of the curves that `owned` finds, as cheaply as a panel's redraw needs them."""
    names, written = names_in(keys), record.read(keys)
    known, prints = {key_path(name) for name in names}, set(written.curves.values())
    curves = [curve for bag in curve_bags(keys.animation_data) for curve in bag.fcurves] if names else []
    return {
        curve.data_path
        for curve in curves
        if curve.array_index != WAITING
        and ((is_ours(curve) and curve.data_path in known) or (prints and fingerprint(curve) in prints))
    }


def bake_curves(keys) -> list:
    """The F-curves that a bake left on these shape keys, as cheaply as a panel's redraw needs them."""
    paths = {key_path(name) for name in names_in(keys)}
    if not paths:
        return []
    curves = [curve for bag in curve_bags(keys.animation_data) for curve in bag.fcurves]
    return [curve for curve in curves if curve.array_index != WAITING and (curve.data_path in paths or is_ours(curve))]


def baked_keys(keys) -> list:
    """The shape keys that a bake made or moves, as cheaply as a panel's redraw needs them; renamed ones too."""
    names, paths = set(names_in(keys)), {curve.data_path for curve in bake_curves(keys)}
    return [key for key in keys.key_blocks if key.name in names or key_path(key.name) in paths] if names else []


def values_at_rest(keys) -> dict[str, float]:
    """What the keys that a bake made or moves stand at without it, by their present names."""
    if not has_baked_keys(keys):
        return {}
    ours, kept = owned(keys), keys.get(KEPT, {})
    return {name: kept.get(name, 0.0) for name in ours.keys.values()} | dict.fromkeys(ours.sculpted, 0.0)


def our_modifier(obj):
    """The Mesh Cache modifier that plays our cache, or None."""
    uid = obj.get(CACHE)
    found = next((modifier for modifier in obj.modifiers if modifier.persistent_uid == uid), None)
    if (
        found is None and obj.override_library
    ):  # which forgets both when the file is opened again, and keeps the modifier
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


def key_path(key: str) -> str:
    """Where an F-curve finds a shape key's value."""
    return f'key_blocks["{bpy.utils.escape_identifier(key)}"].value'


def set_curve(obj, key: str, first_frame: float, values) -> str:
    """An F-curve of ours on one key's value, one point [n] a frame, linear between them; it waits for `play_curves`.

    Returns its fingerprint.
    """
    keys = obj.data.shape_keys
    animation = keys.animation_data or keys.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(f"{MARK} {obj.name}")
        animation.action[MARK] = True
    curve = animation.action.fcurve_ensure_for_datablock(keys, key_path(key), index=WAITING)
    curve.mute, curve.extrapolation = True, "CONSTANT"
    bag = own_bag(animation)
    curve.group = bag.groups.get(MARK) or bag.groups.new(MARK)
    points = np.stack([first_frame + np.arange(len(values)), values], 1).astype(np.float32)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(points))
    curve.keyframe_points.foreach_set("co", points.ravel())
    curve.keyframe_points.foreach_set("interpolation", np.ones(len(points), np.int32))  # linear
    curve.update()
    return fingerprint(curve)


def play_curves(obj, names: Iterable[str]) -> None:
    """Let the waiting curves of these keys play."""
    bag = own_bag(obj.data.shape_keys.animation_data)
    waiting = {curve.data_path: curve for curve in bag.fcurves if curve.array_index == WAITING} if bag else {}
    for name in names:
        waiting[key_path(name)].array_index = 0
        waiting[key_path(name)].mute = False


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
    ours = owned(keys)
    actions = {place.action.session_uid for place, _ in ours.curves if _is_needed(place, keys, ours, follow)}
    for place in places(keys.animation_data):
        others = other_players(place, keys) if place.strip is None else ()
        if any(isinstance(user, bpy.types.Key) and has_baked_keys(user) for user in others):
            actions.add(place.action.session_uid)
    chosen = [place for place in places(keys.animation_data) if place.action.session_uid in actions]
    return single_user(keys, chosen) if chosen else lambda: None


def _is_needed(place: Place, keys, ours: Owned, follow: bool) -> bool:
    """Whether somebody else wants our curves of a place to stay there."""
    if is_kept(place.action):
        return True
    paths = {path for other, path in ours.curves if other.id == place.id}
    others = [user for user in other_players(place, keys) if isinstance(user, bpy.types.Key)]
    if follow:
        others = [user for user in others if has_baked_keys(user)]
    return any(key_path(key.name) in paths for user in others for key in user.key_blocks)


def take_away(obj, but: Iterable[str] = (), follow: bool = False, cache: bool = True) -> Owned:
    """Take away what a bake left on this object: keys, F-curves, the modifier; cache files stay on disk.

    Keys that were sculpted since stay, as keys of the animator's, at rest.

    Args:
        obj: the mesh object.
        but: keys of a bake in the making, which stay, as its waiting curves do.
        follow: as for `set_apart`.
        cache: whether the modifier goes too.

    Returns:
        What was there.
    """
    if cache and our_modifier(obj) is not None:
        obj.modifiers.remove(our_modifier(obj))
    for name in (CACHE, CACHE_START) if cache else ():
        if name in obj:
            del obj[name]
    keys = obj.data.shape_keys
    if not has_baked_keys(keys):
        return Owned()
    ours, written = owned(keys), record.read(keys)
    _remove_curves(keys, ours, follow)
    lent, kept = KEPT in keys, dict(keys.get(KEPT, {}))
    record.erase(keys)
    for name in reversed(ours.keys.values()):
        if lent:
            keys.key_blocks[name].value = kept.get(name, 0.0)  # a renamed one rests
        elif name not in but:
            obj.shape_key_remove(keys.key_blocks[name])
    for name in ours.sculpted:
        keys.key_blocks[name].value = 0.0
    if not lent and written.basis:
        _clear_if_bare(obj)
    return ours


def remove_unfinished(obj, names: Iterable[str], new: Iterable[str] = ()) -> None:
    """Take away the waiting curves of these keys, and these new keys, of a bake that was cancelled; an older one stays."""
    keys = obj.data.shape_keys
    animation = keys.animation_data
    bag, paths = own_bag(animation), {key_path(name) for name in names}
    for curve in reversed(bag.fcurves) if bag else ():
        if curve.array_index == WAITING and curve.data_path in paths:
            bag.fcurves.remove(curve)
    if bag:
        _tidy(keys, Place(animation.action, animation.action_slot))
    for name in reversed(list(new)):
        obj.shape_key_remove(keys.key_blocks[name])


def _remove_curves(keys, ours: Owned, follow: bool) -> None:
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
                if curve.data_path in paths and curve.array_index != WAITING:
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
