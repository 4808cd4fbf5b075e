"""Putting a made bake into the scene: the old one goes and the new one comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from .. import flame
from ..errors import HiSTalkError
from ..files import commit_file
from ..head import load_head
from ..motion import Motion
from ..units import ARKIT_UNITS
from .arkit_rig import listed, rig_warnings
from .checks import refresh, why_nothing_moves
from .half_made import watched
from .make import Made, make
from .movement import why_it_rests
from .ownership import (
    CACHE, KEPT, MADE, MARK, curve_bags, key_path, play_curves, remove_bake, remove_unfinished, set_curve,
)  # fmt: skip
from .plan import check_object, plan_bake
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
        motion: in metres on the mesh's own topology and axes; a FLAME head and kind "arkit" take the bundled head's.
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
    """The motion for a mesh's own topology: a FLAME head takes what was made for the bundled head.

    Raises:
        HiSTalkError: the vertices are not those of the motion, nor FLAME's in FLAME's order.
    """
    bundled, vertices = load_head(), motion.shapes.shape[1]
    if len(rest) == flame.VERTICES and vertices == len(bundled.vertices):
        return motion.on(flame.carry(motion.shapes, rest, bundled))
    if len(rest) != vertices:
        raise HiSTalkError(
            f"'{name}' has {len(rest)} vertices where the motion has {vertices}: select a head of its topology, or a "
            "FLAME head."
        )
    return motion


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
    if plan.kind == "cache":
        try:
            commit_file(made.part, plan.cache)
        except OSError as error:
            raise HiSTalkError(f"'{plan.cache}' cannot be written ({error.strerror}): choose another folder.") from error
        remove_bake(obj)
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
    warnings = [*why_nothing_moves(obj), *_why_not_as_baked(obj, made)]
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
            return [f"A mesh cache plays in place of shape keys: {listed(names, 3)} no longer move. Basis keys keep them."]
    if plan.kind == "arkit":
        return rig_warnings(obj, made)
    return []


def _play_cache(obj, path: Path, start_frame: float) -> None:
    """First on the stack, as it overwrites what comes before it."""
    modifier = obj.modifiers.new(MARK, "MESH_CACHE")
    modifier.cache_format = "PC2"
    modifier.filepath = bpy.path.relpath(str(path)) if bpy.data.filepath else str(path)
    modifier.frame_start = start_frame
    modifier.time_mode = "FRAME"
    modifier.play_mode = "SCENE"
    modifier.deform_mode = "OVERWRITE"
    modifier.interpolation, modifier.frame_scale, modifier.factor = "LINEAR", 1.0, 1.0
    modifier.forward_axis, modifier.up_axis, modifier.flip_axis = "POS_Y", "POS_Z", (False,) * 3
    modifier.vertex_group, modifier.show_viewport, modifier.show_render = "", True, True
    obj.modifiers.move(len(obj.modifiers) - 1, 0)
    obj[CACHE] = modifier.persistent_uid


def _apply_arkit(obj, made: Made) -> Iterator[float]:
    """A curve on each of the user's own keys that moves; the others keep the value that they have without a bake."""
    plan, played = made.plan, made.played
    try:
        for done, (unit, name) in enumerate(played.items(), 1):
            set_curve(obj, name, plan.start_frame, made.motion.weights[:, ARKIT_UNITS.index(unit)])
            yield done / len(played)
    except GeneratorExit:
        remove_unfinished(obj)
        raise
    remove_bake(obj)
    keys = obj.data.shape_keys
    keys[KEPT] = {name: keys.key_blocks[name].value for name in played.values()}
    play_curves(obj)


def _apply_keys(obj, made: Made) -> Iterator[float]:
    """One key a frame, or one a basis shape, at value zero until all are there."""
    plan, motion = made.plan, made.motion
    basis = plan.kind == "basis"
    count = len(motion.shapes) if basis else len(motion)
    had_keys = obj.data.shape_keys is not None
    new = []
    try:
        for first in range(0, count, SLICE):
            deltas = motion.shapes[first : first + SLICE] if basis else motion.displacements(first, first + SLICE)
            for i, delta in enumerate(deltas, first):
                name = f"{MARK} basis {i:02d}" if basis else f"{MARK} {i:05d}"
                key = add_key(obj, name, plan.rest + delta, -1.0 if basis else 0.0)
                new.append(key.name)
                if basis:
                    set_curve(obj, key.name, plan.start_frame, motion.weights[:, i])
                else:
                    # One on its own frame, zero on its neighbours'; outside the range the ends are held, as a cache's.
                    start, last = max(i - 1, 0), min(i + 1, count - 1)
                    set_curve(obj, key.name, plan.start_frame + start, np.arange(start, last + 1) == i)
            yield len(new) / count
    except GeneratorExit:
        remove_unfinished(obj, new)
        if not had_keys:
            obj.shape_key_clear()
        raise
    remove_bake(obj, but=new)
    if not new:  # a face that rests throughout
        return
    play_curves(obj)
    keys = obj.data.shape_keys
    if len(new) <= MANY_KEYS:
        for i, name in enumerate(new):
            if "." in name:  # an older bake had the name
                keys.key_blocks[name].name = name.partition(".")[0]
                new[i] = keys.key_blocks[-len(new) + i].name
    keys[MADE] = "\n".join(new)
