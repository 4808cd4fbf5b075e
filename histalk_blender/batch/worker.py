"""A worker: decodes ahead, hears on the device, writes on its main thread, as Blender asks; all three at once."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ..audio.clip import Sound, open_sound
from ..errors import HiSTalkError
from ..files import atomic_write, has_room
from ..runtime.process_exit import raise_if_stopped
from ..synthesis import Performance
from ..synthesis.engine import perform
from .ledger import Outcome
from .job import Job
from .names import place_in
from .outputs import write_outputs
from .thumbnail import level_plot, thumbnail

AHEAD = 2  # groups that wait between two stages
PICTURES = "report"  # folder of the report's pictures


class Halt(HiSTalkError):
    """Nothing more can be written, so there is no use in going on; what was not done stays to be done."""


@dataclass(frozen=True)
class Group:
    """Clips that the network hears at once.

    Which clips these are is the manifest's alone, so that a clip's result does not depend on what was done before.
    """

    jobs: tuple[Job, ...]
    wanted: frozenset[str]  # names of those whose outputs are to be written

    def absolute(self) -> Group:
        """The same for a process that works in another folder."""
        jobs = (replace(job, audio=job.audio.absolute(), shot=job.shot and job.shot.absolute()) for job in self.jobs)
        return replace(self, jobs=tuple(jobs))


@dataclass(frozen=True)
class Setup:
    """What every worker of a batch must know."""

    folder: Path  # of the outputs
    weights: Path | None
    device: str

    def absolute(self) -> Setup:
        """The same for a process that works in another folder."""
        return replace(self, folder=self.folder.absolute(), weights=self.weights and self.weights.absolute())


@dataclass(frozen=True, eq=False)
class _Heard:
    job: Job
    sound: Sound | None = None
    error: str = ""
    decode_s: float = 0.0
    network_s: float = 0.0
    performance: Performance | None = None


def work(
    setup: Setup, groups: Iterable[Group], started: Callable[[str], None], stop: threading.Event | None = None
) -> Iterator[Outcome]:
    """Do all groups; an outcome for each job that is wanted, as it ends. Its threads end with the iterator.

    Args:
        groups: taken from one at a time, by another thread.
        started: called with a job's name before its outputs are touched.
        stop: set when nothing more is wanted, for groups that wait for somebody.

    Raises:
        Halt: the disk is full or the folder can no longer be written.
    """
    stop = stop or threading.Event()
    with closing(ahead(_hear(setup, ahead(map(_decode, groups), stop), stop), stop)) as heard_groups:
        try:
            for heard in heard_groups:
                for one in heard:
                    started(one.job.name)
                    yield _write(setup, one)
                    raise_if_stopped()
        finally:
            stop.set()


def ahead(items: Iterable, stop: threading.Event) -> Iterator:
    """The same items, made by a thread that is up to `AHEAD` of them in advance; it has ended when the iterator has.

    Args:
        stop: ends both.
    """
    passed: queue.Queue = queue.Queue(AHEAD)
    closed = threading.Event()

    def wanted() -> bool:
        return not (stop.is_set() or closed.is_set())

    def put(kind: str, value: object) -> None:
        while wanted():
            try:
                passed.put((kind, value), timeout=0.1)
                return
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put("item", item)
                if not wanted():
                    break
            put("end", None)
        except BaseException as error:  # told to whoever waits
            put("error", error)
        finally:
            if hasattr(items, "close"):
                items.close()

    thread = threading.Thread(target=make, name="HiSTalk batch", daemon=True)
    thread.start()
    try:
        while wanted():
            try:
                kind, value = passed.get(timeout=0.1)
            except queue.Empty:
                continue
            if kind == "item":
                yield value
            elif kind == "end":
                return
            else:
                raise value
    finally:
        closed.set()
        thread.join()


def _decode(group: Group) -> tuple[Group, list[_Heard]]:
    out = []
    for job in group.jobs:
        began = time.perf_counter()
        sound, error = None, ""
        try:
            sound = open_sound(job.audio, channel=job.channel)
            if sound.silent:
                sound, error = None, f"'{job.audio}' is silent: export it again, or leave it out."
        except Exception as found:
            error = _sentence(found)
        out.append(_Heard(job, sound, error, time.perf_counter() - began))
    return group, out


class _Unwanted(BaseException):
    """The batch stops while the network hears."""


def _hear(setup: Setup, decoded: Iterable[tuple[Group, list[_Heard]]], stop: threading.Event) -> Iterator[list[_Heard]]:
    def go_on(share: float) -> None:
        if stop.is_set():
            raise _Unwanted

    for group, clips in decoded:
        good = [clip for clip in clips if clip.sound is not None]
        try:
            heard = _hear_together(setup, good, go_on)
        except Exception:  # one of them is to blame, and the others are not to suffer for it
            heard = [_hear_alone(setup, clip, go_on) for clip in good]
        done = {clip.job.name: clip for clip in heard}
        yield [done.get(clip.job.name, clip) for clip in clips if clip.job.name in group.wanted]


def _hear_together(setup: Setup, clips: list[_Heard], go_on: Callable[[float], None]) -> list[_Heard]:
    began, total = time.perf_counter(), sum(clip.sound.seconds for clip in clips)
    sounds, rows = [clip.sound for clip in clips], len(clips)
    found = perform(sounds, setup.weights, setup.device, rows=rows, progress=go_on) if clips else []
    spent = time.perf_counter() - began
    return [
        replace(clip, network_s=spent * clip.sound.seconds / total, performance=one) for clip, one in zip(clips, found)
    ]


def _hear_alone(setup: Setup, clip: _Heard, go_on: Callable[[float], None]) -> _Heard:
    try:
        return _hear_together(setup, [clip], go_on)[0]
    except Exception as error:
        return replace(clip, error=_sentence(error))


def _write(setup: Setup, heard: _Heard) -> Outcome:
    job, error, outputs, remarks = heard.job, heard.error, (), ()
    began = time.perf_counter()
    if not error:
        try:
            written = write_outputs(job, heard.performance, setup.folder)
            outputs, remarks = written.outputs, written.remarks
            _draw(job, heard.performance, setup.folder)
        except Exception as found:
            _halt_if_full(found, setup.folder)
            error, outputs = _sentence(found), ()
    return Outcome(
        job.name,
        error,
        remarks,
        None if heard.sound is None else heard.sound.seconds,
        heard.decode_s,
        heard.network_s,
        time.perf_counter() - began,
        outputs,
    )


def _draw(job: Job, performance: Performance, folder: Path) -> None:
    pictures = thumbnail(performance), level_plot(performance).encode()
    for file, data in zip(job.pictures(), pictures):
        path = place_in(folder, f"{PICTURES}/{file}")
        try:
            atomic_write(path, data)
        except OSError as error:
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): fix that.") from error


def _sentence(error: Exception) -> str:
    if isinstance(error, HiSTalkError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"'{error.filename}' cannot be used ({error.strerror}): fix that, and run the same command again."
    traceback.print_exception(error)
    said = str(error).strip().partition("\n")[0][:200]
    return f"HiSTalk stumbled ({type(error).__name__}: {said}); the console has the details."


def _halt_if_full(error: BaseException, folder: Path) -> None:
    """Blender's own messages do not say why a file cannot be written, so a full disk is asked for."""
    numbers, cause = set(), error
    while cause is not None:
        numbers.add(getattr(cause, "errno", None))
        cause = cause.__cause__ or cause.__context__
    if numbers & {errno.ENOSPC, errno.EDQUOT} or not has_room(folder):
        raise Halt(f"The disk of '{folder}' is full: make room and run the same command again.") from error
    if errno.EROFS in numbers or not os.access(folder, os.W_OK):
        raise Halt(f"'{folder}' can no longer be written: mend that and run the same command again.") from error
