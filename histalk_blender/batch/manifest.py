"""What a batch is to do: a table of clips, or a folder of them, read and checked all at once."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath

from ..audio.channels import FORM, MIX, read_channel
from ..bake.kinds import kind_named
from ..errors import HiSTalkError
from ..files import key_of, open_regular
from ..motion.style import Style
from ..runtime.output import printable
from .names import Claims, clean_name, label, real_path
from .output_kinds import output_kind, output_names, read_outputs
from .tables import SURPLUS, Row, Unreadable, read_folder, read_table

BAKES = ("cache", "keys", "basis", "arkit")
STYLE = tuple(item.name for item in fields(Style))
TEXTS = ("audio", "name", "blend", "object")


@dataclass(frozen=True)
class Job:
    """One clip and what is wanted of it; what a row leaves out has the default of the batch.

    fps: frames a second of the outputs; None = the .blend's own, or 30. start: frame where speech begins.
    tolerance: millimetres on a human-sized head, for basis keys. style: smoothing and delay in seconds.
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
    discard_edits: bool = False  # replace an earlier bake of the .blend's though it was changed by hand
    problems: tuple[str, ...] = field(default=(), compare=False)  # what is wrong with the row; then nothing is done

    @property
    def is_baked(self) -> bool:
        """Whether an output is made of a baked head, and not of the motion alone."""
        return any(output_kind(name).needs_blender for name in self.outputs)

    @property
    def baked_output(self) -> str:
        """The kind of output that the bake itself writes; "" for none."""
        return kind_named(self.bake).output if self.bake and self.is_baked else ""

    @property
    def needs_blender(self) -> bool:
        """Whether Blender's module must be there."""
        return self.is_baked or self.blend is not None

    def files(self) -> dict[str, str]:
        """Kind -> the file of it, below the output folder; also the cache that a .blend or an export plays."""
        names = dict.fromkeys([*self.outputs, *filter(None, [self.baked_output])])
        return {name: self.name + output_kind(name).suffix for name in names}

    def pictures(self) -> tuple[str, str]:
        """The report's two of this clip, below the folder of pictures."""
        return f"{self.name}.png", f"{self.name}.svg"

    def settings(self) -> dict:
        """Everything but the sound and the .blend that decides what the outputs hold, for the ledger."""
        style = {name: getattr(self.style, name) for name in STYLE}
        own = {name: getattr(self, name) for name in ("object", "start", "fps", "bake", "tolerance")}
        if self.channel != MIX:  # else as in ledgers that were written before there was a choice
            own["channel"] = self.channel
        return own | {"outputs": list(self.outputs), "on": "a .blend" if self.blend else "the bundled head"} | style


def _number(text: object) -> float:
    if isinstance(text, bool):
        raise TypeError
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


# Column -> what reads a cell, and what it should have been.
COLUMNS = {
    "start": (_frame, "a whole frame number"),
    "fps": _ranged(1, 240, " frames a second"),
    "bake": (_choice, f"one of {', '.join(BAKES)}"),
    "tolerance": _ranged(0.001, 10, " mm"),
    "outputs": (read_outputs, f"some of {', '.join(output_names())}"),
    "channel": (read_channel, FORM),
    "lips": _ranged(0, 2),
    "jaw": _ranged(0, 2),
    "upper_face": _ranged(0, 2),
    "smoothing": _ranged(0, 0.5, " s"),
    "delay": _ranged(-0.5, 0.5, " s"),
}
NAMES = (*TEXTS, *COLUMNS)


def read_manifest(
    path: Path, defaults: Job, out: Path | None = None, keep: Iterable[Path] = (), ledger: Path | None = None
) -> list[Job]:
    """Every row as a job; what is wrong with a row stands in its `problems`, so that it stops no other.

    Args:
        path: .csv (comma, semicolon or tab), .jsonl, or a folder, of whose sounds each becomes a row, in order of names.
        defaults: of what a row leaves out.
        out: the output folder, which is not searched for sounds, and in which no input may be overwritten.
        keep: further inputs, beside the manifest and what its rows name.
        ledger: where it is not in `out`.

    Raises:
        HiSTalkError: it cannot be read at all, holds nothing, or a column is not known.
    """
    path = Path(path)
    if path.is_dir():
        rows, columns, base = read_folder(path, out), ["audio"], path
    else:
        (rows, columns), base = read_table(path), path.parent
    if not rows:
        raise HiSTalkError(f"'{path}' names no clips: {'put sounds into it' if path.is_dir() else 'add rows to it'}.")
    if "audio" not in columns:
        raise HiSTalkError(f"'{path}' has no column 'audio': name each row's sound in it.")
    if path.suffix.lower() == ".csv" and (unknown := [why for why in map(_why_unknown, columns) if why]):
        raise HiSTalkError(f"'{path}' has a column {unknown[0]}")
    exists = _Seen()
    jobs = [_gate(number, row, base, defaults, exists) for number, row in enumerate(rows, 1)]
    inputs = {path, *keep, *(job.audio for job in jobs), *(job.blend for job in jobs if job.blend)}
    inputs |= {real_path(link) for link in exists.links & inputs}
    return _unique(jobs, Claims(out, inputs, ledger))


def _why_unknown(column: str) -> str:
    if column in NAMES:
        return ""
    near = difflib.get_close_matches(column, NAMES, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"columns are {', '.join(NAMES)}."
    return f"'{printable(column, 40)}': {hint}"


class _Seen:
    """Whether files exist, a folder at a time: thousands lie in few folders, maybe on a slow disk."""

    def __init__(self):
        self.folders: dict[Path, set[str]] = {}
        self.links: set[Path] = set()  # among what was seen

    def why_not(self, path: Path) -> str:
        """Why there is no file to be opened at a path; "" where there is one."""
        folder = path.parent
        if folder not in self.folders:
            try:
                entries = list(os.scandir(folder))
                self.folders[folder] = {entry.name for entry in entries if entry.is_file()}
                self.links |= {folder / entry.name for entry in entries if entry.is_symlink()}
            except (OSError, ValueError):
                self.folders[folder] = set()
        if path.name in self.folders[folder]:
            return ""
        try:
            open_regular(path).close()
        except OSError as error:
            return error.strerror or str(error)
        return ""


def _gate(number: int, row: Row, base: Path, defaults: Job, exists: _Seen) -> Job:
    """A row as a job: the one place where whatever is wrong with it, foreseen or not, becomes its own sentence."""
    try:
        if isinstance(row, Unreadable):
            raise HiSTalkError(row)
        return _job(number, row, base, defaults, exists)
    except Exception as error:
        said = isinstance(error, HiSTalkError) and str(error)
        said = said or f"It cannot be read ({printable(error, 120)}): fix the row."
        return replace(defaults, row=number, name=label(number, ""), problems=(said,))


def _job(number: int, row: dict, base: Path, defaults: Job, exists: _Seen) -> Job:
    problems, values, style, given = [], {}, {}, {}
    if row.get(SURPLUS):
        problems.append("It has more cells than the header: quote what holds the separator.")
    problems += [f"It has a column {why}" for why in map(_why_unknown, sorted(row.keys() - {SURPLUS})) if why]
    for name in TEXTS:
        value = row.get(name, "")
        if not isinstance(value, str):
            problems.append(f"'{name}' is {printable(value, 60)}: write text.")
        elif not _is_text(value):
            problems.append(f"'{name}' is '{printable(value, 80)}', which is not UTF-8: rename it.")
        else:
            given[name] = value
    audio = base / given["audio"] if given.get("audio") else Path()
    blend = base / given["blend"] if given.get("blend") else defaults.blend
    for name, (read, wanted) in COLUMNS.items():
        if row.get(name, "") == "":
            continue
        try:
            (style if name in STYLE else values)[name] = read(row[name])
        except (TypeError, ValueError, ArithmeticError):
            problems.append(f"'{name}' is '{printable(row[name], 60)}': write {wanted}.")
    if given.get("audio") == "":
        problems.append("It names no sound: fill in 'audio'.")
    elif "audio" in given and (why := exists.why_not(audio)):
        problems.append(f"No audio file at '{printable(audio)}' ({why}): check the path.")
    if blend and (why := exists.why_not(blend)):
        problems.append(f"No .blend at '{printable(blend)}' ({why}): check the path.")
    name = given.get("name") or _stem(given.get("audio") or "")
    try:
        name = clean_name(name)
    except ValueError:
        if name:
            shown = printable(name, 80)
            fix = "use letters, digits, - and _, and / for folders"
            problems.append(f"'{shown}' cannot be the name of outputs: {fix}.")
        name = label(number, name or str(row.get("audio", "")))
    job = replace(
        defaults,
        row=number,
        name=name,
        audio=audio,
        blend=blend,
        object=given.get("object") or defaults.object,
        style=replace(defaults.style, **style),
        **values,
    )
    if blend and "fps" in values:
        problems.append("'fps' does not go with 'blend', which has a rate of its own: leave it out.")
    if not blend and given.get("object"):
        problems.append(f"'{printable(given['object'], 80)}' is in no .blend: fill in 'blend'.")
    arkit_only = [name for name in job.outputs if output_kind(name).arkit_format]
    kind = job.bake or ("arkit" if arkit_only else "basis")
    if arkit_only and kind != "arkit":
        formats = " and ".join(output_kind(name).arkit_format for name in arkit_only)
        plays = f"{formats} play{'s' if len(arkit_only) == 1 else ''} ARKit curves"
        problems.append(f"{plays}: {' and '.join(map(repr, arkit_only))} needs 'bake' to be arkit, or left out.")
    return replace(job, bake=kind, problems=tuple(problems))


def _is_text(value: str) -> bool:
    """Whether it holds whole characters alone: bytes of a file name that are none come as halves of some."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _stem(audio: str) -> str:
    """A sound's own name; one that lies elsewhere gives no folders."""
    if not audio:
        return ""
    path = PurePosixPath(audio.replace("\\", "/"))
    path = path.with_suffix("") if path.name else path
    return path.name if path.is_absolute() or ".." in path.parts or ":" in str(path) else str(path)


def _unique(jobs: Iterable[Job], claims: Claims) -> list[Job]:
    """No two rows may write the same files, nor one a file that another reads; nor have two the same name."""
    out = []
    for job in jobs:
        clash = "" if job.problems else claims.take(job.row, [*job.files().values(), *job.pictures()])
        out.append(replace(job, problems=(clash,)) if clash else job)
    taken = {key_of(job.name) for job in out if not job.problems}
    for i, job in enumerate(out):
        if job.problems and key_of(job.name) in taken:
            out[i] = replace(job, name=label(job.row, job.name))
        taken.add(key_of(out[i].name))
    return out
