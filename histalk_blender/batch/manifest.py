"""A manifest is read and checked as a whole: a table of clips, or a folder of recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..errors import HiSTalkError
from ..files import path_key
from .job import Job
from .names import Claims, real_path, row_label
from .rows import RowReader, why_unknown
from .tables import read_folder, read_table


def read_manifest(
    path: Path, defaults: Job, out: Path | None = None, keep: Iterable[Path] = (), ledger: Path | None = None
) -> list[Job]:
    """All rows as jobs; what is wrong with a row is in its `problems`, so that it stops no other.

    Args:
        path: .csv (comma, semicolon or tab), .jsonl, or a folder, each of whose recordings becomes a row.
        defaults: of what a row leaves out.
        out: the output folder, which is not searched for sounds, and in which no input may be overwritten.
        keep: further inputs, besides the manifest and the files that its rows name.
        ledger: its file, if that is not in `out`.

    Raises:
        HiSTalkError: it cannot be read, is empty, or a column is unknown.
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
    if path.suffix.lower() == ".csv" and (unknown := [why for why in map(why_unknown, columns) if why]):
        raise HiSTalkError(f"'{path}' has a column {unknown[0]}")
    reader = RowReader(base, defaults)
    jobs = [reader.read(number, row) for number, row in enumerate(rows, 1)]
    inputs = {path, *keep, *(job.audio for job in jobs), *(job.shot for job in jobs if job.shot)}
    inputs |= {real_path(link) for link in reader.linked & inputs}
    return _unique(jobs, Claims(out, inputs, ledger))


def _unique(jobs: Iterable[Job], claims: Claims) -> list[Job]:
    """No two rows may write the same file or have the same name, and none may overwrite what another reads."""
    out = []
    for job in jobs:
        clash = "" if job.problems else claims.claim(job.row, [*job.files().values(), *job.pictures()])
        out.append(replace(job, problems=(clash,)) if clash else job)
    taken = {path_key(job.name) for job in out if not job.problems}
    for i, job in enumerate(out):
        if job.problems and path_key(job.name) in taken:
            out[i] = replace(job, name=row_label(job.row, job.name))
        taken.add(path_key(out[i].name))
    return out
