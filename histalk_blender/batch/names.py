"""Names of outputs: which are allowed, and that no two outputs, nor an input and an output, are the same file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from ..errors import HiSTalkError
from ..files import path_key
from ..runtime.output import printable

LEDGER = "histalk.sqlite"
OWN_FILES = (LEDGER, "report.html", "report.csv")
OWN_FOLDERS = ("report", "ledgers")
LEDGER_SUFFIXES = ("", "-journal", "-wal", "-shm", ".lock")  # of the ledger and the files beside it
MOST_CHARACTERS = 200  # of a name
MOST_BYTES = 230  # of one of its parts; file systems end at 255, suffix included
# Windows refuses these, or they lead out of the folder.
FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*\\\ud800-\udfff]|^/|(^|/)\.|[. ](/|$)|/$')
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)


def clean_name(text: str) -> str:
    """A name of outputs without doubled slashes, so that all rows spell it the same.

    Raises:
        ValueError: some file system would refuse or change it, or it leads out of the output folder.
    """
    parts = [part for part in text.split("/") if part]
    if not parts or FORBIDDEN.search(text) or len(text) > MOST_CHARACTERS:
        raise ValueError
    if any(DEVICES.fullmatch(part) or len(part.encode()) > MOST_BYTES for part in parts):
        raise ValueError
    return "/".join(parts)


def row_label(row: int, text: str) -> str:
    """The ledger's name for a row whose own name cannot be used: with a colon, which no name of outputs has."""
    return f"row {row}: {printable(text, 80)}" if text else f"row {row}:"


def row_of_label(name: str) -> int | None:
    """The row of a `row_label`; None for a name of outputs."""
    found = re.match(r"row (\d+):", str(name))
    return int(found[1]) if found else None


def real_path(path: Path) -> Path:
    """A path with links resolved; unchanged if they form a loop or it is no valid path."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path.absolute()


def output_path(folder: Path, file: str) -> Path:
    """The path of a file below the output folder; the folders between are created.

    Raises:
        HiSTalkError: it lies elsewhere by a link, or a folder is in its place.
    """
    path = folder / file
    if not real_path(path.parent).is_relative_to(real_path(folder)):
        raise HiSTalkError(f"'{path}' lies outside of '{folder}' by a link: remove the link.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        for place in path.parents:
            if os.path.lexists(place) and not place.is_dir():
                fix = "remove it, or change the 'name'"
                raise HiSTalkError(f"'{place}' is a file where '{file}' needs a folder: {fix}.") from error
        raise HiSTalkError(f"The folder '{path.parent}' cannot be made ({error.strerror}): fix that.") from error
    if path.is_dir() and not path.is_symlink():
        raise HiSTalkError(f"'{path}' is a folder where a file is to be written: remove it, or change the 'name'.")
    return path


class Claims:
    """Which row writes which file below the output folder."""

    def __init__(self, out: Path | None, inputs: Iterable[Path], ledger: Path | None = None):
        """Args:
        out: the output folder; None = not known, so that only names are compared.
        inputs: files that must stay as they are.
        ledger: where it is not in `out`.
        """
        self._real = cache(real_path)
        self._out = None if out is None else self._real(out)
        self._files: dict[str, str] = {}  # key -> who writes it
        self._folders: dict[str, str] = {}  # key -> who has files in it
        for own in OWN_FILES:
            for side in LEDGER_SUFFIXES if own == LEDGER else ("",):
                self._files[path_key(own + side)] = "the batch itself"
        self._files |= {path_key(own): "the batch itself" for own in OWN_FOLDERS}
        for path in inputs:
            self._protect(path, "which is one of its inputs")
        if ledger is not None:
            for side in LEDGER_SUFFIXES:
                self._protect(ledger.with_name(ledger.name + side), "which is its ledger")

    def _protect(self, path: Path, what: str) -> None:
        if self._out is None:
            return
        place = self._real(path.parent) / path.name
        if place.is_relative_to(self._out):
            self._files.setdefault(path_key(place.relative_to(self._out).as_posix()), what)

    def claim(self, row: int, files: Iterable[str]) -> str:
        """Claim a row's files; if one is taken, claim none and return the sentence that says so, else ""."""
        keys, folders = [], []
        for file in files:
            place = self._place(file)
            if place is None:
                return f"'{file}' lies outside of the output folder by a link: remove the link."
            keys.append(path_key(place))
            above = [path_key(str(parent)) for parent in PurePosixPath(place).parents]
            folders += above[:-1]  # the last is the output folder itself
            same = self._files.get(keys[-1])
            owner = same or self._folders.get(keys[-1])
            owner = owner or next((self._files[parent] for parent in above if parent in self._files), None)
            if owner is None:
                continue
            if owner.startswith("which"):
                return f"It would overwrite '{file}', {owner}: give it another 'name', or the batch another --out."
            if owner.startswith("Row"):
                does = "writes it too" if same else "has a file or a folder in its way"
                return f"'{file}' cannot be written, as {owner.lower()} {does}: give each its own 'name'."
            return f"'{file}' is used by the batch itself: give it another 'name'."
        self._files |= dict.fromkeys(keys, f"Row {row}")
        self._folders |= dict.fromkeys(folders, f"Row {row}")
        return ""

    def _place(self, file: str) -> str | None:
        """A file's path below the output folder with links resolved; None if it lies elsewhere."""
        if self._out is None:
            return file
        path = self._out / file
        real = self._real(path.parent) / path.name
        return real.relative_to(self._out).as_posix() if real.is_relative_to(self._out) else None
