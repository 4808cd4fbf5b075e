"""The one way from motion into a scene, for the panel, the command line, batches and Python.

check   reads the scene and refuses what cannot be baked            (main thread)
compute retarget -> frame rate -> delay -> ease in and out -> kind   (any thread, without Blender)
apply   replaces an earlier bake, in slices                          (main thread)
report  looks whether the mesh moves                                 (main thread)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import bpy

from .. import settings as settings_schema
from ..errors import HiSTalkError
from ..motion.motion import Motion
from ..motion.timing import scene_timing
from ..synthesis import Performance
from .checks import refresh, time_stretch_warnings, visibility_warnings
from .data import BakeData, BakePlan, BakeReport
from .geometry import known_topology, rest_positions, scene_fps, shown_positions
from .given_motion import GivenMotion
from .kinds import BakeKind, kind_named
from .movement import movement_errors
from .ownership import check_edits
from .settings import BakeSettings
from .targets import check_object

NOT_MOVING = "Look for a driver, an NLA track, another action or a modifier that holds it."


def bake(obj, motion: Motion, **options) -> BakeReport:
    """Bake a motion on a mesh, in place of an earlier bake of ours and of nothing else.

    Args:
        obj: the mesh object; its shape keys, modifiers, parents and scale stay.
        motion: on the mesh's own vertices, unit and axes; for other known topologies, and ARKit curves, the bundled
            head's.
        options: those of `BakeSettings`.

    Raises:
        HiSTalkError: the target or an option is wrong; the scene is unchanged. Or the mesh does not move, see `report`.
    """
    plan = _plan(obj, BakeSettings(**options), needs_topology=False)
    if not len(motion):
        raise HiSTalkError("The motion has no frames: synthesize it again.")
    return _finish(obj, compute(plan, GivenMotion(motion, obj.name)))


def bake_performance(obj, performance: Performance, settings: BakeSettings) -> BakeReport:
    """Bake what was predicted of a sound; see `bake`."""
    return _finish(obj, compute(check(obj, settings), performance))


def _finish(obj, data: BakeData) -> BakeReport:
    for _ in apply(obj, data):
        pass
    return report(obj, data)


def check_target(obj, settings: BakeSettings) -> None:
    """Refuse an object that cannot be baked on; cheap enough for every redraw.

    Raises:
        HiSTalkError: it cannot, with the reason and what to do.
    """
    kind = kind_named(settings.kind)
    check_object(obj)
    kind.check_target(obj, settings)
    if kind.needs_topology:
        known_topology(obj)


def check(obj, settings: BakeSettings, scene=None) -> BakePlan:
    """Check everything and read the scene; nothing is changed.

    Args:
        obj: the mesh object.
        settings: what is asked.
        scene: whose frame rate counts; None = the present one.

    Raises:
        HiSTalkError: the target or a setting is wrong, or the earlier bake was changed by hand.
    """
    return _plan(obj, settings, scene)


def _plan(obj, settings: BakeSettings, scene=None, needs_topology: bool = True) -> BakePlan:
    kind = kind_named(settings.kind)
    check_object(obj)
    kind.check_target(obj, settings)
    check_edits(obj, settings.discard_edits)
    topology = known_topology(obj) if needs_topology and kind.needs_topology else None
    settings = replace(settings, options=_options(kind, settings))
    target = kind.read_target(obj, settings)
    return BakePlan(
        kind,
        kind.resolve(settings, target),
        obj.name,
        rest_positions(obj),
        shown_positions(obj),
        scene_fps(scene or bpy.context.scene),
        topology,
        target,
    )


def _options(kind: BakeKind, settings: BakeSettings) -> dict[str, float]:
    try:
        return settings_schema.chosen(kind.options, settings.options)
    except ValueError as error:
        raise HiSTalkError(f"The bake's {error}.") from error


def compute(
    plan: BakePlan, performance: Performance | GivenMotion, step: Callable[[float], None] = lambda share: None
) -> BakeData:
    """Do all of a bake that can be done away from the scene; touches nothing of Blender.

    Args:
        plan: from `check`.
        performance: what was predicted.
        step: called with the share done; what it raises ends the work, and leaves no file.

    Raises:
        HiSTalkError: nothing is spoken in the frame range, there would be too many keys, the motion is not finite, or
            the cache cannot be written.
    """
    settings = plan.settings
    motion, error_mm = plan.kind.retarget(plan, performance)
    motion, start = scene_timing(
        motion, plan.fps, settings.start_frame, settings.style.delay, settings.ease, settings.frames
    )
    motion.check_finite()
    return plan.kind.compute(BakeData(plan, motion, start, error_mm), step)


def apply(obj, data: BakeData) -> Iterator[float]:
    """Put a computed bake into the scene, in slices short enough to draw between them.

    Nothing that plays changes before the last slice; a generator that is closed earlier removes what it made.

    Yields:
        The share done.

    Raises:
        HiSTalkError: the object changed since the plan.
    """
    plan = data.plan
    try:
        check_object(obj)
        if len(obj.data.vertices) != len(plan.rest_positions):
            raise HiSTalkError(
                f"'{obj.name}' has {len(obj.data.vertices)} vertices now and had {len(plan.rest_positions)} when the "
                "bake began: bake again."
            )
        check_edits(obj, plan.settings.discard_edits)
    except HiSTalkError:
        data.discard()
        raise
    yield from plan.kind.apply(obj, data)
    refresh(obj)


def report(obj, data: BakeData) -> BakeReport:
    """What was made, after a look at the mesh.

    Raises:
        HiSTalkError: it does not move as the motion says; what was made stays, so that it moves once the reason is
            gone.
    """
    kind = data.plan.kind
    warnings = [*visibility_warnings(obj), *time_stretch_warnings(bpy.context.scene), *kind.warnings(obj, data)]
    error, unseen = movement_errors(obj, data)
    if error:
        raise HiSTalkError(" ".join([error, *(warnings or [NOT_MOVING])]))
    if unseen:
        warnings.append(unseen)
    return BakeReport(
        kind.name,
        len(data.motion),
        kind.key_count(data),
        kind.content(data),
        kind.accuracy(data),
        data.max_error_mm,
        warnings,
    )
