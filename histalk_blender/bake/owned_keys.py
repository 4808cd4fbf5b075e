"""Which shape keys and curves of a mesh are a bake's, told from the animator's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import record
from .actions import MARK, Place, curve_bags, places
from .curves import PENDING_INDEX, key_path
from .record import OWNED_KEYS, SAVED_VALUES, changed_shapes, fingerprint, recorded_names, sketch


@dataclass(frozen=True)
class OwnedKeys:
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


def owned_shape_keys(keys) -> OwnedKeys:
    """What of our bake is left on these shape keys."""
    names, written = recorded_names(keys), record.read(keys)
    if not names:
        return OwnedKeys()
    at = {key_path(key.name): key.name for key in keys.key_blocks}
    unique = {place.id: place for place in places(keys.animation_data)}.values()
    playing = [(place, curve) for place in unique for bag in place.bags for curve in bag.fcurves]
    playing = [(place, curve, fingerprint(curve)) for place, curve in playing if curve.array_index != PENDING_INDEX]
    now = _names_now(names, written, at, playing)
    sculpted = []
    if OWNED_KEYS in keys:
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
    return OwnedKeys(now, sculpted, curves, edited, cleared)


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
    """Data paths of the curves that `owned_shape_keys` finds, as cheaply as a panel's redraw needs them."""
    names, written = recorded_names(keys), record.read(keys)
    known, prints = {key_path(name) for name in names}, set(written.curves.values())
    curves = [curve for bag in curve_bags(keys.animation_data) for curve in bag.fcurves] if names else []
    return {
        curve.data_path
        for curve in curves
        if curve.array_index != PENDING_INDEX
        and ((is_ours(curve) and curve.data_path in known) or (prints and fingerprint(curve) in prints))
    }


def bake_curves(keys) -> list:
    """The F-curves that a bake left on these shape keys, as cheaply as a panel's redraw needs them."""
    paths = {key_path(name) for name in recorded_names(keys)}
    if not paths:
        return []
    curves = [curve for bag in curve_bags(keys.animation_data) for curve in bag.fcurves]
    return [
        curve for curve in curves if curve.array_index != PENDING_INDEX and (curve.data_path in paths or is_ours(curve))
    ]


def baked_keys(keys) -> list:
    """The shape keys that a bake made or moves, as cheaply as a panel's redraw needs them; renamed ones too."""
    names, paths = set(recorded_names(keys)), {curve.data_path for curve in bake_curves(keys)}
    return [key for key in keys.key_blocks if key.name in names or key_path(key.name) in paths] if names else []


def values_at_rest(keys) -> dict[str, float]:
    """What the keys that a bake made or moves stand at without it, by their present names."""
    if not has_baked_keys(keys):
        return {}
    ours, kept = owned_shape_keys(keys), keys.get(SAVED_VALUES, {})
    return {name: kept.get(name, 0.0) for name in ours.keys.values()} | dict.fromkeys(ours.sculpted, 0.0)


def has_baked_keys(keys) -> bool:
    """Whether our curves play on these shape keys, or should."""
    return keys is not None and (OWNED_KEYS in keys or SAVED_VALUES in keys)
