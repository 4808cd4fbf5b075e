"""A worker's pipeline: a thread decodes, a thread runs the network, and the main thread writes, as Blender requires."""

from __future__ import annotations

import errno
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ..audio.clip import AudioClip, open_clip
from ..errors import HiSTalkError, error_sentence
from ..files import atomic_write, has_room
from ..runtime.process_exit import raise_if_stopped
from ..synthesis import Performance
from ..synthesis.engine import perform_clips
from .job import Job
from .ledger import Outcome
from .level_plot import level_plot
from .names import output_path
from .outputs import write_outputs
from .prefetch import prefetch
from .thumbnail import thumbnail

PICTURES = "report"  # folder of the report's pictures


class BatchAborted(HiSTalkError):
    """Nothing more can be written, so the run ends; what is not done yet stays waiting."""


@dataclass(frozen=True)
class ClipGroup:
    """Clips that go through the network in one forward pass.

    The manifest alone decides which ones, so that a clip's result does not depend on what was done before.
    """

    jobs: tuple[Job, ...]
    wanted: frozenset[str]  # names of those whose outputs are to be written

    def absolute(self) -> ClipGroup:
        """The same for a process with another working folder."""
        jobs = (replace(job, audio=job.audio.absolute(), shot=job.shot and job.shot.absolute()) for job in self.jobs)
        return replace(self, jobs=tuple(jobs))


@dataclass(frozen=True)
class WorkerConfig:
    """What all workers of a run share."""

    folder: Path  # of the outputs
    weights: Path | None
    device: str

    def absolute(self) -> WorkerConfig:
        """The same for a process with another working folder."""
        return replace(self, folder=self.folder.absolute(), weights=self.weights and self.weights.absolute())


@dataclass(frozen=True, eq=False)
class _Clip:
    """A job on its way through the pipeline."""

    job: Job
    sound: AudioClip | None = None
    error: str = ""
    decode_s: float = 0.0
    network_s: float = 0.0
    performance: Performance | None = None


def run_worker(
    config: WorkerConfig,
    groups: Iterable[ClipGroup],
    started: Callable[[str], None],
    stop: threading.Event | None = None,
) -> Iterator[Outcome]:
    """Make all groups; yield an outcome for each wanted job as it ends. The threads end with the iterator.

    Args:
        config: folder, weights and device.
        groups: taken one at a time, by another thread.
        started: called with a job's name before its outputs are written.
        stop: set when nothing more is wanted, for `groups` that block.

    Raises:
        BatchAborted: the disk is full or the folder can no longer be written.
    """
    stop = stop or threading.Event()
    decoded = prefetch(map(_decode, groups), stop)
    with closing(prefetch(_synthesize(config, decoded, stop), stop)) as finished_groups:
        try:
            for clips in finished_groups:
                for clip in clips:
                    started(clip.job.name)
                    yield _write(config, clip)
                    raise_if_stopped()
        finally:
            stop.set()


def _decode(group: ClipGroup) -> tuple[ClipGroup, list[_Clip]]:
    clips = []
    for job in group.jobs:
        start = time.perf_counter()
        sound, error = None, ""
        try:
            sound = open_clip(job.audio, channel=job.channel)
            if sound.silent:
                sound, error = None, f"'{job.audio}' is silent: export it again, or leave it out."
        except Exception as found:
            error = _sentence(found)
        clips.append(_Clip(job, sound, error, time.perf_counter() - start))
    return group, clips


class _Cancelled(BaseException):
    """The batch ends while the network runs."""


def _synthesize(
    config: WorkerConfig, decoded: Iterable[tuple[ClipGroup, list[_Clip]]], stop: threading.Event
) -> Iterator[list[_Clip]]:
    def check_stop(share: float) -> None:
        if stop.is_set():
            raise _Cancelled

    for group, clips in decoded:
        valid = [clip for clip in clips if clip.sound is not None]
        try:
            made = _synthesize_group(config, valid, check_stop)
        except Exception:  # one of them may be the cause, and must not fail the others
            made = [_synthesize_alone(config, clip, check_stop) for clip in valid]
        by_name = {clip.job.name: clip for clip in made}
        yield [by_name.get(clip.job.name, clip) for clip in clips if clip.job.name in group.wanted]


def _synthesize_group(config: WorkerConfig, clips: list[_Clip], progress: Callable[[float], None]) -> list[_Clip]:
    if not clips:
        return []
    start, sounds = time.perf_counter(), [clip.sound for clip in clips if clip.sound is not None]
    total = sum(sound.seconds for sound in sounds)
    performances = perform_clips(sounds, config.weights, config.device, batch_size=len(clips), progress=progress)
    spent = time.perf_counter() - start
    return [
        replace(clip, network_s=spent * sound.seconds / total, performance=performance)
        for clip, sound, performance in zip(clips, sounds, performances)
    ]


def _synthesize_alone(config: WorkerConfig, clip: _Clip, progress: Callable[[float], None]) -> _Clip:
    try:
        return _synthesize_group(config, [clip], progress)[0]
    except Exception as error:
        return replace(clip, error=_sentence(error))


def _write(config: WorkerConfig, clip: _Clip) -> Outcome:
    job, error, outputs, remarks = clip.job, clip.error, (), ()
    start = time.perf_counter()
    if clip.performance is not None:
        try:
            written = write_outputs(job, clip.performance, config.folder)
            outputs, remarks = written.outputs, written.remarks
            _write_pictures(job, clip.performance, config.folder)
        except Exception as found:
            _abort_if_unwritable(found, config.folder)
            error, outputs = _sentence(found), ()
    return Outcome(
        job.name,
        error,
        remarks,
        None if clip.sound is None else clip.sound.seconds,
        clip.decode_s,
        clip.network_s,
        time.perf_counter() - start,
        outputs,
    )


def _write_pictures(job: Job, performance: Performance, folder: Path) -> None:
    pictures = thumbnail(performance), level_plot(performance).encode()
    for file, data in zip(job.pictures(), pictures):
        path = output_path(folder, f"{PICTURES}/{file}")
        try:
            atomic_write(path, data)
        except OSError as error:
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): fix that.") from error


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"'{error.filename}' cannot be used ({error.strerror}): fix that, and run the same command again."
    if not isinstance(error, HiSTalkError):
        traceback.print_exception(error)
    return error_sentence(error)


def _abort_if_unwritable(error: BaseException, folder: Path) -> None:
    """Blender's own messages do not say why a file cannot be written, so the disk is tested."""
    numbers, cause = set(), error
    while cause is not None:
        numbers.add(getattr(cause, "errno", None))
        cause = cause.__cause__ or cause.__context__
    if numbers & {errno.ENOSPC, errno.EDQUOT} or not has_room(folder):
        raise BatchAborted(f"The disk of '{folder}' is full: make room and run the same command again.") from error
    if errno.EROFS in numbers or not os.access(folder, os.W_OK):
        raise BatchAborted(f"'{folder}' can no longer be written: fix that and run the same command again.") from error
