"""`histalk batch`: a folder or a table of clips, without a window."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

import click

from ..audio.channels import FORM, MIX, read_channel
from ..batch.folder import search_folder
from ..batch.manifest import BAKES, Job, read_manifest
from ..batch.names import LEDGER
from ..batch.output_kinds import output_names, read_outputs
from ..errors import HiSTalkError
from ..motion.style import Style
from ..runtime.output import printable

FILE = click.Path(path_type=Path)
SHOWN = 10  # wrong rows that are told before the work begins


class _Channel(click.ParamType):
    name = "CHANNEL"

    def convert(self, value, param, ctx):
        try:
            return read_channel(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


channel_option = click.option(
    "--channel",
    type=_Channel(),
    default=MIX,
    show_default=True,
    help=f"Of the sound, for two speakers in stereo: {FORM}. A sound with one channel has it left and right.",
)


class _Rows(click.ParamType):
    name = "FIRST-LAST"

    def convert(self, value, param, ctx):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", value)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            self.fail(f"'{value}' is no range of rows: write 1-50.", param, ctx)
        return range(first, last + 1)


class _Outputs(click.ParamType):
    name = "KINDS"

    def convert(self, value, param, ctx):
        try:
            return value if isinstance(value, tuple) else read_outputs(value)
        except ValueError:
            self.fail(f"'{value}': write some of {','.join(output_names())}.", param, ctx)


DISCARD_EDITS = click.option(
    "--discard-edits", is_flag=True, help="Replace a head's earlier bake though it was changed by hand since."
)


def style_options(command):
    """How the face speaks, for `bake` and `batch`."""
    factor, shown = click.FloatRange(0, 2), {"default": 1.0, "show_default": True}
    for option in (
        click.option(
            "--delay", type=click.FloatRange(-0.5, 0.5), default=0.0, show_default=True, help="Seconds after the sound."
        ),
        click.option("--smoothing", type=click.FloatRange(0, 0.5), default=0.0, show_default=True, help="Seconds."),
        click.option("--upper-face", type=factor, **shown),
        click.option("--jaw", type=factor, **shown),
        click.option("--lips", type=factor, help="How far they move.", **shown),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("manifest", type=FILE, required=False)
@click.option("--out", type=FILE, required=True, help="Folder of the outputs, the ledger and the report.")
@click.option(
    "--outputs", type=_Outputs(), default="pc2", show_default=True, help=f"Some of {','.join(output_names())}."
)
@click.option(
    "--bake", "kind", type=click.Choice(BAKES), help="How a .blend speaks; basis when not given, arkit for glb and fbx."
)
@click.option("--blend", type=FILE, help="Bake on a head of this .blend; the bundled head when not given.")
@click.option("--object", "name", default="", help="Which of its objects; the only head when not given.")
@click.option("--fps", type=click.FloatRange(1, 240), help="Of the outputs: 30, or the .blend's.")
@click.option("--start", type=int, default=1, show_default=True, help="Frame where speech begins.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0.001, 10),
    default=0.1,
    show_default=True,
    help="mm on a human-sized head, for basis keys.",
)
@channel_option
@style_options
@DISCARD_EDITS
@click.option("--rows", type=_Rows(), help="Only these rows of the manifest.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and all that is wrong; do nothing.")
@click.option("--status", is_flag=True, help="Say how far the batch in OUT is; no manifest is needed.")
@click.option("--retry-failed", is_flag=True, help="Also do again what failed.")
@click.option("--merge", is_flag=True, help="Make one report of all ledgers in OUT/ledgers, as a farm leaves them.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; as many as devices when not given.")
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N, or several: cuda:0,cuda:1."
)
@click.option("--at-once", type=click.IntRange(1, 256), help="Clips the network hears at once; 1 on a CPU, else 16.")
@click.option("--ray", is_flag=False, flag_value="", metavar="[ADDRESS]", help="Spread over a Ray cluster.")
@click.option("--ledger", type=FILE, help="In place of OUT/histalk.sqlite.")
@click.option("--weights", type=FILE, help="A .safetensors checkpoint; the bundled one when not given.")
def batch(
    manifest,
    out,
    outputs,
    kind,
    blend,
    name,
    fps,
    start,
    tolerance,
    channel,
    lips,
    jaw,
    upper_face,
    smoothing,
    delay,
    discard_edits,
    rows,
    dry_run,
    status,
    retry_failed,
    merge,
    workers,
    device,
    at_once,
    ray,
    ledger,
    weights,
) -> None:
    """Make the motion files of all clips in MANIFEST, a .csv, a .jsonl or a folder of sounds.

    The same command goes on where it was, whatever ended it. Exit code 0: all is done; 1: some clips failed, and
    OUT/report.html says why; 2: nothing could be run.
    """
    if out.exists() and not out.is_dir():
        raise HiSTalkError(f"'{out}' is a file: --out names a folder.")
    if status or merge:
        counts = _merge(out) if merge else _status(out, ledger)
        _leave(counts)
    if manifest is None:
        raise HiSTalkError("No manifest is named: give a .csv, a .jsonl or a folder of sounds.")
    style = Style(lips, jaw, upper_face, smoothing, delay)
    defaults = Job(
        blend=blend,
        object=name,
        start=start,
        fps=fps,
        bake=kind or "",
        tolerance=tolerance,
        outputs=outputs,
        channel=channel,
        style=style,
        discard_edits=discard_edits,
    )
    if blend and fps:
        raise HiSTalkError("--fps does not go with --blend, which has a rate of its own: leave it out.")
    if manifest.is_dir():
        for reason in search_folder(manifest, out).left_out:
            click.echo(printable(f"histalk: left out of '{manifest}': {reason}.", 4096), err=True)
    jobs = read_manifest(manifest, defaults, out, [weights] if weights else [], ledger)
    if rows:
        jobs = [job for job in jobs if job.row in rows]
        if not jobs:
            raise HiSTalkError(f"'{manifest}' has no rows {rows.start} to {rows.stop - 1}.")
    if dry_run:
        _leave(_tell(jobs))
    _leave(_run(jobs, out, device, workers, at_once, retry_failed, ray, ledger, weights))


def _run(jobs, out, device, workers, at_once, retry, ray, ledger, weights) -> Counter:
    from ..batch.run import Batch, run
    from ..synthesis.engine import pick_device

    if any(job.needs_blender for job in jobs if not job.problems):
        from .main import need_blender

        need_blender()
    if ray is not None and (workers or at_once):
        raise HiSTalkError("--ray decides by itself how many workers there are: leave --workers and --at-once out.")
    devices = [pick_device(one.strip()) for one in device.split(",")]
    devices = [devices[i % len(devices)] for i in range(workers or len(devices))]
    wrong = [job for job in jobs if job.problems]
    for job in wrong[:SHOWN]:
        click.echo(printable(f"histalk: row {job.row}, {job.name}: {' '.join(job.problems)}", 4096), err=True)
    if len(wrong) > SHOWN:
        click.echo(f"histalk: {len(wrong) - SHOWN} further rows are wrong: --dry-run tells all.", err=True)
    order = Batch(jobs, out, tuple(devices), weights, at_once or 0, retry, ledger, ray)
    try:
        counts = run(order)
    except KeyboardInterrupt as stop:
        stop.args = ("stopped; the same command goes on from here.",)
        raise
    click.echo(f"{out / 'report.html'}  ({counts['done']} done, {counts['failed']} failed)")
    return counts


def _tell(jobs: list[Job]) -> Counter:
    from ..audio.reading import check_header
    from ..runtime.output import silence_fd

    counts = Counter()
    for job in jobs:
        problems = list(job.problems)
        if not problems:
            try:
                with silence_fd(2):  # libmpg123 has remarks of its own
                    check_header(job.audio, job.channel)
            except Exception as error:  # whatever is wrong with one sound, the others are told of all the same
                said = isinstance(error, HiSTalkError) and str(error)
                problems = [said or f"It cannot be read ({printable(error, 120)}): export it again."]
        counts["failed" if problems else "done"] += 1
        what = " ".join(problems) if problems else f"{job.audio} -> {', '.join(job.outputs)}"
        click.echo(printable(f"{job.row:>5}  {job.name}: {what}", 4096), err=bool(problems))
    click.echo(f"{counts['done']} clips would be made, {counts['failed']} rows are wrong.")
    return counts


def _status(out: Path, ledger: Path | None) -> Counter:
    from ..batch.damage import read_ledger

    book = ledger or out / LEDGER
    if not os.path.lexists(book):
        raise HiSTalkError(f"There is no ledger at '{book}': no batch was run there.")
    return _count(read_ledger(book))


def _merge(out: Path) -> Counter:
    from ..batch.run import merged, report

    rows, wrong = merged(out)
    report(rows, out)
    for sentence in wrong:
        click.echo(f"histalk: {sentence}", err=True)
    return _count(rows) + Counter(failed=len(wrong))


def _count(rows: list[dict]) -> Counter:
    for row in rows:
        if row["state"] == "failed":
            click.echo(f"{row['row']:>5}  {printable(row['name'])}: {row['error']}", err=True)
    counts = Counter(row["state"] for row in rows)
    click.echo(", ".join(f"{counts[state]} {state}" for state in ("done", "failed", "running", "waiting")))
    return counts


def _leave(counts: Counter) -> None:
    sys.exit(1 if counts["failed"] else 0)
