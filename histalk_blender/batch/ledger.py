"""What was done and what was not, in one SQLite file that outlives any end of the process.

Table `jobs`, a row a clip: `name` (of its outputs), `row` (in the manifest), `audio`, `state` (waiting, running, done or
failed), `error` (one sentence), `remarks` and `settings` and `outputs` (JSON; an output has path, bytes and sha256),
`input` (sha256 of the sound and of the .blend), `model` (sha256 of the weights, and our version), `attempts`,
`seconds` (of sound), `decode_s`, `network_s`, `write_s`, `finished` (seconds since 1970).
Table `files`: what a file's sha256 was when it had this size and this time, so that it is read once.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import HiSTalkError
from .manifest import Job

ATTEMPTS = 3  # a clip during which the process ended so often is given up
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    name TEXT PRIMARY KEY, row INTEGER, audio TEXT, state TEXT, error TEXT DEFAULT '', remarks TEXT DEFAULT '[]',
    settings TEXT, input TEXT, model TEXT, attempts INTEGER DEFAULT 0, seconds REAL, decode_s REAL, network_s REAL,
    write_s REAL, finished REAL, outputs TEXT DEFAULT '[]'
);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, bytes INTEGER, changed INTEGER, sha256 TEXT);
"""


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
    """One batch's record; every change is on disk when the call returns."""

    def __init__(self, path: Path):
        """Open or make it.

        Raises:
            HiSTalkError: the folder cannot be written, or the file is no ledger.
        """
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self.database.row_factory = sqlite3.Row
            self.database.execute("PRAGMA synchronous = FULL")
            self.database.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    def begin(self, jobs: Iterable[Job], model: str, retry: bool = False) -> list[Job]:
        """Enter a run's jobs, and say which of them are to be done.

        Done ones stay done as long as sound, .blend, settings, weights and outputs are the same; failed ones stay failed
        unless something of that changed.

        Args:
            jobs: all of the manifest.
            model: of what all are made with.
            retry: also do again what failed.
        """
        known = {row["name"]: row for row in self.database.execute("SELECT * FROM jobs")}
        todo, entries = [], []
        hashes = _Hashes(self.database)
        for job in jobs:
            before, settings = known.get(job.name), json.dumps(job.settings(), sort_keys=True)
            given = " ".join(hashes(path) for path in (job.audio, job.blend) if path)
            now = (settings, given, model)
            same = before is not None and now == (before["settings"], before["input"], before["model"])
            if job.problems:
                state, error = "failed", " ".join(job.problems)
            elif same and before["state"] == "running" and before["attempts"] >= ATTEMPTS:
                state, error = "failed", f"Blender ended {ATTEMPTS} times while this was made: try it alone."
            elif same and before["state"] == "done" and _are_there(self.path.parent, before["outputs"]):
                state, error = "done", ""
            elif same and before["state"] == "failed" and not retry:
                state, error = "failed", before["error"]
            else:
                state, error = "waiting", ""
                todo.append(job)
            attempts = before["attempts"] if same and state == "waiting" and before["state"] == "running" else 0
            entries.append((job.name, job.row, str(job.audio), state, error, *now, attempts))
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
        """A job's outputs are being made."""
        self._one("UPDATE jobs SET state = 'running', attempts = attempts + 1 WHERE name = ?", (name,))

    def ended(self, outcome: Outcome) -> None:
        """A job is done or has failed."""
        self._one(
            "UPDATE jobs SET state = ?, error = ?, remarks = ?, attempts = 0, seconds = ?, decode_s = ?, network_s = ?, "
            "write_s = ?, finished = ?, outputs = ? WHERE name = ?",
            (
                "failed" if outcome.error else "done", outcome.error, json.dumps(outcome.remarks), outcome.seconds,
                outcome.decode_s, outcome.network_s, outcome.write_s, time.time(), json.dumps(outcome.outputs),
                outcome.name,
            ),
        )  # fmt: skip

    def rows(self, names: Iterable[str] | None = None) -> list[dict]:
        """All jobs, or those named, by their rows; JSON columns as what they hold."""
        wanted = None if names is None else set(names)
        out = [dict(row) for row in self.database.execute("SELECT * FROM jobs ORDER BY row, name")]
        for row in out:
            row |= {key: json.loads(row[key]) for key in ("settings", "remarks", "outputs")}
        return [row for row in out if wanted is None or row["name"] in wanted]

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
            raise _unwritable(self.path, error) from error


def _unwritable(path: Path, error: Exception) -> HiSTalkError:
    why = getattr(error, "strerror", None) or str(error)
    mend = "make room and run the same command" if "full" in why else "choose another --out, or mend its permissions"
    return HiSTalkError(f"The ledger '{path}' cannot be written ({why}): {mend}.")


def _are_there(folder: Path, outputs: str) -> bool:
    for output in json.loads(outputs):
        try:
            if (folder / output["path"]).stat().st_size != output["bytes"]:
                return False
        except OSError:
            return False
    return True


class _Hashes:
    """sha256 of files, from the ledger while size and time are the same; "" of one that is not there."""

    def __init__(self, database: sqlite3.Connection):
        self.new: dict[str, tuple] = {}
        self.known = {row["path"]: row for row in database.execute("SELECT * FROM files")}

    def __call__(self, path: Path) -> str:
        key = str(path)
        try:
            stat = path.stat()
            before = self.known.get(key)
            if before and (before["bytes"], before["changed"]) == (stat.st_size, stat.st_mtime_ns):
                return before["sha256"]
            if key not in self.new:
                self.new[key] = (key, stat.st_size, stat.st_mtime_ns, sha256(path))
            return self.new[key][3]
        except OSError:
            return ""


def sha256(path: Path) -> str:
    """Of a file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
