"""What a mesh has of ARKit's blendshapes, and which of them speech may move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import HiSTalkError
from ..head.arkit import ARKIT_BLENDSHAPES
from ..head.arkit_names import match_names
from ..head.head import Head, load_head
from ..head.topologies.bundled import BundledTopology
from .actions import own_bag
from .curves import key_path
from .owned_keys import our_paths
from .wording import collapsed, listed


@dataclass(frozen=True, eq=False)
class ArkitRig:
    """A mesh's ARKit shape keys, see `read_rig`.

    keys: blendshape -> shape key that speech may move.
    taken: those whose keys the animator animates or drives.
    left_out: blendshapes that the mapping leaves out.
    missing: blendshapes without a shape key.
    limits: [52, 2] of the weights, see `arkit_fit.fit_blendshapes`.
    head: the bundled head with the mesh's own blendshapes, where it is one and they were sculpted anew.
    """

    keys: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    limits: np.ndarray | None = None
    head: Head | None = None

    @property
    def mapping(self) -> dict[str, str | None]:
        """What leads to the same keys, whatever else changes on the mesh."""
        return {**self.keys, **self.taken, **dict.fromkeys(self.left_out)}


def key_names(obj) -> list[str]:
    """The names of a mesh's shape keys but the first."""
    keys = obj.data.shape_keys
    return [key.name for key in keys.key_blocks[1:]] if keys else []


def read_rig(obj, mapping: Mapping[str, str | None] | None = None) -> ArkitRig:
    """The mesh's ARKit shape keys by their names or by the mapping, without those that the user animates or drives.

    Args:
        obj: the mesh object.
        mapping: unit -> shape key where names differ, "" = the one of its name; None = speech leaves the unit alone.

    Raises:
        HiSTalkError: there are no such keys, none is free, or the mapping names one that is missing or gives one twice.
    """
    names, mapping = key_names(obj), dict(mapping or {})
    given = {unit: key for unit, key in mapping.items() if key}
    for unit, key in given.items():
        if key not in names:
            raise HiSTalkError(f"'{obj.name}' has no shape key '{key}', which the mapping names: choose another.")
        twin = next(other for other in given if given[other] == key)
        if twin != unit:
            raise HiSTalkError(
                f"The mapping of '{obj.name}' gives shape key '{key}' to both {twin} and {unit}: choose another."
            )
    by_name = {unit: key for unit, key in match_names(names).items() if key not in given.values()}
    found = by_name | given
    if not found:
        raise HiSTalkError(
            f"'{obj.name}' has no shape keys with ARKit names (jawOpen, mouthClose ...): add them first."
        )
    left_out = tuple(unit for unit in ARKIT_BLENDSHAPES if unit in found and mapping.get(unit, "") is None)
    wanted = {unit: found[unit] for unit in ARKIT_BLENDSHAPES if unit in found and unit not in left_out}
    if not wanted:
        raise HiSTalkError(
            f"The mapping of '{obj.name}' leaves every ARKit shape key out: let speech move one of them."
        )
    moved = _moved_by_the_user(obj.data.shape_keys)
    taken = {unit: key for unit, key in wanted.items() if key_path(key) in moved}
    keys = {unit: key for unit, key in wanted.items() if unit not in taken}
    if not keys:
        raise HiSTalkError(
            f"Each ARKit shape key of '{obj.name}' is animated or driven already ({listed(taken.values())}): "
            "clear a curve or driver."
        )
    missing = tuple(unit for unit in ARKIT_BLENDSHAPES if unit not in found)
    return ArkitRig(keys, taken, left_out, missing, _limits(obj, keys))


def _limits(obj, keys: dict[str, str]) -> np.ndarray | None:
    """[52, 2] how far the sliders let each unit go, 0 and 0 for one that is not ours; None = all move freely."""
    limits = np.zeros((len(ARKIT_BLENDSHAPES), 2))
    for i, unit in enumerate(ARKIT_BLENDSHAPES):
        if unit in keys:
            key = obj.data.shape_keys.key_blocks[keys[unit]]
            limits[i] = np.clip((key.slider_min, key.slider_max), 0, 1)
    return None if (limits == (0, 1)).all() else limits


def with_own_shapes(obj, rig: ArkitRig) -> ArkitRig:
    """The rig with the shapes that its keys really have, where it is a bundled head whose units were sculpted anew."""
    head, keys = load_head(), obj.data.shape_keys
    rest = np.empty(len(obj.data.vertices) * 3, np.float32)
    keys.reference_key.data.foreach_get("co", rest)
    try:
        pose = BundledTopology().pose(rest.reshape(-1, 3))
    except HiSTalkError:  # another mesh
        return rig
    deltas, to, base = head.blendshape_deltas().copy(), np.empty_like(rest), np.empty_like(rest)
    for unit, name in rig.keys.items():
        key = keys.key_blocks[name]
        key.data.foreach_get("co", to)
        key.relative_key.data.foreach_get("co", base)
        deltas[ARKIT_BLENDSHAPES.index(unit)] = pose.undo((to - base).reshape(-1, 3))
    if np.abs(deltas - head.blendshape_deltas()).max() < 1e-5:
        return rig
    unit, vertex = np.nonzero(np.abs(deltas).max(-1) > 1e-7)
    own = replace(head, unit_rows=(unit, vertex, deltas[unit, vertex]))
    every = np.array([[0.0, float(unit in rig.keys)] for unit in ARKIT_BLENDSHAPES])
    return replace(rig, head=own, limits=every if rig.limits is None else rig.limits)


def _moved_by_the_user(keys) -> set[str]:
    """Data paths that curves or drivers of the user's move: those of the action, and of NLA strips that play."""
    animation = keys.animation_data
    if animation is None:
        return set()
    bags = [own_bag(animation)] if own_bag(animation) else []
    if animation.use_nla:
        for track in animation.nla_tracks:
            if not track.mute:
                bags += _strip_bags(track.strips)
    moved = {curve.data_path for bag in bags for curve in bag.fcurves} - our_paths(keys)
    return moved | {driver.data_path for driver in animation.drivers}


def _strip_bags(strips) -> Iterator:
    for strip in strips:
        if strip.mute:
            continue
        yield from _strip_bags(strip.strips)  # of a meta strip
        if strip.action and strip.action_slot:
            for layer in strip.action.layers:
                for action_strip in layer.strips:
                    if bag := action_strip.channelbag(strip.action_slot):
                        yield bag


def key_shapes(obj, names: Iterable[str]) -> np.ndarray:
    """[keys, V, 3] how far each of the animator's keys moves the mesh at one."""
    keys, shapes, size = obj.data.shape_keys.key_blocks, [], 3 * len(obj.data.vertices)
    at, base = np.empty(size, np.float32), np.empty(size, np.float32)
    for name in names:
        keys[name].data.foreach_get("co", at)
        keys[name].relative_key.data.foreach_get("co", base)
        shapes.append((at - base).reshape(-1, 3))
    return np.array(shapes)


def rig_warnings(obj, rig: ArkitRig, played: Mapping[str, float]) -> list[str]:
    """Sentences for what the rig does not play of the motion.

    Args:
        obj: the mesh object.
        rig: its keys.
        played: shape key that moves -> its greatest value.
    """
    keys, found = obj.data.shape_keys.key_blocks, []
    if rig.taken:
        found.append(
            f"Left as they are, being animated or driven already: {listed(rig.taken.values())}. Clear their curves or "
            "drivers to let them speak."
        )
    if rig.missing:
        count = len(ARKIT_BLENDSHAPES) - len(rig.missing)
        found.append(
            f"'{obj.name}' has {count} of the {len(ARKIT_BLENDSHAPES)} ARKit shape keys, which make up for the others "
            f"as far as they can. Missing: {collapsed(rig.missing)}."
        )
    short = [name for name, most in played.items() if keys[name].slider_max < min(1, most + 1e-3)]
    if short:
        found.append(f"The sliders of {listed(short, 3)} end below what is spoken: raise their Range Max.")
    return found
