"""Reading the rows of a manifest: whatever is wrong with a row becomes its own error and stops no other row."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..bake.kinds import KINDS, kind_named, kind_options
from ..bake.mapping import read_mapping
from ..errors import HiSTalkError
from ..files import open_regular
from ..motion.style import Style
from ..runtime.output import printable
from ..settings import Setting, settings_of
from .columns import COLUMNS, NAMES, RENAMED, TEXTS
from .job import Job
from .names import clean_name, row_label
from .output_kinds import output_kind
from .tables import SURPLUS, Row, Unreadable


def why_unknown(column: str) -> str:
    """The column's name and what is wrong with it, to follow "has a column"; "" if nothing is."""
    if column in NAMES:
        return ""
    if column in RENAMED:
        return f"'{column}', which is called '{RENAMED[column]}' now: rename it."
    near = difflib.get_close_matches(column, NAMES, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"columns are {', '.join(NAMES)}."
    return f"'{printable(column, 40)}': {hint}"


class RowReader:
    """Reads the rows of one manifest.

    linked: symbolic links in the folders of the files that rows name.
    """

    def __init__(self, folder: Path, defaults: Job):
        """Create a reader.

        Args:
            folder: paths in rows are relative to it.
            defaults: of what a row leaves out.
        """
        self.folder, self.defaults = folder, defaults
        self._files: dict[Path, set[str]] = {}
        self.linked: set[Path] = set()

    def read(self, number: int, row: Row) -> Job:
        """The job of a row; if it cannot be done, with its `problems`."""
        try:
            if isinstance(row, Unreadable):
                raise HiSTalkError(row)
            return self._job(number, row)
        except Exception as error:  # expected or not, it concerns this row only
            problem = isinstance(error, HiSTalkError) and str(error)
            problem = problem or f"It cannot be read ({printable(error, 120)}): fix the row."
            return replace(self.defaults, row=number, name=row_label(number, ""), problems=(problem,))

    def _job(self, number: int, row: dict) -> Job:
        problems: list[str] = []
        if row.get(SURPLUS):
            problems.append("It has more cells than the header: quote cells that contain the separator.")
        problems += [f"It has a column {why}" for why in map(why_unknown, sorted(row.keys() - {SURPLUS})) if why]
        texts, values, base = _texts(row, problems), _values(row, problems), self.defaults
        style = replace(base.style, **_those_of(settings_of(Style), values))
        options = {**base.options, **_those_of(kind_options(), values)}
        audio, shot, mapping = self._paths(texts, problems)
        if shot and "fps" in values:
            problems.append("'fps' does not go with 'shot', which has a rate of its own: leave it out.")
        if not shot and texts.get("object"):
            problems.append(f"'{printable(texts['object'], 80)}' is in no .blend: fill in 'shot'.")
        job = replace(
            base,
            row=number,
            name=_name(number, row, texts, problems),
            audio=audio,
            shot=shot,
            object=texts.get("object") or base.object,
            mapping=mapping,
            style=style,
            options=options,
            **values,
        )
        return replace(job, bake=_kind(job, problems), problems=tuple(problems))

    def _paths(self, texts: dict[str, str], problems: list[str]) -> tuple[Path, Path | None, Mapping[str, str | None]]:
        """The sound, the shot and the mapping that is read from its file."""
        audio = self.folder / texts["audio"] if texts.get("audio") else Path()
        shot = self.folder / texts["shot"] if texts.get("shot") else self.defaults.shot
        mapping = self.defaults.mapping
        if texts.get("audio") == "":
            problems.append("It names no sound: fill in 'audio'.")
        elif "audio" in texts and (why := self._why_missing(audio)):
            problems.append(f"No audio file at '{printable(audio)}' ({why}): check the path.")
        if shot and (why := self._why_missing(shot)):
            problems.append(f"No .blend at '{printable(shot)}' ({why}): check the path.")
        if texts.get("mapping"):
            try:
                mapping = read_mapping(self.folder / texts["mapping"])
            except HiSTalkError as error:
                problems.append(str(error))
        return audio, shot, mapping

    def _why_missing(self, path: Path) -> str:
        """Why no file can be opened at a path; "" if one can.

        Each folder is listed once, as thousands of files lie in few folders, maybe on a slow disk.
        """
        folder = path.parent
        if folder not in self._files:
            try:
                entries = list(os.scandir(folder))
                self._files[folder] = {entry.name for entry in entries if entry.is_file()}
                self.linked |= {folder / entry.name for entry in entries if entry.is_symlink()}
            except (OSError, ValueError):
                self._files[folder] = set()
        if path.name in self._files[folder]:
            return ""
        try:
            open_regular(path).close()
        except OSError as error:
            return error.strerror or str(error)
        return ""


def _texts(row: dict, problems: list[str]) -> dict[str, str]:
    texts = {}
    for name in TEXTS:
        value = row.get(name, "")
        if not isinstance(value, str):
            problems.append(f"'{name}' is {printable(value, 60)}: write text.")
        elif not _is_text(value):
            problems.append(f"'{name}' is '{printable(value, 80)}', which is not UTF-8: rename it.")
        else:
            texts[name] = value
    return texts


def _values(row: dict, problems: list[str]) -> dict:
    """The values of the cells that are filled in, by column."""
    values = {}
    for name, read in COLUMNS.items():
        cell = row.get(name, "")
        if cell == "":
            continue
        try:
            values[name] = read(cell)
        except ValueError as error:
            problems.append(f"'{name}' is '{printable(cell, 60)}': write {error}.")
    return values


def _those_of(settings: tuple[Setting, ...], values: dict) -> dict:
    """Remove the values of these settings from all values, and return them."""
    return {setting.name: values.pop(setting.name) for setting in settings if setting.name in values}


def _name(number: int, row: dict, texts: dict[str, str], problems: list[str]) -> str:
    """The outputs' name: the row's, else the recording's."""
    name = texts.get("name") or _stem(texts.get("audio") or "")
    try:
        return clean_name(name)
    except ValueError:
        if name:
            fix = "use letters, digits, - and _, and / for folders"
            problems.append(f"'{printable(name, 80)}' cannot be the name of outputs: {fix}.")
        return row_label(number, name or str(row.get("audio", "")))


def _kind(job: Job, problems: list[str]) -> str:
    """The kind of bake: the row's, else the first that all outputs can play."""
    morphs = [name for name in job.outputs if output_kind(name).arkit_format]
    able = [kind for kind in KINDS if kind.exports_morphs or not morphs]
    name = job.bake or able[0].name
    if kind_named(name) not in able:
        formats = " and ".join(output_kind(name).arkit_format for name in morphs)
        plays = f"{formats} play{'s' if len(morphs) == 1 else ''} {' or '.join(kind.label for kind in able)}"
        needs = " or ".join(kind.name for kind in able)
        problems.append(f"{plays}: {' and '.join(map(repr, morphs))} needs 'bake' to be {needs}, or left out.")
    return name


def _is_text(value: str) -> bool:
    """Whether it holds whole characters only: bytes of a file name that are not UTF-8 come as halves of some."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _stem(audio: str) -> str:
    """A recording's path without its suffix; only its name if it lies outside of the manifest's folder."""
    if not audio:
        return ""
    path = PurePosixPath(audio.replace("\\", "/"))
    path = path.with_suffix("") if path.name else path
    return path.name if path.is_absolute() or ".." in path.parts or ":" in str(path) else str(path)
