"""The ledger's database file: its schema, how it is opened, and what is used of one that is damaged."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import HiSTalkError
from ..runtime.output import printable
from .names import LEDGER_SUFFIXES

VERSION = 1  # `user_version` of the database; a new one has 0
SCHEMA = f"""
CREATE TABLE jobs (
    name TEXT PRIMARY KEY, row INTEGER, audio TEXT, state TEXT, error TEXT DEFAULT '', remarks TEXT DEFAULT '[]',
    settings TEXT, input TEXT, model TEXT, attempts INTEGER DEFAULT 0, seconds REAL, decode_s REAL, network_s REAL,
    write_s REAL, finished REAL, outputs TEXT DEFAULT '[]'
);
CREATE TABLE files (path TEXT PRIMARY KEY, bytes INTEGER, changed INTEGER, sha256 TEXT);
PRAGMA user_version = {VERSION};
"""
COLUMNS = {
    "jobs": set(
        "name row audio state error remarks settings input model attempts seconds decode_s network_s write_s finished "
        "outputs".split()
    ),
    "files": set("path bytes changed sha256".split()),
}
STATES = ("waiting", "running", "done", "failed")
LAST_TIME = 253402300799.0  # seconds since 1970 at the end of the year 9999, the last that Python's dates know
START_OVER = "move it elsewhere and run the same command, which makes all its clips again"


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open a ledger for writing; create it where there is none.

    Raises:
        HiSTalkError: the folder cannot be written, or the file is no ledger, damaged, or a link.
    """
    check_ledger_paths(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = _connect(str(path))
    except (OSError, sqlite3.Error) as error:
        raise ledger_error(path, error) from error
    try:
        database.execute("PRAGMA synchronous = FULL")
        if not _tables(database):
            database.executescript(SCHEMA)
        _check_schema(database, path)
        return database
    except sqlite3.Error as error:
        database.close()
        raise ledger_error(path, error) from error
    except HiSTalkError:
        database.close()
        raise


def read_ledger(path: Path) -> list[dict]:
    """All rows of `jobs` in the manifest's order; nothing is written, as the folder may be read-only.

    Raises:
        HiSTalkError: it cannot be read, is no ledger, damaged, or a link.
    """
    check_ledger_paths(path)
    try:
        return _read(path.absolute().as_uri() + "?mode=ro", path)
    except (OSError, sqlite3.Error) as error:
        if _sqlite_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise ledger_error(path, error) from error
    try:  # a journal that an interrupted run left has to be applied first, in a folder that can be written
        with tempfile.TemporaryDirectory(prefix="histalk-") as scratch:
            for suffix in LEDGER_SUFFIXES[:3]:
                if os.path.exists(f"{path}{suffix}"):
                    shutil.copyfile(f"{path}{suffix}", Path(scratch, f"ledger{suffix}"))
            return _read(str(Path(scratch, "ledger")), path)
    except (OSError, sqlite3.Error) as error:
        raise ledger_error(path, error) from error


def _read(database_path: str, path: Path) -> list[dict]:
    database = _connect(database_path)
    try:
        _check_schema(database, path)
        return [clean_row(dict(row)) for row in database.execute("SELECT * FROM jobs ORDER BY row, name")]
    finally:
        database.close()


def _connect(database_path: str) -> sqlite3.Connection:
    is_uri = database_path.startswith("file:")
    database = sqlite3.connect(database_path, timeout=30, isolation_level=None, uri=is_uri)
    database.row_factory = sqlite3.Row
    database.text_factory = lambda data: data.decode("utf-8", "replace")
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def check_ledger_paths(path: Path) -> None:
    """Refuse links and special files as the ledger or beside it, which SQLite and the lock would follow or wait for.

    Raises:
        HiSTalkError: there is one.
    """
    for suffix in LEDGER_SUFFIXES:
        file = path.with_name(path.name + suffix)
        try:
            mode = file.lstat().st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISLNK(mode):
            raise HiSTalkError(f"'{file}' is a link, as a ledger's files must not be: remove it, or name another.")
        if not stat.S_ISREG(mode):
            raise HiSTalkError(f"'{file}' is no file, as a ledger's must be: remove it, or name another.")


def _tables(database: sqlite3.Connection) -> set[str]:
    return {row["name"] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise HiSTalkError(f"The ledger '{path}' is damaged ({printable(found, 120)}): {START_OVER}.")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise HiSTalkError(f"The ledger '{path}' was made by a newer HiSTalk: update this one, or name another ledger.")
    tables = _tables(database)
    if not tables & COLUMNS.keys():
        raise HiSTalkError(f"'{path}' is a database of something else: name another ledger.")
    for table, wanted in COLUMNS.items():
        missing = wanted - {row["name"] for row in database.execute(f"PRAGMA table_info({table})")}
        if missing:
            raise HiSTalkError(f"The ledger '{path}' lacks '{min(missing)}' in its table '{table}': {START_OVER}.")


def ledger_error(path: Path, error: Exception) -> HiSTalkError:
    """The sentence for an error of SQLite or of the operating system with a ledger."""
    reason, code = getattr(error, "strerror", None) or printable(error, 120), _sqlite_code(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH):
        return HiSTalkError(f"The ledger '{path}' is damaged ({reason}): {START_OVER}.")
    fix = "make room and run the same command" if "full" in reason else "choose another --out, or fix its permissions"
    return HiSTalkError(f"The ledger '{path}' cannot be written ({reason}): {fix}.")


def _sqlite_code(error: Exception) -> int | None:
    """The primary result code, without the bits of the extended one."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def clean_row(row: dict) -> dict:
    """A row of `jobs` with every value of the right type; a wrong one counts as unknown."""
    out = row | {key: _text(row[key]) for key in ("audio", "error", "input", "model")}
    out["name"] = row["name"] if isinstance(row["name"], str) else _text(row["name"])
    out |= {key: int_or_zero(row[key]) for key in ("row", "attempts")}
    numbers = ("seconds", "decode_s", "network_s", "write_s", "finished")
    out |= {key: _number(row[key], 0.0, LAST_TIME) for key in numbers}
    out["settings"] = _parsed(row["settings"], dict)
    out["remarks"] = [_text(remark) for remark in _parsed(row["remarks"], list)]
    out["outputs"] = clean_outputs(row["outputs"])
    known = row["state"] in STATES and (row["state"] != "done" or out["outputs"])
    out["state"] = row["state"] if known else "waiting"  # done without any file is not done
    return out


def clean_outputs(stored: object) -> list[dict]:
    """A row's outputs; none if one of them is not a file below the output folder."""
    outputs = _parsed(stored, list)
    for output in outputs:
        if not isinstance(output, dict) or not isinstance(path := output.get("path"), str) or not path:
            return []
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path or "\\" in path:
            return []
        if type(output.get("bytes")) is not int or output["bytes"] < 0 or not isinstance(output.get("sha256"), str):
            return []
    return outputs


def _parsed(text: Any, kind: type):
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()


def _text(value: object) -> str:
    return "" if value is None else printable(value, 4096)


def int_or_zero(value: object) -> int:
    """A whole number; 0 for anything else."""
    return value if type(value) is int else 0


def _number(value: Any, low: float, high: float) -> float | None:
    valid = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
    return value if valid else None
