"""What outputs may be called, and that no two of them, nor an input and an output, are one file on any file system."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from ..errors import HiSTalkError
from ..files import key_of
from ..runtime.output import printable

LEDGER = "histalk.sqlite"
OWN_FILES = (LEDGER, "report.html", "report.csv")
OWN_FOLDERS = ("report", "ledgers")
LEDGER_SUFFIXES = ("", "-journal", "-wal", "-shm", ".lock")  # of the ledger and the files beside it
LONGEST, WIDEST = 200, 230  # characters of a name, bytes of one of its parts: file systems end at 255, suffix included
# Windows refuses these, or they lead astray.
UNFIT = re.compile(r'[\x00-\x1f<>:"|?*\\\ud800-\udfff]|^/|(^|/)\.|[. ](/|$)|/$')
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)


def clean_name(text: str) -> str:
    """A name of outputs as all rows spell it: without doubled slashes.

    Raises:
        ValueError: a file system somewhere would refuse it or change it, or it leads out of the output folder.
    """
    parts = [part for part in text.split("/") if part]
    if not parts or UNFIT.search(text) or len(text) > LONGEST:
        raise ValueError
    if any(DEVICES.fullmatch(part) or len(part.encode()) > WIDEST for part in parts):
        raise ValueError
    return "/".join(parts)


def label(row: int, text: str) -> str:
    """What the ledger calls a row whose name cannot be used: with a colon, as no name of outputs has."""
    return f"row {row}: {printable(text, 80)}" if text else f"row {row}:"


def labelled(name: str) -> int | None:
    """The row that a `label` is of; None for a name of outputs."""
    found = re.match(r"row (\d+):", str(name))
    return int(found[1]) if found else None


def real_path(path: Path) -> Path:
    """A path without links; where they run in circles or it is none, as it stands."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path.absolute()


def place_in(folder: Path, file: str) -> Path:
    """Where a file goes below a folder; the folders between are made.

    Raises:
        HiSTalkError: a link leads it elsewhere, or something else has its place.
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
    """Who writes which file below the output folder."""

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
                self._files[key_of(own + side)] = "the batch itself"
        self._files |= {key_of(own): "the batch itself" for own in OWN_FOLDERS}
        for path in inputs:
            self._protect(path, "which is one of its inputs")
        for side in LEDGER_SUFFIXES if ledger is not None else ():
            self._protect(ledger.with_name(ledger.name + side), "which is its ledger")

    def _protect(self, path: Path, what: str) -> None:
        if self._out is None:
            return
        place = self._real(path.parent) / path.name
        if place.is_relative_to(self._out):
            self._files.setdefault(key_of(place.relative_to(self._out).as_posix()), what)

    def take(self, row: int, files: Iterable[str]) -> str:
        """Claim a row's files; a sentence where one is somebody else's, and then none is claimed."""
        keys, folders = [], []
        for file in files:
            place = self._place(file)
            if place is None:
                return f"'{file}' lies outside of the output folder by a link: remove the link."
            keys.append(key_of(place))
            above = [key_of(str(parent)) for parent in PurePosixPath(place).parents]
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
            return f"'{file}' is a place of the batch itself: give it another 'name'."
        self._files |= dict.fromkeys(keys, f"Row {row}")
        self._folders |= dict.fromkeys(folders, f"Row {row}")
        return ""

    def _place(self, file: str) -> str | None:
        """Below the output folder, links to folders looked through; None where it lies elsewhere."""
        if self._out is None:
            return file
        path = self._out / file
        real = self._real(path.parent) / path.name
        return real.relative_to(self._out).as_posix() if real.is_relative_to(self._out) else None
