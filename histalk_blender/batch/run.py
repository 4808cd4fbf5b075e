"""One run of a batch: clips that are not done yet are made, recorded in the ledger and reported."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from .. import __version__
from ..audio.opening import seconds_of
from ..errors import HiSTalkError
from ..files import clean_leftovers
from ..runtime.output import printable
from ..synthesis import WEIGHTS
from .job import Job
from .ledger import Ledger, Outcome, sha256
from .ledger_file import check_ledger_paths, read_ledger
from .names import LEDGER, output_path, real_path
from .report import write_report
from .worker import PICTURES, ClipGroup, WorkerConfig, run_worker
from .worker_pool import WorkerPool

LEDGERS = "ledgers"  # folder below the outputs where the tasks of a farm keep a ledger each
GPU_BATCH_SIZE = 16  # clips


@dataclass(frozen=True)
class BatchOptions:
    """What `run_batch` is to do."""

    jobs: list[Job]  # all of the manifest
    folder: Path  # of the outputs; created where it does not exist
    devices: tuple[str, ...]  # torch devices, one a worker
    weights: Path | None = None  # None = the bundled checkpoint
    batch_size: int = 0  # clips in one forward pass; 0 = 1 on a CPU, `GPU_BATCH_SIZE` on a GPU
    retry: bool = False  # also run failed clips again
    ledger: Path | None = None  # None = histalk.sqlite in the folder
    ray: str | None = None  # address of a Ray cluster, "" = a local one; None = without Ray

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        return self.ledger or self.folder / LEDGER

    @property
    def clips_at_once(self) -> int:
        """Clips in one forward pass."""
        return self.batch_size or (GPU_BATCH_SIZE if "cuda" in self.devices[0] else 1)


def run_batch(options: BatchOptions) -> Counter:
    """Make what is not done yet, with a progress bar on stderr; the report is written however the run ends.

    Returns:
        How many jobs are done, failed and waiting.

    Raises:
        HiSTalkError: another run uses this ledger, the folder cannot be written, the disk is full, or the checkpoint is
            missing or unusable.
    """
    model = _model_id(Path(options.weights or WEIGHTS))
    _prepare_folder(options)
    names = [job.name for job in options.jobs]
    with _ledger_lock(options.ledger_path):
        ledger = Ledger(options.ledger_path)
        try:
            todo = {job.name for job in ledger.begin(options.jobs, model, options.retry, options.folder)}
            if todo:
                _check_weights(options)
            groups = group_clips(options.jobs, todo, options.clips_at_once)
            with _progress_bar(len(names), len(names) - len(todo)) as advance:
                try:
                    for outcome in _outcomes(options, groups, ledger):
                        ledger.ended(outcome)
                        advance(outcome)
                finally:
                    _clean_up(options, names)
                    if options.ledger is None:  # the ledgers of a farm's tasks are reported together
                        report_batch(ledger.rows(), options.folder)
            return Counter(row["state"] for row in ledger.rows(names))
        finally:
            ledger.close()


def _model_id(weights: Path) -> str:
    """What all clips are made with: the checkpoint's sha256 and HiSTalk's version."""
    try:
        return f"{sha256(weights)} {__version__}"
    except OSError as error:
        raise HiSTalkError(f"No checkpoint at '{weights}' ({error.strerror}): check the path.") from error


def _prepare_folder(options: BatchOptions) -> None:
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HiSTalkError(f"'{options.folder}' cannot be made ({error.strerror}): name another --out.") from error
    for path in (options.ledger_path, options.folder / PICTURES / "picture"):
        if path.is_relative_to(options.folder):
            output_path(options.folder, path.relative_to(options.folder).as_posix())


def _check_weights(options: BatchOptions) -> None:
    """Fail once for a checkpoint that cannot be used, and not for each clip."""
    from ..synthesis.engine import check_weights, unload  # imports PyTorch

    single = len(options.devices) == 1 and options.ray is None
    check_weights(options.weights, options.devices[0] if single else "cpu")
    if not single:
        unload()  # each worker loads its own


def _clean_up(options: BatchOptions, names: list[str]) -> None:
    """Delete the temporary files of workers that died."""
    for folder in {(options.folder / below / name).parent for name in names for below in ("", PICTURES)}:
        clean_leftovers(folder)


@contextmanager
def _progress_bar(total: int, done: int) -> Iterator[Callable[[Outcome], None]]:
    """Clips a minute and the time left, on a terminal's stderr; failures are printed there at once."""
    start, count = time.monotonic(), 0
    form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    with tqdm(total=total, initial=done, file=sys.stderr, disable=None, bar_format=form) as bar:

        def advance(outcome: Outcome) -> None:
            nonlocal count
            count += 1
            bar.set_postfix_str(f"{60 * count / (time.monotonic() - start):.0f} clips/min", refresh=False)
            bar.update()
            if outcome.error:
                bar.write(printable(f"histalk: {outcome.name}: {outcome.error}", 4096), file=sys.stderr)

        yield advance


def _outcomes(options: BatchOptions, groups: list[ClipGroup], ledger: Ledger) -> Iterator[Outcome]:
    config = WorkerConfig(options.folder, options.weights, options.devices[0])
    if options.ray is not None:
        from .ray_pool import run_on_ray  # Ray is an optional dependency

        return run_on_ray(config, options.ray, groups, ledger.started)
    if len(options.devices) > 1:
        return WorkerPool(config, options.devices, groups, ledger.started).run()
    return run_worker(config, groups, ledger.started)


def group_clips(jobs: Iterable[Job], wanted: set[str], size: int) -> list[ClipGroup]:
    """Split a manifest into groups of similar length, one forward pass each; groups with nothing wanted are left out.

    All valid jobs are grouped, not only the wanted ones, so that a clip has the same neighbours in every run: they
    change the last bits of its motion.

    Args:
        jobs: all of the manifest.
        wanted: names of those to be made.
        size: clips in a group.
    """
    valid = [job for job in jobs if not job.problems]
    if size > 1:
        valid.sort(key=lambda job: -seconds_of(job.audio))
    groups = [tuple(valid[first : first + size]) for first in range(0, len(valid), size)]
    groups = [ClipGroup(group, frozenset(job.name for job in group) & wanted) for group in groups]
    return [group for group in groups if group.wanted]


def report_batch(rows: list[dict], folder: Path) -> list[Path]:
    """Write report.html and report.csv of a ledger's rows; if that fails, print why and go on."""
    try:
        return write_report(rows, folder, PICTURES)
    except HiSTalkError as error:
        print(f"histalk: {error}", file=sys.stderr)
        return []


def merge_ledgers(folder: Path) -> tuple[list[dict], list[str]]:
    """The rows of all ledgers in a folder's `ledgers`, which the tasks of a farm wrote.

    Returns:
        The rows in the manifest's order, and a sentence for each ledger that cannot be read.

    Raises:
        HiSTalkError: there are none that can be read.
    """
    ledgers = folder / LEDGERS
    if not real_path(ledgers).is_relative_to(real_path(folder)):
        raise HiSTalkError(f"'{ledgers}' lies outside of '{folder}' by a link: remove the link.")
    paths = sorted(ledgers.glob("*.sqlite"))
    if not paths:
        raise HiSTalkError(f"'{ledgers}' holds no ledgers: run the tasks first.")
    rows: list[dict] = []
    unreadable: list[str] = []
    for path in paths:
        try:
            rows += read_ledger(path)
        except HiSTalkError as error:
            unreadable.append(str(error))
    if unreadable and not rows:
        raise HiSTalkError(" ".join(unreadable[:3]))
    # With another size of chunks a clip is in two ledgers: the later result counts.
    newest = {row["name"]: row for row in sorted(rows, key=lambda row: row["finished"] or 0)}
    return sorted(newest.values(), key=lambda row: row["row"]), unreadable


@contextmanager
def _ledger_lock(ledger: Path) -> Iterator[None]:
    """Hold a ledger's lock, which the operating system releases however the process ends."""
    check_ledger_paths(ledger)
    lock = FileLock(ledger.with_name(ledger.name + ".lock"))
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise HiSTalkError(f"Another run uses '{ledger.parent}': wait for its end, or name another --out.") from error
    except OSError as error:
        raise HiSTalkError(f"'{ledger.parent}' cannot be written ({error.strerror}): name another --out.") from error
    try:
        yield
    finally:
        lock.release()
