"""One bake from sound to scene: the network in a worker that never touches bpy, the scene in short slices."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import traceback
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..bake.data import BakePlan, BakeReport
from ..bake.pipeline import apply, compute, report
from ..bake.targets import check_object
from ..errors import HiSTalkError, error_sentence
from ..synthesis import Cancelled, Performance
from ..synthesis.engine import perform_clip
from .strips import TimelineSound

SLICE = 0.02  # seconds of a tick that the scene may take
KEPT_PERFORMANCES = 4


@dataclass(frozen=True, eq=False)
class BakeRequest:
    """What an animator asked for, as it was when the button was pressed.

    uid: session_uid of the object, which survives renaming and undo.
    performance: when that of the sound is known already.
    """

    uid: int
    plan: BakePlan
    sound: TimelineSound
    weights: Path | None
    device: str
    performance: Performance | None = None


class BakeJob:
    """Start it, call `advance` on the main thread until it has ended, or cancel it.

    state: "running" (the worker works), "ready" (the scene is waited for), "applying", and one of the ends "done",
    "failed" and "cancelled".

    Args:
        request: what to bake.
        performances: those of earlier jobs; that of this one is added.
    """

    def __init__(self, request: BakeRequest, performances: OrderedDict[tuple, Performance]):
        self.request = request
        self.state = "running"
        self.stage, self.share = "Decoding", 0.0
        self.error = ""
        self.report: BakeReport | None = None
        self.performance: Performance | None = None
        self._messages: queue.SimpleQueue = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="HiSTalk", daemon=True)
        self._began = self._stage_began = time.monotonic()
        self._data = self._slices = None
        self._performances = performances

    def start(self) -> None:
        """Let the worker begin."""
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the share that is done; None until it is large enough."""
        if self.stage != "Predicting" or self.share < 0.05:
            return None
        return (time.monotonic() - self._stage_began) / self.share * (1 - self.share)

    def cancel(self) -> None:
        """End it now and leave the scene as it was; the worker notices at its next step, alone. Never raises."""
        if self.state == "applying" and self._slices is None:
            self._end("failed", "The bake was in place already when it was cancelled: press Ctrl Z, or Remove Bake.")
        elif not self.ended:
            self._end("cancelled")

    def fail(self, error: BaseException) -> None:
        """End it with a sentence, whatever went wrong, even after all was applied. Never raises."""
        if not isinstance(error, HiSTalkError):
            traceback.print_exception(error)
        self._end("failed", error_sentence(error))

    def join(self, seconds: float) -> None:
        """Wait for the worker of an ended job."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def advance(self) -> str:
        """Read the worker's messages, and do one slice of the work in the scene. Never raises.

        Returns:
            The state.
        """
        try:
            if self.state == "running":
                self._read_messages()
            if self.state == "ready":
                self._begin_applying()
            if self.state == "applying":
                self._apply_slice()
        except Exception as error:
            self.fail(error)
        return self.state

    def _read_messages(self) -> None:
        alive = self._thread.is_alive()  # asked first: all messages it sent before its end are read below
        while not self._messages.empty():
            kind, *values = self._messages.get()
            if kind == "stage":
                if values[0] != self.stage or self.share == 0.0:
                    self._stage_began = time.monotonic()  # loading PyTorch does not count for the estimate
                self.stage, self.share = values
            elif kind == "failed":
                self.fail(values[0])  # not raised: a SystemExit of the worker's would end Blender
                return
            else:
                self.performance, self._data = values
                self.state = "ready"
                return
        if not alive and self._thread.ident is not None:
            raise HiSTalkError("The worker ended without a result: bake again; the console may say why.")

    def _begin_applying(self) -> None:
        obj = self._target()
        if obj.mode == "EDIT":
            self.stage, self.share = "Waiting for Object Mode", 1.0
            return
        self.stage, self.share, self.state = "Baking", 0.0, "applying"
        self._slices = apply(obj, self._data)

    def _apply_slice(self) -> None:
        until = time.monotonic() + SLICE
        if self._slices is None:  # all is there: the look at it has a tick of its own
            self.report = report(self._target(), self._data)
            self.state = "done"
            return
        while True:
            check_object(self._target())
            try:
                self.share = next(self._slices)
            except StopIteration:
                self._slices = None
                return
            except ReferenceError as error:
                raise HiSTalkError("The head was replaced while it was baked: bake again.") from error
            if time.monotonic() >= until:
                return

    def _target(self):
        """The object as it is now: undo puts another in its place.

        Raises:
            HiSTalkError: there is none.
        """
        obj = find_object(self.request.uid)
        if obj is None:
            raise HiSTalkError(f"'{self.request.plan.name}' was deleted during the bake, so nothing was baked.")
        return obj

    def _end(self, state: str, error: str = "") -> None:
        """The one way out short of "done": the worker stops, and each thing half made is taken back for itself."""
        self._stop.set()
        self.state, self.error = state, error
        for step in (self._close_slices, self._discard):
            try:
                step()
            except Exception as found:
                traceback.print_exception(found)
                left = "Not all of the half-made bake could be taken back: press Ctrl Z, or Remove Bake."
                if left not in self.error:
                    self.error = f"{self.error} {left}".strip()

    def _close_slices(self) -> None:
        slices, self._slices = self._slices, None
        if slices is not None:
            slices.close()

    def _discard(self) -> None:
        if self._data is not None:
            self._data.discard()

    def _progress(self, stage: str, share: float) -> None:
        if self._stop.is_set():
            raise Cancelled
        self._messages.put(("stage", stage, share))

    def _work(self) -> None:
        request = self.request
        try:
            performance = request.performance or self._perform()
            self._progress("Computing", 0.0)
            data = compute(request.plan, performance, lambda share: self._progress("Computing", share))
            self._messages.put(("computed", performance, data))
            if self._stop.is_set():  # asked last: whoever stopped it may have looked before there was anything
                data.discard()
        except Cancelled:
            pass  # the job has ended already
        except BaseException as error:  # a worker's error would vanish with it, and the job never end
            self._messages.put(("failed", error))

    def _perform(self) -> Performance:
        from ..audio.clip import open_clip  # its wheels are not needed to register

        request, sound = self.request, self.request.sound
        performances = self._performances
        try:
            weights = request.weights and (request.weights, request.weights.stat().st_mtime_ns)
            key = (*_fingerprint(sound), weights)
            if key not in performances:
                clip = open_clip(sound.source, sound.start, sound.duration, sound.name, sound.channel)
                with closing(clip):  # a temporary file cannot be deleted on Windows while it is open
                    performances[key] = perform_clip(
                        clip, request.weights, request.device, lambda share: self._progress("Predicting", share)
                    )
            performances.move_to_end(key)
            while len(performances) > KEPT_PERFORMANCES:
                performances.popitem(last=False)
            return performances[key]
        finally:
            if sound.temporary:
                sound.source.unlink(missing_ok=True)


def _fingerprint(sound: TimelineSound) -> tuple:
    """A key by which one segment of sound differs from another."""
    source, part = sound.source, (sound.start, sound.duration, sound.channel)
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest(), *part
    if sound.temporary:
        return hashlib.sha256(source.read_bytes()).hexdigest(), *part
    try:
        stat = source.stat()
    except OSError:
        return str(source), *part
    return str(source), stat.st_mtime_ns, stat.st_size, *part


def find_object(uid: int):
    """The object of a session_uid, or None."""
    return next((obj for obj in bpy.data.objects if obj.session_uid == uid), None)
