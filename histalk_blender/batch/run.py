"""One run of a batch: what is left to do is done, written down and reported."""

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
from ..audio.reading import seconds_of
from ..errors import HiSTalkError
from ..files import clean_leftovers
from ..runtime.output import printable
from ..synthesis import WEIGHTS
from .damage import check_places, read_ledger
from .ledger import Ledger, Outcome, sha256
from .job import Job
from .names import LEDGER, place_in, real_path
from .report import write_report
from .worker import PICTURES, Group, Setup, work
from .worker_pool import crew

LEDGERS = "ledgers"  # folder of a farm's chunks' own
ROWS = 16  # clips that a GPU hears at once


@dataclass(frozen=True)
class Batch:
    """What is asked for."""

    jobs: list[Job]  # all of the manifest
    folder: Path  # of the outputs, made where it is not there
    devices: tuple[str, ...]  # torch devices, one a worker
    weights: Path | None = None
    rows: int = 0  # clips that the network hears at once; 0 = one on a CPU, `ROWS` on a GPU
    retry: bool = False  # do again what failed
    ledger: Path | None = None  # in place of histalk.sqlite in the folder
    ray: str | None = None  # address of a Ray cluster, "" = one of this machine's own; None = without Ray

    @property
    def book(self) -> Path:
        """The ledger's file."""
        return self.ledger or self.folder / LEDGER


def run(batch: Batch) -> Counter:
    """Do what is not done, with a bar on stderr; the report is made however it ends.

    Returns:
        How many jobs are done, failed and waiting.

    Raises:
        HiSTalkError: another run works on this ledger, the folder cannot be written, the disk is full, or the weights
            are missing or of no use.
    """
    weights = Path(batch.weights or WEIGHTS)
    try:
        model = f"{sha256(weights)} {__version__}"
    except OSError as error:
        raise HiSTalkError(f"No checkpoint at '{weights}' ({error.strerror}): check the path.") from error
    names = [job.name for job in batch.jobs]
    try:
        batch.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HiSTalkError(f"'{batch.folder}' cannot be made ({error.strerror}): name another --out.") from error
    for own in (batch.book, batch.folder / PICTURES / "picture"):
        if own.is_relative_to(batch.folder):
            place_in(batch.folder, own.relative_to(batch.folder).as_posix())
    with _alone(batch.book):
        ledger = Ledger(batch.book)
        try:
            todo = ledger.begin(batch.jobs, model, batch.retry, batch.folder)
            if todo:
                _check_weights(batch)
            groups = grouped(
                batch.jobs, {job.name for job in todo}, batch.rows or (ROWS if "cuda" in batch.devices[0] else 1)
            )
            with _bar(len(names), len(names) - len(todo)) as ended:
                try:
                    for outcome in _outcomes(batch, groups, ledger):
                        ledger.ended(outcome)
                        ended(outcome)
                finally:
                    for folder in {(batch.folder / place / name).parent for name in names for place in ("", PICTURES)}:
                        clean_leftovers(folder)  # of workers that died
                    if batch.ledger is None:  # a farm's chunks are reported together
                        report(ledger.rows(), batch.folder)
            return Counter(row["state"] for row in ledger.rows(names))
        finally:
            ledger.close()


def _check_weights(batch: Batch) -> None:
    """What is wrong with the weights is wrong with the whole run, and not with each of its clips."""
    from ..synthesis.engine import check_weights, forget  # PyTorch only where clips are heard

    alone = len(batch.devices) == 1 and batch.ray is None
    check_weights(batch.weights, batch.devices[0] if alone else "cpu")
    if not alone:
        forget()  # each worker has its own


@contextmanager
def _bar(total: int, done: int) -> Iterator[Callable[[Outcome], None]]:
    """Clips a minute and the time left, on a terminal's stderr; what fails is told there at once."""
    began, count = time.monotonic(), 0
    form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    with tqdm(total=total, initial=done, file=sys.stderr, disable=None, bar_format=form) as bar:

        def ended(outcome: Outcome) -> None:
            nonlocal count
            count += 1
            bar.set_postfix_str(f"{60 * count / (time.monotonic() - began):.0f} clips/min", refresh=False)
            bar.update()
            if outcome.error:
                bar.write(printable(f"histalk: {outcome.name}: {outcome.error}", 4096), file=sys.stderr)

        yield ended


def _outcomes(batch: Batch, groups: list[Group], ledger: Ledger) -> Iterator:
    setup = Setup(batch.folder, batch.weights, batch.devices[0])
    if batch.ray is not None:
        from .ray_pool import cluster  # Ray is an extra

        return cluster(setup, batch.ray, groups, ledger.started)
    if len(batch.devices) > 1:
        return crew(setup, list(batch.devices), groups, ledger.started)
    return work(setup, groups, ledger.started)


def grouped(jobs: Iterable[Job], wanted: set[str], rows: int) -> list[Group]:
    """What the network hears at once, of like length; groups of which nothing is wanted are left out.

    All sound jobs of the manifest are grouped, so that a clip has the same neighbours in every run: they touch the last
    bits of its motion.
    """
    sound = [job for job in jobs if not job.problems]
    if rows > 1:
        sound.sort(key=lambda job: -seconds_of(job.audio))
    groups = [tuple(sound[first : first + rows]) for first in range(0, len(sound), rows)]
    groups = [Group(group, frozenset(job.name for job in group) & wanted) for group in groups]
    return [group for group in groups if group.wanted]


def report(rows: list[dict], folder: Path) -> list[Path]:
    """report.html and report.csv of a ledger's rows; a disk that is full is no reason to lose how the run ended."""
    try:
        return write_report(rows, folder, PICTURES)
    except HiSTalkError as error:
        print(f"histalk: {error}", file=sys.stderr)
        return []


def merged(folder: Path) -> tuple[list[dict], list[str]]:
    """The rows of all ledgers in a folder's `ledgers`, as a farm's chunks leave them, and what is wrong with others.

    Raises:
        HiSTalkError: there are none.
    """
    place = folder / LEDGERS
    if not real_path(place).is_relative_to(real_path(folder)):
        raise HiSTalkError(f"'{place}' lies outside of '{folder}' by a link: remove the link.")
    books = sorted(place.glob("*.sqlite"))
    if not books:
        raise HiSTalkError(f"'{place}' holds no ledgers: run the chunks first.")
    found: list[dict] = []
    wrong: list[str] = []
    for book in books:
        try:
            found += read_ledger(book)
        except HiSTalkError as error:
            wrong.append(str(error))
    if wrong and not found:
        raise HiSTalkError(" ".join(wrong[:3]))
    # Of a clip that stands in two, as after another size of chunks, what ended last counts.
    newest = {row["name"]: row for row in sorted(found, key=lambda row: row["finished"] or 0)}
    return sorted(newest.values(), key=lambda row: row["row"]), wrong


@contextmanager
def _alone(book: Path) -> Iterator[None]:
    """Hold a ledger's lock, which the system takes back however the process ends."""
    check_places(book)
    lock = FileLock(book.with_name(book.name + ".lock"))
    try:
        book.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise HiSTalkError(f"Another run works on '{book.parent}': wait for its end, or name another --out.") from error
    except OSError as error:
        raise HiSTalkError(f"'{book.parent}' cannot be written ({error.strerror}): name another --out.") from error
    try:
        yield
    finally:
        lock.release()
