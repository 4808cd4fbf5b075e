"""Putting a made bake into the scene: the old one goes and the new one comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..errors import HiSTalkError
from ..files import commit_file
from ..head.arkit import ARKIT_UNITS
from ..head.head import load_head
from ..head.topologies import recognise
from ..motion.motion import Motion
from . import record
from .actions import MARK, curve_bags
from .arkit_rig import listed, rig_warnings
from .checks import refresh, what_drifts, why_nothing_moves
from .edits import check_edits, mark_cache
from .half_made import watched
from .make import Made, make
from .movement import why_it_rests
from .ownership import (
    CACHE,
    KEPT,
    MADE,
    key_path,
    our_modifier,
    play_curves,
    remove_unfinished,
    set_apart,
    set_curve,
    take_away,
)
from .plan import check_object, plan_bake
from .record import Record, sketch
from .shape_keys import add_key

SLICE = 16  # shape keys made before the window may draw again
# More keys make Blender itself slow, and keep the ".001" of a second bake, as each renaming walks through all curves.
MANY_KEYS = 1000


@dataclass(frozen=True)
class BakeReport:
    """What a bake made."""

    kind: str
    frames: int
    keys: int
    max_error_mm: float  # see `Made`
    warnings: list[str]
    curves: int = 0  # for "arkit": of so many of the keys, the others rest

    @property
    def accuracy(self) -> str:
        """How far the bake is from the motion, in words; "" where nothing is lost."""
        if self.kind == "arkit":
            return f"{self.max_error_mm:.2f} mm root mean square off in the worst frame"
        return f"at most {self.max_error_mm:.2f} mm off" if self.kind == "basis" else ""


def bake(obj, motion: Motion, **options) -> BakeReport:
    """Bake motion on a mesh, in place of an earlier bake of ours and of nothing else.

    Args:
        obj: the mesh object; its shape keys, modifiers, parents and scale stay.
        motion: on the mesh's own topology, unit and axes; other known topologies, and kind "arkit", take the bundled
            head's.
        options: those of `plan_bake`.

    Raises:
        HiSTalkError: the target or an argument is wrong; the scene is untouched.
    """
    plan = plan_bake(obj, **options)
    if not len(motion):
        raise HiSTalkError("The motion has no frames: synthesize it again.")
    made = make(plan, motion if plan.kind == "arkit" else fitted(motion, plan.rest, obj.name))
    for _ in apply(obj, made):
        pass
    return report(obj, made)


def fitted(motion: Motion, rest: np.ndarray, name: str) -> Motion:
    """The motion for a mesh's own topology: any that is recognised takes what was made for the bundled head.

    Raises:
        HiSTalkError: the vertices are not those of the motion, nor of a known topology in its order.
    """
    vertices = motion.shapes.shape[1]
    if len(rest) == vertices:
        return motion
    topology = recognise(rest)
    if topology and vertices == len(load_head().vertices):
        return motion.on(topology.carry(motion.shapes, rest))
    raise HiSTalkError(
        f"'{name}' has {len(rest)} vertices where the motion has {vertices}: select a head that fits it."
    )


def apply(obj, made: Made) -> Iterator[float]:
    """Put a made bake into the scene, in slices short enough to draw between them.

    Nothing that plays changes before the last slice; a generator that is closed earlier takes its own keys back.

    Yields:
        The share done.

    Raises:
        HiSTalkError: the object changed since the plan.
    """
    plan = made.plan
    check_object(obj)
    if len(obj.data.vertices) != len(plan.rest):
        made.discard()
        raise HiSTalkError(
            f"'{obj.name}' has {len(obj.data.vertices)} vertices now and had {len(plan.rest)} when the bake began: "
            "bake again."
        )
    try:
        check_edits(obj, plan.discard_edits)
    except HiSTalkError:
        made.discard()
        raise
    if plan.kind == "cache":
        try:
            commit_file(made.part, plan.cache)
        except OSError as error:
            raise HiSTalkError(
                f"'{plan.cache}' cannot be written ({error.strerror}): choose another folder."
            ) from error
        take_away(obj, cache=False)
        _play_cache(obj, plan.cache, plan.start_frame)
    elif plan.kind == "arkit":
        yield from watched(obj, _apply_arkit(obj, made), with_keys=False)
    else:
        yield from watched(obj, _apply_keys(obj, made), with_keys=True)
    refresh(obj)


def report(obj, made: Made) -> BakeReport:
    """What was made, after a look at the mesh.

    Raises:
        HiSTalkError: it does not move as the motion says; what was made stays, so that it moves once the reason is gone.
    """
    kind = made.plan.kind
    counts = {"cache": 0, "arkit": len(made.plan.rig.keys), "keys": len(made.motion), "basis": len(made.motion.shapes)}
    warnings = [*why_nothing_moves(obj), *what_drifts(bpy.context.scene), *_why_not_as_baked(obj, made)]
    error, unseen = why_it_rests(obj, made)
    if error:
        general = "Look for a driver, an NLA track, another action or a modifier that holds it."
        raise HiSTalkError(" ".join([error, *(warnings or [general])]))
    if unseen:
        warnings.append(unseen)
    if kind != "cache" and obj.data.users > 1:
        warnings.append(f"Mesh '{obj.data.name}' is shared, so {obj.data.users} objects speak: make it single-user.")
    if counts["keys"] > MANY_KEYS and kind == "keys":
        warnings.append(f"{counts['keys']} shape keys make Blender slow: basis keys or a cache hold the same motion.")
    curves = len(made.played) if kind == "arkit" else 0
    return BakeReport(kind, len(made.motion), counts[kind], made.max_error_mm, warnings, curves)


def _why_not_as_baked(obj, made: Made) -> list[str]:
    """Sentences for what of the user's own and of the motion will not be seen."""
    keys, plan = obj.data.shape_keys, made.plan
    if plan.kind == "cache" and keys is not None:
        animation = keys.animation_data
        moved = {curve.data_path for bag in curve_bags(animation) for curve in bag.fcurves}
        moved |= {driver.data_path for driver in animation.drivers} if animation else set()
        own = keys.key_blocks[1:]
        names = [key.name for key in own if key_path(key.name) in moved or (key.vertex_group and key.value)]
        if names:
            return [
                f"A mesh cache plays in place of shape keys: {listed(names, 3)} no longer move. Basis keys keep them."
            ]
    if plan.kind == "arkit":
        return rig_warnings(obj, made)
    return []


def _play_cache(obj, path: Path, start_frame: float) -> None:
    """First on the stack, as it overwrites what comes before it; an older one keeps its place and the animator's settings."""
    modifier = our_modifier(obj)
    if modifier is None:
        modifier = obj.modifiers.new(MARK, "MESH_CACHE")
        modifier.cache_format = "PC2"
        modifier.time_mode = "FRAME"
        modifier.play_mode = "SCENE"
        modifier.deform_mode = "OVERWRITE"
        modifier.interpolation, modifier.frame_scale, modifier.factor = "LINEAR", 1.0, 1.0
        modifier.forward_axis, modifier.up_axis, modifier.flip_axis = "POS_Y", "POS_Z", (False,) * 3
        modifier.vertex_group, modifier.show_viewport, modifier.show_render = "", True, True
        obj.modifiers.move(len(obj.modifiers) - 1, 0)
        obj[CACHE] = modifier.persistent_uid
    modifier.filepath = bpy.path.relpath(str(path)) if bpy.data.filepath else str(path)
    modifier.frame_start = start_frame
    mark_cache(obj)


def _apply_arkit(obj, made: Made) -> Iterator[float]:
    """A curve on each of the animator's own keys that moves; the others keep the value that they have without a bake."""
    plan, played, curves = made.plan, made.played, {}
    keys = obj.data.shape_keys
    follow = KEPT in keys  # curves on the same keys come in place of curves, so who plays them goes with them
    restore = set_apart(obj, follow)
    try:
        for done, (unit, name) in enumerate(played.items(), 1):
            curves[name] = set_curve(obj, name, plan.start_frame, made.motion.weights[:, ARKIT_UNITS.index(unit)])
            yield done / len(played)
    except BaseException:
        remove_unfinished(obj, curves)
        restore()
        raise
    take_away(obj, follow=follow)
    keys[KEPT] = {name: keys.key_blocks[name].value for name in played.values()}
    record.write(keys, Record(curves))
    play_curves(obj, curves)


def _apply_keys(obj, made: Made) -> Iterator[float]:
    """One key a frame, or one a basis shape, at value zero until all are there."""
    plan, motion = made.plan, made.motion
    basis = plan.kind == "basis"
    low = -1.0 if basis else 0.0
    count = len(motion.shapes) if basis else len(motion)
    had_keys = obj.data.shape_keys is not None
    began = not had_keys or (MADE in obj.data.shape_keys and record.read(obj.data.shape_keys).basis)
    restore = set_apart(obj, follow=False)
    # Curves that are not ours may lie at a name that no key has: of a deleted key, or of another mesh.
    taken = _curve_paths(obj)
    new, curves, shapes = [], [], []
    try:
        for first in range(0, count, SLICE):
            deltas = motion.shapes[first : first + SLICE] if basis else motion.displacements(first, first + SLICE)
            for i, delta in enumerate(deltas, first):
                name = _free_name(obj, f"{MARK} basis {i:02d}" if basis else f"{MARK} {i:05d}", taken)
                shape = np.asarray(plan.rest + delta, np.float32)
                key = add_key(obj, name, shape, low)
                new.append(key.name)
                shapes.append(sketch(shape - plan.rest))
                if basis:
                    curves.append(set_curve(obj, key.name, plan.start_frame, motion.weights[:, i]))
                else:
                    # One on its own frame, zero on its neighbours'; outside the range the ends are held, as a cache's.
                    start, last = max(i - 1, 0), min(i + 1, count - 1)
                    own = np.arange(start, last + 1) == i
                    curves.append(set_curve(obj, key.name, plan.start_frame + start, own))
            yield len(new) / count
    except BaseException:
        remove_unfinished(obj, new, new)
        restore()
        if not had_keys:
            obj.shape_key_clear()
        raise
    take_away(obj, but=new)
    if not new:  # a face that rests throughout
        return
    play_curves(obj, new)
    if len(new) <= MANY_KEYS:
        _rename(obj, new)
    keys = obj.data.shape_keys
    keys[MADE] = "\n".join(new)
    centred = plan.rest - plan.rest.mean(0)
    record.write(keys, Record(dict(zip(new, curves)), dict(zip(new, shapes)), sketch(centred), low, began))


def _curve_paths(obj) -> set[str]:
    keys = obj.data.shape_keys
    bags = curve_bags(keys.animation_data) if keys else ()
    return {curve.data_path for bag in bags for curve in bag.fcurves}


def _free_name(obj, name: str, taken: set[str]) -> str:
    """The name, or with a number behind it, so that it is neither a key's nor a curve's."""
    keys = obj.data.shape_keys.key_blocks if obj.data.shape_keys else {}
    numbered = (f"{name}.{i:03d}" for i in range(1, 10_000))
    return next(free for free in (name, *numbered) if free not in keys and key_path(free) not in taken)


def _rename(obj, new: list[str]) -> None:
    """Give new keys the names that the older bake's had, where nothing is left of them."""
    keys, taken = obj.data.shape_keys.key_blocks, _curve_paths(obj)
    for i, name in enumerate(new):
        plain = name.partition(".")[0]
        if plain != name and plain not in keys and key_path(plain) not in taken:
            keys[name].name = new[i] = plain
