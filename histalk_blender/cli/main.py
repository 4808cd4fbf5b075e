"""The `histalk` command."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from .. import __version__
from ..audio.channels import MIX
from ..errors import HiSTalkError
from ..files import put_back
from ..motion.style import Style
from ..runtime.output import escape_unencodable
from ..runtime.pins import BPY
from ..runtime.process_exit import exit_code_of, run_and_exit, signals_deferred
from .batch import DISCARD_EDITS, batch, channel_option, style_options

AUDIO = click.Path(path_type=Path)
WEIGHTS_HELP = "A .safetensors checkpoint; the bundled one when not given."


class _Group(click.Group):
    """Its exit codes are those of `process_exit`, and where it is a process's only purpose, it ends that process."""

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        def command():
            escape_unencodable()
            try:
                return super(_Group, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except click.ClickException as error:
                error.show()
                return error.exit_code
            except click.Abort as error:  # made of a signal, which knows its code
                raise error.__cause__ or KeyboardInterrupt from None

        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        if args is None:
            run_and_exit(command)
        sys.exit(exit_code_of(command))


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="histalk")
def main() -> None:
    """Speech to 3D facial animation."""


@contextmanager
def _progress(name: str):
    """A bar in percent on a terminal's stderr; gives the function that takes the share done."""
    from tqdm import tqdm

    with tqdm(total=100, desc=name, unit="%", file=sys.stderr, leave=False, disable=None) as bar:
        yield lambda share: bar.update(round(100 * share) - bar.n)


def _listen(audio: Path, weights: Path | None, device: str, levels: bool = False, channel: str = MIX):
    """Audio file -> performance."""
    from ..audio.clip import open_sound
    from ..runtime.output import silence_fd
    from ..synthesis.engine import listen

    with silence_fd(2):  # libmpg123 has remarks of its own on many an mp3
        sound = open_sound(audio, channel=channel)
    with _progress(audio.name) as progress:
        performance = listen(sound, weights, device, lambda _, share: progress(share), levels)
    for remark in performance.remarks:
        click.echo(f"histalk: {remark}", err=True)
    return performance


def _writable(path: Path, *suffixes: str) -> None:
    """Refuse a wrong place before minutes are spent on it."""
    if path.suffix.lower() not in suffixes:
        raise HiSTalkError(f"'{path}' must end in {' or '.join(suffixes)}.")
    if not path.resolve().parent.is_dir():
        raise HiSTalkError(f"The folder of '{path}' does not exist: make it first.")


@main.command()
@click.argument("audio", type=AUDIO)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--arkit", type=click.Path(path_type=Path), help="Also write the 52 ARKit units: .csv or .json.")
@click.option(
    "--arkit-layout",
    "layout",
    type=click.Choice(["histalk", "livelink"]),
    default="histalk",
    show_default=True,
    help="livelink: a .csv as Live Link Face records, for Unreal, MotionBuilder and Faceit.",
)
@channel_option
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def synthesize(
    audio: Path, out: Path, arkit: Path | None, layout: str, channel: str, weights: Path | None, device: str
) -> None:
    """Write the motion of AUDIO to OUT (.npz): displacements in metres, landmarks, gates."""
    from ..motion.arkit_files import write_units

    _writable(out, ".npz")
    if arkit:
        _writable(arkit, ".csv", *([".json"] if layout == "histalk" else []))
    elif layout != "histalk":
        raise HiSTalkError("--arkit-layout goes with --arkit: name the file to write.")
    performance = _listen(audio, weights, device, levels=True, channel=channel)
    performance.save(out)
    click.echo(out)
    if arkit:
        write_units(arkit, performance.arkit_weights, performance.fps, layout)
        click.echo(
            f"{arkit}  (52 units, {performance.residual.max() * 1000:.2f} mm root mean square off in the worst frame)"
        )


@main.command()
@click.argument("audio", type=AUDIO)
@click.option("--blend", type=click.Path(path_type=Path), required=True, help="The .blend to write.")
@click.option(
    "--shot", type=click.Path(path_type=Path), help="Bake on a head of this .blend, or of the one open in Blender."
)
@click.option("--object", "name", default="", help="Which of the shot's objects; the only head when not given.")
@click.option(
    "--bake", "kind", type=click.Choice(["cache", "keys", "basis", "arkit"]), default="basis", show_default=True
)
@click.option("--fps", type=click.FloatRange(1, 240), help="Of a new scene: 30 when not given; a shot has its own.")
@click.option("--start", type=int, default=1, show_default=True, help="Scene frame where speech begins.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0.001),
    default=0.1,
    show_default=True,
    help="mm on a human-sized head, for basis keys.",
)
@channel_option
@style_options
@click.option("--preview", type=click.Path(path_type=Path), help="Also render this .mp4, with the sound.")
@DISCARD_EDITS
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def bake(
    audio,
    blend,
    shot,
    name,
    kind,
    fps,
    start,
    tolerance,
    channel,
    lips,
    jaw,
    upper_face,
    smoothing,
    delay,
    preview,
    discard_edits,
    weights,
    device,
) -> None:
    """Make a .blend in which a head speaks AUDIO: the bundled one, or that of a shot."""
    need_blender()
    from ..bake import shot as shots

    _writable(blend, ".blend")
    if preview:
        _writable(preview, ".mp4")
    shot = shot or shots.begun_with()
    if shot and fps:
        raise HiSTalkError("--fps does not go with a shot, which has a rate of its own: leave it out.")
    if not shot and name:
        raise HiSTalkError(f"--object names '{name}', but there is no shot: name its .blend with --shot.")
    obj, cache = shots.open_shot(shot, name) if shot else None, blend.resolve().parent / f"{blend.stem}.pc2"
    if shot:
        shots.check_head(obj, kind=kind, cache=cache, discard_edits=discard_edits)
        if preview:
            shots.check_camera()
    performance, style = (
        _listen(audio, weights, device, channel=channel),
        Style(lips, jaw, upper_face, smoothing, delay),
    )
    if shot:
        remark = shots.add_sound(audio, start, obj)
        if remark:
            click.echo(f"histalk: {remark}", err=True)
    else:
        obj = shots.new_shot(performance, audio, start, fps or 30.0, kind == "arkit", delay)
    with put_back(cache):  # which is of no use without the .blend that plays it
        report = shots.speak(
            obj,
            performance,
            kind=kind,
            start=start,
            cache=cache,
            tolerance_mm=tolerance,
            style=style,
            rest=bool(shot),
            discard_edits=discard_edits,
        )
        shots.save_shot(blend)
    for warning in report.warnings:
        click.echo(f"histalk: {warning}", err=True)
    accuracy = report.accuracy and f", {report.accuracy}"
    click.echo(f"{blend}  ({report.frames} frames, {report.keys} keys{accuracy})")
    if preview:
        with _progress(preview.name) as progress:
            last = start + shots.frames_of(performance, shots.seat(obj)[2], delay) - 1
            shots.render_film(preview, start, last, progress)
        click.echo(preview)


def need_blender() -> None:
    """Refuse what cannot be done without Blender's module.

    Raises:
        HiSTalkError: it is not there, or does not load.
    """
    try:
        with signals_deferred():  # what a signal raises in Blender's own start would be printed and lost
            from ..bake import scene  # noqa: F401
    except ImportError as error:
        raise HiSTalkError(
            f"Blender's module does not load ({error}): pip install bpy=={BPY}, and on a machine without a desktop "
            "apt-get install libxi6 libxkbcommon0 libsm6 libgl1."
        ) from error


main.add_command(batch)


@main.command(hidden=True)
def worker() -> None:
    """What `batch --workers` starts."""
    from ..batch.worker_pool import serve

    serve()


def _register_training() -> None:
    """`train`, `evaluate` and `experiments`, where the training code ships: not in the extension."""
    found = find_spec("..training", __package__)
    if found and found.origin:  # an empty folder counts for a package too
        from .training import COMMANDS

        for command in COMMANDS:
            main.add_command(command)


_register_training()
