"""Which clips are done, in one SQLite file that survives however the process ends.

Table `jobs`, a row a clip:
    name (of its outputs), row (in the manifest), audio
    state: waiting, running, done or failed; error: one sentence; remarks: JSON list of sentences
    settings: JSON
    input: sha256 of the recording and of the .blend; model: sha256 of the weights, and HiSTalk's version
    attempts: how often it was begun without an end
    seconds (of sound), decode_s, network_s, write_s (of work), finished (seconds since 1970)
    outputs: JSON list, each with path, bytes and sha256
Table `files`: the sha256 that a file had with a size and a modification time, so that it is read only once.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..files import open_regular
from ..runtime.output import printable
from .job import Job
from .ledger_file import clean_outputs, clean_row, int_or_zero, ledger_error, open_ledger
from .names import real_path, row_of_label

ATTEMPTS = 3  # a clip during which the process died so often fails


@dataclass(frozen=True)
class Outcome:
    """How one job ended."""

    name: str
    error: str = ""  # one sentence; "" = done
    remarks: tuple[str, ...] = ()
    seconds: float | None = None  # of sound
    decode_s: float | None = None
    network_s: float | None = None
    write_s: float | None = None
    outputs: tuple[dict, ...] = field(default=())  # path relative to the output folder, bytes, sha256


class Ledger:
    """One batch's ledger; every change is on disk when the call returns."""

    def __init__(self, path: Path):
        """Open or create it.

        Raises:
            HiSTalkError: the folder cannot be written, or the file is no ledger, damaged, or a link.
        """
        self.path = Path(path)
        self.database = open_ledger(self.path)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def begin(self, jobs: Iterable[Job], model: str, retry: bool = False, folder: Path | None = None) -> list[Job]:
        """Record a run's jobs.

        Done jobs stay done while recording, .blend, settings, weights and outputs are the same; failed jobs stay failed
        while their inputs are.

        Args:
            jobs: all of the manifest.
            model: identifies the weights and HiSTalk's version.
            retry: run failed jobs again.
            folder: of the outputs; None = the ledger's own.

        Returns:
            The jobs to be run.
        """
        jobs, folder = list(jobs), folder or self.path.parent
        known = {row["name"]: row for row in self._select("SELECT * FROM jobs")}
        todo, entries = [], []
        hashes = _Hashes(self._select("SELECT * FROM files"))
        for job in jobs:
            recorded, settings = known.get(job.name), json.dumps(job.settings(), sort_keys=True)
            inputs = () if job.problems else (job.audio, job.shot)
            hashed = " ".join(hashes(path) for path in inputs if path)
            if recorded is not None and not (
                (hashed, model) == (recorded["input"], recorded["model"]) and job.has_settings(recorded["settings"])
            ):
                recorded = None
            state, error, attempts = _first_state(job, recorded, retry, folder)
            if state == "waiting":
                todo.append(job)
            audio, error = printable(job.audio, 4096), printable(error, 2000)
            entries.append((job.name, job.row, audio, state, error, settings, hashed, model, attempts))
        # An invalid row has no name of its own, only a label, which may be another one in this run.
        rows, names = {job.row for job in jobs}, {job.name for job in jobs}
        stale = [(name,) for name in known if name not in names and row_of_label(name) in rows]
        self._many("DELETE FROM jobs WHERE name = ?", stale)
        self._many(
            "INSERT INTO jobs (name, row, audio, state, error, settings, input, model, attempts) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET row = excluded.row, "
            "audio = excluded.audio, state = excluded.state, error = excluded.error, settings = excluded.settings, "
            "input = excluded.input, model = excluded.model, attempts = excluded.attempts",
            entries,
        )
        self._many("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", list(hashes.new.values()))
        return todo

    def started(self, name: str) -> None:
        """A job's outputs are being written."""
        self._one("UPDATE jobs SET state = 'running', attempts = attempts + 1 WHERE name = ?", (name,))

    def ended(self, outcome: Outcome) -> None:
        """A job is done or has failed."""
        self._one(
            "UPDATE jobs SET state = ?, error = ?, remarks = ?, attempts = 0, seconds = ?, decode_s = ?, "
            "network_s = ?, write_s = ?, finished = ?, outputs = ? WHERE name = ?",
            (
                "failed" if outcome.error else "done",
                printable(outcome.error, 2000),
                json.dumps(outcome.remarks),
                outcome.seconds,
                outcome.decode_s,
                outcome.network_s,
                outcome.write_s,
                time.time(),
                json.dumps(outcome.outputs),
                outcome.name,
            ),
        )

    def rows(self, names: Iterable[str] | None = None) -> list[dict]:
        """All jobs, or those named, in the manifest's order; JSON columns are parsed."""
        wanted = None if names is None else set(names)
        out = [clean_row(dict(row)) for row in self._select("SELECT * FROM jobs ORDER BY row, name")]
        return [row for row in out if wanted is None or row["name"] in wanted]

    def _select(self, statement: str) -> list[sqlite3.Row]:
        try:
            return self.database.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise ledger_error(self.path, error) from error

    def _one(self, statement: str, values: tuple) -> None:
        self._many(statement, [values])

    def _many(self, statement: str, entries: list[tuple]) -> None:
        try:
            self.database.execute("BEGIN IMMEDIATE")
            self.database.executemany(statement, entries)
            self.database.execute("COMMIT")
        except sqlite3.Error as error:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise ledger_error(self.path, error) from error


def _first_state(job: Job, recorded: sqlite3.Row | None, retry: bool, folder: Path) -> tuple[str, str, int]:
    """The state, error and attempts with which a job enters a run.

    Args:
        job: of the manifest.
        recorded: its row of an earlier run with the same inputs and settings.
        retry: run failed jobs again.
        folder: of the outputs.
    """
    if job.problems:
        return "failed", " ".join(job.problems), 0
    if recorded is None:
        return "waiting", "", 0
    state, attempts = recorded["state"], int_or_zero(recorded["attempts"])
    if state == "running" and attempts >= ATTEMPTS:
        return "failed", f"Blender ended {ATTEMPTS} times while this was made: try it alone.", 0
    if state == "done" and _outputs_exist(folder, job, recorded["outputs"]):
        return "done", "", 0
    if state == "failed" and not retry:
        return "failed", str(recorded["error"]), 0
    return "waiting", "", attempts if state == "running" else 0


def _outputs_exist(folder: Path, job: Job, stored: str) -> bool:
    """Whether the stored outputs are exactly the job's files, and each lies in the folder and has its stored size."""
    outputs = clean_outputs(stored)
    if {output["path"] for output in outputs} != set(job.files().values()):
        return False
    for output in outputs:
        path = folder / output["path"]
        try:
            found = path.lstat()
        except OSError:
            return False
        inside = real_path(path.parent).is_relative_to(real_path(folder))
        if not (stat.S_ISREG(found.st_mode) and found.st_size == output["bytes"] and inside):
            return False
    return True


class _Hashes:
    """sha256 of files, from the ledger while size and time are unchanged; "" of a missing one."""

    def __init__(self, known: list[sqlite3.Row]):
        self.new: dict[str, tuple] = {}
        self.known = {row["path"]: row for row in known if isinstance(row["sha256"], str)}

    def __call__(self, path: Path) -> str:
        key = printable(path, 4096)
        try:
            stat = path.stat()
            before = self.known.get(key)
            if before and (before["bytes"], before["changed"]) == (stat.st_size, stat.st_mtime_ns):
                return before["sha256"]
            if key not in self.new:
                self.new[key] = (key, stat.st_size, stat.st_mtime_ns, sha256(path))
            return self.new[key][3]
        except (OSError, ValueError):
            return ""


def sha256(path: Path) -> str:
    """The hash of a file.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
