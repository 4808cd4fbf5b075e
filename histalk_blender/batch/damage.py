"""What a ledger must look like, what is left of one that does not, and how that is said."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path, PurePosixPath

from ..errors import HiSTalkError
from ..runtime.output import printable
from .names import SIDES

VERSION = 1  # `user_version` of the database; one that has none yet has 0
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
    "jobs": {
        "name",
        "row",
        "audio",
        "state",
        "error",
        "remarks",
        "settings",
        "input",
        "model",
        "attempts",
        "seconds",
        "decode_s",
        "network_s",
        "write_s",
        "finished",
        "outputs",
    },
    "files": {"path", "bytes", "changed", "sha256"},
}
STATES = ("waiting", "running", "done", "failed")
LAST = 253402300799.0  # seconds since 1970 at the end of the year 9999, after which there are no dates
ANEW = "move it elsewhere and run the same command, which makes all its clips again"


def open_ledger(path: Path) -> sqlite3.Connection:
    """A ledger to be written, made where there is none.

    Raises:
        HiSTalkError: the folder cannot be written, or the file is no ledger, damaged, or a link.
    """
    check_places(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = _connect(str(path))
    except (OSError, sqlite3.Error) as error:
        raise explained(path, error) from error
    try:
        database.execute("PRAGMA synchronous = FULL")
        if not _tables(database):
            database.executescript(SCHEMA)
        _check_schema(database, path)
        return database
    except sqlite3.Error as error:
        database.close()
        raise explained(path, error) from error
    except HiSTalkError:
        database.close()
        raise


def read_ledger(path: Path) -> list[dict]:
    """All jobs of a ledger by their rows, without a change to it or its folder, which may be read-only.

    Raises:
        HiSTalkError: it cannot be read, is no ledger, damaged, or a link.
    """
    check_places(path)
    try:
        return _read(path.absolute().as_uri() + "?mode=ro", path)
    except (OSError, sqlite3.Error) as error:
        if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise explained(path, error) from error
    try:  # what a run that was cut off left beside it has to be worked in first, which needs a place to write
        with tempfile.TemporaryDirectory(prefix="histalk-") as scratch:
            for side in SIDES[:3]:
                if os.path.exists(f"{path}{side}"):
                    shutil.copyfile(f"{path}{side}", Path(scratch, f"ledger{side}"))
            return _read(str(Path(scratch, "ledger")), path)
    except (OSError, sqlite3.Error) as error:
        raise explained(path, error) from error


def _read(place: str, path: Path) -> list[dict]:
    database = _connect(place)
    try:
        _check_schema(database, path)
        return [clean_row(dict(row)) for row in database.execute("SELECT * FROM jobs ORDER BY row, name")]
    finally:
        database.close()


def _connect(place: str) -> sqlite3.Connection:
    database = sqlite3.connect(place, timeout=30, isolation_level=None, uri=place.startswith("file:"))
    database.row_factory = sqlite3.Row
    database.text_factory = lambda data: data.decode("utf-8", "replace")
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def check_places(path: Path) -> None:
    """Refuse a ledger that is a link or no file, and such things beside it, which SQLite and the lock would follow.

    Raises:
        HiSTalkError: one of them is.
    """
    for side in SIDES:
        place = path.with_name(path.name + side)
        try:
            mode = place.lstat().st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISLNK(mode):
            raise HiSTalkError(f"'{place}' is a link, as a ledger's files must not be: remove it, or name another.")
        if not stat.S_ISREG(mode):
            raise HiSTalkError(f"'{place}' is no file, as a ledger's must be: remove it, or name another.")


def _tables(database: sqlite3.Connection) -> set[str]:
    return {row["name"] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    """Whether every page is whole, and the tables are ours."""
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise HiSTalkError(f"The ledger '{path}' is damaged ({printable(found, 120)}): {ANEW}.")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise HiSTalkError(f"The ledger '{path}' was made by a newer HiSTalk: update this one, or name another ledger.")
    tables = _tables(database)
    if not tables & COLUMNS.keys():
        raise HiSTalkError(f"'{path}' is a database of something else: name another ledger.")
    for table, wanted in COLUMNS.items():
        lacking = wanted - {row["name"] for row in database.execute(f"PRAGMA table_info({table})")}
        if lacking:
            raise HiSTalkError(f"The ledger '{path}' lacks '{min(lacking)}' in its table '{table}': {ANEW}.")


def explained(path: Path, error: Exception) -> HiSTalkError:
    """The sentence for what SQLite or the system said of a ledger."""
    why, code = getattr(error, "strerror", None) or printable(error, 120), _code(error)
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)
    if code in damaged:
        return HiSTalkError(f"The ledger '{path}' is damaged ({why}): {ANEW}.")
    fix = "make room and run the same command" if "full" in why else "choose another --out, or fix its permissions"
    return HiSTalkError(f"The ledger '{path}' cannot be written ({why}): {fix}.")


def _code(error: Exception) -> int | None:
    """SQLite's own, without the part that says more."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def clean_row(row: dict) -> dict:
    """A row of `jobs` with values of the right kinds; what stands in it and is none is as if it were not known."""
    out = row | {key: _text(row[key]) for key in ("audio", "error", "input", "model")}
    out["name"] = row["name"] if isinstance(row["name"], str) else _text(row["name"])
    out |= {key: whole(row[key]) for key in ("row", "attempts")}
    out |= {key: _number(row[key], 0.0, LAST) for key in ("seconds", "decode_s", "network_s", "write_s", "finished")}
    out["settings"] = _parsed(row["settings"], dict)
    out["remarks"] = [_text(remark) for remark in _parsed(row["remarks"], list)]
    out["outputs"] = clean_outputs(row["outputs"])
    known = row["state"] in STATES and (row["state"] != "done" or out["outputs"])
    out["state"] = row["state"] if known else "waiting"  # done without a file of it is not done
    return out


def clean_outputs(told: object) -> list[dict]:
    """A ledger's outputs; none where one of them is no file below the folder."""
    outputs = _parsed(told, list)
    for output in outputs:
        if not isinstance(output, dict) or not isinstance(path := output.get("path"), str) or not path:
            return []
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path or "\\" in path:
            return []
        if type(output.get("bytes")) is not int or output["bytes"] < 0 or not isinstance(output.get("sha256"), str):
            return []
    return outputs


def _parsed(text: object, kind: type):
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()


def _text(value: object) -> str:
    return "" if value is None else printable(value, 4096)


def whole(value: object) -> int:
    """A whole number; 0 in place of what is none."""
    return value if type(value) is int else 0


def _number(value: object, low: float, high: float) -> float | None:
    good = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
    return value if good else None
