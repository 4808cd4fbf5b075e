"""The rows of a manifest before they are checked: of a table, of lines of JSON, or of a folder of recordings."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import HiSTalkError
from ..files import open_regular, path_key
from ..runtime.output import printable
from .folder import search_folder

LARGEST = 256 << 20  # bytes of a manifest
SURPLUS = ""  # column of cells without a heading


class Unreadable(str):
    """In place of a row that cannot be read: a sentence with the reason."""


Row = dict | Unreadable


def read_table(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a .csv (comma, semicolon or tab) or a .jsonl, column -> cell, and the columns that it has.

    A row ends at a line feed and nowhere else, so that a broken one affects no other. Empty rows are left out.

    Raises:
        HiSTalkError: it cannot be read, its first line is no heading, or none of its lines is a JSON object.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise HiSTalkError(f"'{path}' must be a .csv, a .jsonl or a folder of sounds.")
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be read ({error.strerror}): check the path.") from error
    if len(data) > LARGEST:
        raise HiSTalkError(f"'{path}' has more than {LARGEST >> 20} MB, the limit of a manifest: split it.")
    lines = enumerate(data.split(b"\n"), 1)
    return _csv(path, lines) if path.suffix.lower() == ".csv" else _jsonl(path, lines)


def read_folder(path: Path, out: Path | None) -> list[Row]:
    """A row for each recording below a folder, sorted; `out` is not searched.

    Two formats of one clip would write the same files, so their outputs' names keep the suffix.
    """
    found = search_folder(path, out).sounds
    names = {audio: str(PurePosixPath(audio).with_suffix("")) for audio in found}
    while True:
        count = Counter(path_key(name) for name in names.values())
        twice = [audio for audio, name in names.items() if count[path_key(name)] > 1 and name != audio]
        if not twice:
            return [{"audio": audio, "name": name} for audio, name in names.items()]
        names |= {audio: audio for audio in twice}


def _csv(path: Path, lines: Iterator[tuple[int, bytes]]) -> tuple[list[Row], list[str]]:
    number, first = next(lines)
    try:
        head = first.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HiSTalkError(f"'{path}' is not UTF-8 (byte {error.start}): save it as UTF-8.") from error
    delimiter = max(",;\t", key=head.count)
    try:
        names = [name.strip().lower() for name in _cells(head, delimiter)]
    except csv.Error as error:
        raise HiSTalkError(f"'{path}', line {number}: {error}; fix the line.") from error
    twice = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if twice:
        raise HiSTalkError(f"'{path}' has the column '{printable(twice[0], 40)}' twice: leave one.")
    rows: list[Row] = []
    for number, line in lines:
        try:
            cells = [cell.strip() for cell in _cells(line.decode("utf-8"), delimiter)]
        except UnicodeDecodeError as error:
            rows.append(Unreadable(f"Line {number} is not UTF-8 (byte {error.start}): save the manifest as UTF-8."))
        except csv.Error as error:
            rows.append(Unreadable(f"Line {number} is no row of a table ({error}): fix its quotes."))
        else:
            if any(cells):
                surplus = [cell for i, cell in enumerate(cells) if i >= len(names) or not names[i]]
                row = {name: cell for name, cell in zip(names, cells) if name}
                rows.append(row | ({SURPLUS: "more cells"} if any(surplus) else {}))
    return rows, [name for name in names if name]


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line, in which all quotes must be closed."""
    return next(csv.reader([line.removesuffix("\r")], delimiter=delimiter, skipinitialspace=True, strict=True), [])


def _jsonl(path: Path, lines: Iterator[tuple[int, bytes]]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    for number, line in lines:
        try:
            text = line.decode("utf-8").removeprefix("\ufeff").strip(" \t\r")
            if text:
                rows.append(_object(json.loads(text, object_pairs_hook=_Pairs)))
        except UnicodeDecodeError as error:
            rows.append(Unreadable(f"Line {number} is not UTF-8 (byte {error.start}): save the manifest as UTF-8."))
        except (ValueError, RecursionError, TypeError) as error:
            rows.append(Unreadable(f"Line {number} is no row of JSON ({printable(error, 120)}): fix the line."))
    if rows and all(isinstance(row, Unreadable) for row in rows):
        raise HiSTalkError(f"'{path}' has no row that can be read: {rows[0][0].lower()}{rows[0][1:]}")
    return rows, sorted({name for row in rows if isinstance(row, dict) for name in row})


class _Pairs(list):
    """The names and values of a JSON object, duplicates included."""


def _object(value: object) -> dict:
    if not isinstance(value, _Pairs):
        raise TypeError('it is no object, as {"audio": "clip.wav"} is')
    row: dict = {}
    for name, cell in value:
        name = name.strip().lower()
        if name in row:
            raise ValueError(f"it has '{printable(name, 40)}' twice")
        row[name] = cell
    return {name: cell for name, cell in row.items() if cell is not None}
