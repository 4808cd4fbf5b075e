"""Sliders that are heard at once: the last bake again in another style, without the network."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace

import bpy

from ..bake import plan_bake
from ..bake.edits import changed_by_hand, edits_sentence, in_nla
from ..bake.ownership import has_bake
from ..errors import HiSTalkError, sentence_of
from . import running
from .bake_job import BakeJob, find_object
from .ui import redraw

PAUSE = 0.25  # seconds without a change before the bake follows the slider
_waiting: list[int] = []  # session_uid of the object whose slider moved last
_ours: BakeJob | None = None


def schedule(obj) -> None:
    """Bake again soon, when the object carries a bake whose take is known."""
    if obj.session_uid not in running.baked or not has_bake(obj):  # its bake may have been undone
        return
    _waiting[:] = [obj.session_uid]
    if bpy.app.background:  # timers never fire there
        while _tick() and running.current is _ours:  # another's bake would be waited for in vain
            time.sleep(0.002)  # or the worker would wait for this thread at each of its steps
        _waiting.clear()
        return
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    bpy.app.timers.register(_tick, first_interval=PAUSE)


def clean_up() -> None:
    """For unregistering."""
    _waiting.clear()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def _tick() -> float | None:
    """One step, and seconds to the next; whatever it raises ends the bake, is told, and lets no timer go on."""
    try:
        return _step()
    except Exception as error:
        _waiting.clear()
        if running.current is not None and running.current is _ours:
            running.current.fail(error)
            running.finish(find_object(_ours.order.uid))
        else:
            traceback.print_exception(error)
        redraw()
        return None


def _step() -> float | None:
    """Begin what waits, an older one of ours given up for it, or go on with what runs."""
    global _ours
    mine = running.current is not None and running.current is _ours
    if _waiting and running.current is not None and not mine:
        return PAUSE
    if _waiting:
        if mine:
            running.stop_current()
        obj = find_object(_waiting.pop())
        _ours = _begin(obj) if obj is not None else None
    elif mine:
        _ours.advance()
        if _ours.ended:
            running.finish(find_object(_ours.order.uid))
    redraw()
    return 0.03 if _ours is not None and running.current is _ours else None


def _begin(obj) -> BakeJob | None:
    order = running.baked.get(obj.session_uid)
    if order is None:
        return None
    changed = changed_by_hand(obj) or ("it was pushed down to the NLA" if in_nla(obj) else "")
    if changed:
        obj.histalk.warnings = f"{edits_sentence(obj, changed)} Sliders leave it as it is: press Bake to replace it."
        return None
    try:
        plan = plan_bake(
            obj,
            kind=order.plan.kind,
            start_frame=order.plan.start_frame,
            cache=order.plan.cache,
            tolerance_mm=order.plan.tolerance_mm,
            mapping=order.plan.rig.mapping,
        )
    except Exception as error:
        if not isinstance(error, HiSTalkError):
            traceback.print_exception(error)
        obj.histalk.warnings = sentence_of(error)
        return None
    return running.begin(replace(order, plan=plan, style=obj.histalk.style()))
