"""`histalk batch`: a folder or a table of clips, without a window."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click

from ..batch.folder import search_folder
from ..batch.job import Job
from ..batch.manifest import read_manifest
from ..batch.names import LEDGER
from ..batch.output_kinds import output_names
from ..errors import HiSTalkError
from ..runtime.output import printable
from .common import need_blender
from .options import FILE, Read, bake_options, column_option, weights_option

MOST_SHOWN = 10  # wrong rows that are listed before the work begins


def _rows(text: str) -> range:
    """The rows from a first to a last one."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise ValueError("a range of rows, as in 1-50")
    return range(first, last + 1)


@click.command("batch", short_help="Motion files of many recordings.")
@click.argument("manifest", type=FILE, required=False)
@click.option("--out", type=FILE, required=True, help="Folder of the outputs, the ledger and the report.")
@column_option("outputs", "KINDS", default="pc2", show_default=True, help=f"Some of {','.join(output_names())}.")
@bake_options
@click.option("--rows", type=Read("FIRST-LAST", _rows), help="Only these rows of the manifest.")
@click.option("--dry-run", is_flag=True, help="List what would be done and everything that is wrong; do nothing.")
@click.option("--status", is_flag=True, help="Print how far the batch in OUT is; no manifest is needed.")
@click.option("--retry-failed", is_flag=True, help="Also try failed clips again.")
@click.option(
    "--merge", is_flag=True, help="Make one report of all ledgers in OUT/ledgers, as a render farm leaves them."
)
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; by default one for each device.")
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N, or several: cuda:0,cuda:1."
)
@click.option(
    "--batch-size", type=click.IntRange(1, 256), help="Clips predicted at once; by default 1 on a CPU, else 16."
)
@click.option("--ray", is_flag=False, flag_value="", metavar="[ADDRESS]", help="Spread over a Ray cluster.")
@click.option("--ledger", type=FILE, help="File of the ledger, OUT/histalk.sqlite by default.")
@weights_option
def command(
    manifest,
    out,
    outputs,
    job,
    rows,
    dry_run,
    status,
    retry_failed,
    merge,
    workers,
    device,
    batch_size,
    ray,
    ledger,
    weights,
) -> None:
    """Write the motion files of all clips in MANIFEST, a .csv, a .jsonl or a folder of sounds.

    Interrupted runs resume: call the same command again. Exit code 0: everything is done; 1: some clips failed, and
    OUT/report.html gives the reasons; 2: nothing could be run.
    """
    if out.exists() and not out.is_dir():
        raise HiSTalkError(f"'{out}' is a file: --out names a folder.")
    if status or merge:
        counts = _merge(out) if merge else _status(out, ledger)
        _exit(counts)
    if manifest is None:
        raise HiSTalkError("No manifest is named: give a .csv, a .jsonl or a folder of sounds.")
    if job.shot and job.fps:
        raise HiSTalkError("--fps does not go with --shot, which has a rate of its own: leave it out.")
    if manifest.is_dir():
        for reason in search_folder(manifest, out).left_out:
            click.echo(printable(f"histalk: left out of '{manifest}': {reason}.", 4096), err=True)
    jobs = read_manifest(manifest, replace(job, outputs=outputs), out, [weights] if weights else [], ledger)
    if rows:
        jobs = [job for job in jobs if job.row in rows]
        if not jobs:
            raise HiSTalkError(f"'{manifest}' has no rows {rows.start} to {rows.stop - 1}.")
    if dry_run:
        _exit(_dry_run(jobs))
    _exit(_run(jobs, out, device, workers, batch_size, retry_failed, ray, ledger, weights))


def _run(jobs, out, device, workers, batch_size, retry, ray, ledger, weights) -> Counter:
    from ..batch.run import BatchOptions, run_batch
    from ..synthesis.engine import pick_device

    if any(job.needs_blender for job in jobs if not job.problems):
        need_blender()
    if ray is not None and (workers or batch_size):
        raise HiSTalkError("--ray chooses the number of workers itself: leave --workers and --batch-size out.")
    devices = [pick_device(one.strip()) for one in device.split(",")]
    devices = [devices[i % len(devices)] for i in range(workers or len(devices))]
    wrong = [job for job in jobs if job.problems]
    for job in wrong[:MOST_SHOWN]:
        click.echo(printable(f"histalk: row {job.row}, {job.name}: {' '.join(job.problems)}", 4096), err=True)
    if len(wrong) > MOST_SHOWN:
        click.echo(f"histalk: {len(wrong) - MOST_SHOWN} further rows are wrong: --dry-run lists all.", err=True)
    options = BatchOptions(jobs, out, tuple(devices), weights, batch_size or 0, retry, ledger, ray)
    try:
        counts = run_batch(options)
    except KeyboardInterrupt as stop:
        stop.args = ("stopped; run the same command again to resume.",)
        raise
    click.echo(f"{out / 'report.html'}  ({counts['done']} done, {counts['failed']} failed)")
    return counts


def _dry_run(jobs: list[Job]) -> Counter:
    from ..audio.opening import check_header
    from ..runtime.output import silence_fd

    counts = Counter()
    for job in jobs:
        problems = list(job.problems)
        if not problems:
            try:
                with silence_fd(2):  # libmpg123 writes remarks of its own
                    check_header(job.audio, job.channel)
            except Exception as error:  # whatever is wrong with one sound, the others are listed all the same
                said = isinstance(error, HiSTalkError) and str(error)
                problems = [said or f"It cannot be read ({printable(error, 120)}): export it again."]
        counts["failed" if problems else "done"] += 1
        what = " ".join(problems) if problems else f"{job.audio} -> {', '.join(job.outputs)}"
        click.echo(printable(f"{job.row:>5}  {job.name}: {what}", 4096), err=bool(problems))
    click.echo(f"{counts['done']} clips would be made, {counts['failed']} rows are wrong.")
    return counts


def _status(out: Path, ledger: Path | None) -> Counter:
    from ..batch.ledger_file import read_ledger

    path = ledger or out / LEDGER
    if not os.path.lexists(path):
        raise HiSTalkError(f"There is no ledger at '{path}': no batch was run there.")
    return _summary(read_ledger(path))


def _merge(out: Path) -> Counter:
    from ..batch.run import merge_ledgers, report_batch

    rows, unreadable = merge_ledgers(out)
    report_batch(rows, out)
    for sentence in unreadable:
        click.echo(f"histalk: {sentence}", err=True)
    return _summary(rows) + Counter(failed=len(unreadable))


def _summary(rows: list[dict]) -> Counter:
    for row in rows:
        if row["state"] == "failed":
            click.echo(f"{row['row']:>5}  {printable(row['name'])}: {row['error']}", err=True)
    counts = Counter(row["state"] for row in rows)
    click.echo(", ".join(f"{counts[state]} {state}" for state in ("done", "failed", "running", "waiting")))
    return counts


def _exit(counts: Counter) -> None:
    sys.exit(1 if counts["failed"] else 0)
