"""What a batch is to do: a table of clips, or a folder of them, read and checked all at once."""

from __future__ import annotations

import csv
import difflib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath

from ..channels import FORM, MIX, read_channel
from ..errors import HiSTalkError
from ..style import Style
from .folder import search_folder

OUTPUTS = ("blend", "pc2", "mdd", "abc", "usd", "glb", "fbx", "livelink", "npz", "mp4")
MORPHS = ("glb", "fbx")  # which play ARKit curves
BAKES = ("cache", "keys", "basis", "arkit")
STYLE = tuple(item.name for item in fields(Style))
UNFIT = re.compile(r'[\x00-\x1f<>:"|?*\\]|(^|/)\.|[. ](/|$)')  # in a name: Windows refuses these, or they lead astray


@dataclass(frozen=True)
class Job:
    """One clip and what is wanted of it; what a row leaves out has the default of the batch.

    fps: frames a second of the outputs; None = the .blend's own, or 30. start: frame where speech begins.
    tolerance: millimetres, for basis keys. style: smoothing and delay in seconds.
    """

    row: int = 0  # in the manifest, from 1; the header of a .csv does not count
    name: str = ""  # of the outputs, below the output folder, without a suffix
    audio: Path = Path()
    blend: Path | None = None  # whose `object` is baked on; None = the bundled head in a scene of its own
    object: str = ""  # "" = the only head there is
    start: int = 1
    fps: float | None = None
    bake: str = ""  # "" = arkit where a glb or fbx is wanted, else basis
    tolerance: float = 0.1
    outputs: tuple[str, ...] = ("pc2",)
    channel: str = MIX  # of the sound, see `channels.read_channel`
    style: Style = Style()
    problems: tuple[str, ...] = field(default=(), compare=False)  # what is wrong with the row; then nothing is done

    def settings(self) -> dict:
        """Everything but the sound and the .blend that decides what the outputs hold, for the ledger."""
        style = {name: getattr(self.style, name) for name in STYLE}
        own = {name: getattr(self, name) for name in ("object", "start", "fps", "bake", "tolerance")}
        if self.channel != MIX:  # else as in ledgers that were written before there was a choice
            own["channel"] = self.channel
        return own | {"outputs": list(self.outputs), "on": "a .blend" if self.blend else "the bundled head"} | style


def _number(text: object) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _ranged(low: float, high: float, unit: str = ""):
    def read(text: object) -> float:
        value = _number(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read, f"a number from {low:g} to {high:g}{unit}"


def _choice(text: object) -> str:
    if str(text) not in BAKES:
        raise ValueError
    return str(text)


def _frame(text: object) -> int:
    value = _number(text)
    if value != round(value) or abs(value) > 1_000_000:
        raise ValueError
    return int(value)


def read_outputs(text: object) -> tuple[str, ...]:
    """Kinds of output in `OUTPUTS`' order, from a list or from words with blanks, commas, semicolons or plus signs between.

    Raises:
        ValueError: there are none, or one is unknown.
    """
    names = {str(word).lower() for word in (text if isinstance(text, list) else re.split(r"[\s,;+]+", str(text))) if word}
    if not names or not names <= set(OUTPUTS):
        raise ValueError
    return tuple(name for name in OUTPUTS if name in names)


# Column -> what reads a cell, and what it should have been.
COLUMNS = {
    "start": (_frame, "a whole frame number"),
    "fps": _ranged(1, 240, " frames a second"),
    "bake": (_choice, f"one of {', '.join(BAKES)}"),
    "tolerance": _ranged(0.001, 10, " mm"),
    "outputs": (read_outputs, f"some of {', '.join(OUTPUTS)}"),
    "channel": (read_channel, FORM),
    "lips": _ranged(0, 2),
    "jaw": _ranged(0, 2),
    "upper_face": _ranged(0, 2),
    "smoothing": _ranged(0, 0.5, " s"),
    "delay": _ranged(-0.5, 0.5, " s"),
}
NAMES = ("audio", "name", "blend", "object", *COLUMNS)


def read_manifest(path: Path, defaults: Job, out: Path | None = None) -> list[Job]:
    """Every row as a job; what is wrong with a row stands in its `problems`, so that it stops no other.

    Args:
        path: .csv (comma, semicolon or tab), .jsonl, or a folder, of whose sounds each becomes a row, in order of names.
        defaults: of what a row leaves out.
        out: where the batch writes, which is not searched for sounds.

    Raises:
        HiSTalkError: it cannot be read at all, holds nothing, or a column is not known.
    """
    path = Path(path)
    if path.is_dir():
        rows, base = _folder(path, out), path
    else:
        rows, base = _table(path), path.parent
    if not rows:
        raise HiSTalkError(f"'{path}' names no clips: {'put sounds into it' if path.is_dir() else 'add rows to it'}.")
    _check_columns(path, rows)
    exists = _Seen()
    jobs = [_job(number, row, base, defaults, exists) for number, row in enumerate(rows, 1)]
    return _unique(jobs)


def _folder(path: Path, out: Path | None) -> list[dict]:
    found = search_folder(path, out).sounds
    stems = [str(PurePosixPath(name).with_suffix("")).casefold() for name in found]
    # Two formats of one clip would write the same files.
    twice = {stem for stem, count in Counter(stems).items() if count > 1}
    return [
        {"audio": name, "name": name if stem in twice else str(PurePosixPath(name).with_suffix(""))}
        for name, stem in zip(found, stems)
    ]


def _table(path: Path) -> list[dict]:
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise HiSTalkError(f"'{path}' must be a .csv, a .jsonl or a folder of sounds.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be read ({error.strerror}): check the path.") from error
    except UnicodeDecodeError as error:
        raise HiSTalkError(f"'{path}' is not UTF-8 (byte {error.start}): save it as UTF-8.") from error
    return _csv(path, text) if path.suffix.lower() == ".csv" else _jsonl(path, text)


def _csv(path: Path, text: str) -> list[dict]:
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=head.count), skipinitialspace=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise HiSTalkError(f"'{path}', line {reader.line_num}: {error}; mend the line.") from error
    return [
        {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key is not None}
        | ({"": "more cells"} if None in row else {})
        for row in rows
        if any(row.values())
    ]


def _jsonl(path: Path, text: str) -> list[dict]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise HiSTalkError(f"'{path}', line {number} is no JSON ({error}): mend the line.") from error
        if not isinstance(row, dict):
            raise HiSTalkError(f"'{path}', line {number} is no JSON object: write {{\"audio\": \"clip.wav\"}}.")
        rows.append({str(key).lower(): value for key, value in row.items() if value is not None})
    return rows


def _check_columns(path: Path, rows: list[dict]) -> None:
    if path.is_dir():
        return
    known = {key for row in rows for key in row} - {""}
    for key in sorted(known - set(NAMES)):
        near = difflib.get_close_matches(key, NAMES, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"columns are {', '.join(NAMES)}."
        raise HiSTalkError(f"'{path}' has a column '{key}': {hint}")
    if "audio" not in known:
        raise HiSTalkError(f"'{path}' has no column 'audio': name each row's sound in it.")


class _Seen:
    """Whether files exist, a folder at a time: thousands lie in few folders, maybe on a slow disk."""

    def __init__(self):
        self.folders: dict[Path, set[str]] = {}

    def __call__(self, path: Path) -> bool:
        folder = path.parent
        if folder not in self.folders:
            try:
                self.folders[folder] = {entry.name for entry in os.scandir(folder) if entry.is_file()}
            except OSError:
                self.folders[folder] = set()
        return path.name in self.folders[folder] or path.is_file()


def _job(number: int, row: dict, base: Path, defaults: Job, exists: _Seen) -> Job:
    problems, values, style = [], {}, {}
    if "" in row:
        problems.append("It has more cells than the header: quote what holds the separator.")
    for name in ("audio", "name", "blend", "object"):
        if not isinstance(row.get(name, ""), str):
            problems.append(f"'{name}' is {row[name]!r}: write text.")
    given = {name: row[name] for name in ("audio", "name", "blend", "object") if isinstance(row.get(name), str)}
    audio = base / given["audio"] if given.get("audio") else Path()
    blend = base / given["blend"] if given.get("blend") else defaults.blend
    for name, (read, wanted) in COLUMNS.items():
        if row.get(name, "") == "":
            continue
        try:
            (style if name in STYLE else values)[name] = read(row[name])
        except (TypeError, ValueError):
            problems.append(f"'{name}' is '{row[name]}': write {wanted}.")
    if not given.get("audio"):
        problems.append("It names no sound: fill in 'audio'.")
    elif not exists(audio):
        problems.append(f"No audio file at '{audio}': check the path.")
    if blend and not exists(blend):
        problems.append(f"No .blend at '{blend}': check the path.")
    name = given.get("name") or (_stem(given["audio"]) if given.get("audio") else f"row {number}")
    if not name or UNFIT.search(name) or PurePosixPath(name).is_absolute() or len(name) > 200:
        problems.append(f"'{name}' cannot be the name of outputs: use letters, digits, - and _, and / for folders.")
        name = f"row {number}"
    job = replace(
        defaults, row=number, name=name, audio=audio, blend=blend, object=given.get("object") or defaults.object,
        style=replace(defaults.style, **style), **values,
    )  # fmt: skip
    if blend and "fps" in values:
        problems.append("'fps' does not go with 'blend', which has a rate of its own: leave it out.")
    if not blend and given.get("object"):
        problems.append(f"'{given['object']}' is in no .blend: fill in 'blend'.")
    morphs = [name for name in MORPHS if name in job.outputs]
    kind = job.bake or ("arkit" if morphs else "basis")
    if morphs and kind != "arkit":
        formats = " and ".join({"glb": "glTF", "fbx": "FBX"}[name] for name in morphs)
        plays = f"{formats} play{'s' if len(morphs) == 1 else ''} ARKit curves"
        problems.append(f"{plays}: {' and '.join(map(repr, morphs))} needs 'bake' to be arkit, or left out.")
    return replace(job, bake=kind, problems=tuple(problems))


def _stem(audio: str) -> str:
    """A sound's own name; one that lies elsewhere gives no folders."""
    path = PurePosixPath(audio.replace("\\", "/"))
    path = path.with_suffix("") if path.name else path
    return path.name if path.is_absolute() or ".." in path.parts or ":" in str(path) else str(path)


def _unique(jobs: Iterable[Job]) -> list[Job]:
    """Two rows may not write the same files, not even where capitals do not count."""
    first: dict[str, int] = {}
    out = []
    for job in jobs:
        taken = first.setdefault(job.name.casefold(), job.row)
        if taken != job.row:
            sentence = f"Row {taken} has the name '{job.name}' already: give each its own 'name'."
            job = replace(job, problems=(*job.problems, sentence), name=f"{job.name} (row {job.row})")
        out.append(job)
    return out
