"""Style sliders that take effect at once: the last bake again in another style, without the network."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import bpy

from ..bake.key_storage import in_nla
from ..bake.ownership import changed_by_hand, edits_sentence, has_bake
from ..bake.pipeline import check
from ..errors import HiSTalkError, error_sentence
from .bake_job import BakeJob, find_object
from .ui import Timer, redraw

if TYPE_CHECKING:
    from .session import Session

PAUSE = 0.25  # seconds without a change before the bake follows the slider


class LiveStyle:
    """Bakes an object again when its sliders rest."""

    def __init__(self, session: Session):
        self._session = session
        self._pending: int | None = None  # session_uid of the object whose slider moved last
        self._job: BakeJob | None = None  # the last one started here
        self.timer = Timer(self._tick)

    def schedule(self, obj) -> None:
        """Bake again soon, where the object carries a bake whose performance is known."""
        if obj.session_uid not in self._session.requests or not has_bake(obj):  # its bake may have been undone
            return
        self._pending = obj.session_uid
        if not bpy.app.background:
            self.timer.start(PAUSE)
            return
        # Timers are never called in the background.
        while self._tick() and self._session.job is self._job:  # a bake of the operator is driven by nothing here
            time.sleep(0.002)  # or the worker would wait for this thread at each of its steps
        self._pending = None

    def stop(self) -> None:
        """Forget what was scheduled."""
        self._pending = None
        self.timer.stop()

    @property
    def _running(self) -> bool:
        return self._job is not None and self._session.job is self._job

    def _tick(self) -> float | None:
        """One step, and seconds to the next; an exception ends the bake, is shown, and stops the timer."""
        try:
            return self._step()
        except Exception as error:
            self._pending = None
            if self._running:
                self._job.fail(error)
                self._session.finish_bake(find_object(self._job.request.uid))
            else:
                traceback.print_exception(error)
            redraw()
            return None

    def _step(self) -> float | None:
        """Start what is pending, in place of an older bake of ours, or go on with what runs."""
        if self._pending is not None:
            if self._session.job is not None and not self._running:
                return PAUSE
            if self._running:
                self._session.stop_bake()
            uid, self._pending = self._pending, None
            obj = find_object(uid)
            self._job = self._start(obj) if obj is not None else None
        elif self._running:
            self._job.advance()
            if self._job.ended:
                self._session.finish_bake(find_object(self._job.request.uid))
        redraw()
        return 0.03 if self._running else None

    def _start(self, obj) -> BakeJob | None:
        request = self._session.requests.get(obj.session_uid)
        if request is None:
            return None
        changed = changed_by_hand(obj) or ("it was pushed down to the NLA" if in_nla(obj) else "")
        if changed:
            obj.histalk.warnings = f"{edits_sentence(obj, changed)} Sliders do not change it: press Bake to replace it."
            return None
        try:
            plan = check(obj, replace(request.plan.settings, style=obj.histalk.style(), discard_edits=False))
        except Exception as error:
            if not isinstance(error, HiSTalkError):
                traceback.print_exception(error)
            obj.histalk.warnings = error_sentence(error)
            return None
        return self._session.start_bake(replace(request, plan=plan))
