"""The `histalk` command."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import click

from .channels import MIX
from .cli_batch import batch, channel_option, style_options
from .endings import command_process, exit_code
from .errors import HiSTalkError
from .style import Style

AUDIO = click.Path(path_type=Path)
WEIGHTS_HELP = "A .safetensors checkpoint; the bundled one when not given."


class _Group(click.Group):
    """Its exit codes are those of `endings`, and where it is a process's only purpose, it ends that process."""

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        def command():
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
            command_process(command)
        sys.exit(exit_code(command))


@click.group(cls=_Group)
@click.version_option(package_name="histalk-blender")
def main() -> None:
    """Speech to 3D facial animation."""


@contextmanager
def _progress(name: str):
    """A bar in percent on a terminal's stderr; gives the function that takes the share done."""
    from tqdm import tqdm

    with tqdm(total=100, desc=name, unit="%", file=sys.stderr, leave=False, disable=None) as bar:
        yield lambda share: bar.update(round(100 * share) - bar.n)


def _listen(audio: Path, weights: Path | None, device: str, levels: bool = False, channel: str = MIX):
    """Audio file -> take."""
    from .quiet import quiet
    from .sound import open_sound
    from .take import listen

    with quiet(2):  # libmpg123 has remarks of its own on many an mp3
        sound = open_sound(audio, channel=channel)
    with _progress(audio.name) as progress:
        take = listen(sound, weights, device, lambda _, share: progress(share), levels)
    for remark in take.remarks:
        click.echo(f"histalk: {remark}", err=True)
    return take


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
    "--arkit-layout", "layout", type=click.Choice(["histalk", "livelink"]), default="histalk", show_default=True,
    help="livelink: a .csv as Live Link Face records, for Unreal, MotionBuilder and Faceit.",
)  # fmt: skip
@channel_option
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def synthesize(
    audio: Path, out: Path, arkit: Path | None, layout: str, channel: str, weights: Path | None, device: str
) -> None:
    """Write the motion of AUDIO to OUT (.npz): displacements in metres, landmarks, gates."""
    from .arkit_files import write_units

    _writable(out, ".npz")
    if arkit:
        _writable(arkit, ".csv", *([".json"] if layout == "histalk" else []))
    elif layout != "histalk":
        raise HiSTalkError("--arkit-layout goes with --arkit: name the file to write.")
    take = _listen(audio, weights, device, levels=True, channel=channel)
    take.performance.save(out)
    click.echo(out)
    if arkit:
        write_units(arkit, take.units, take.performance.fps, layout)
        click.echo(f"{arkit}  (52 units, {take.over.max() * 1000:.2f} mm root mean square off in the worst frame)")


@main.command()
@click.argument("audio", type=AUDIO)
@click.option("--blend", type=click.Path(path_type=Path), required=True, help="The .blend to write.")
@click.option("--shot", type=click.Path(path_type=Path), help="Bake on a head of this .blend, or of the one open in Blender.")
@click.option("--object", "name", default="", help="Which of the shot's objects; the only head when not given.")
@click.option("--bake", "kind", type=click.Choice(["cache", "keys", "basis", "arkit"]), default="basis", show_default=True)
@click.option("--fps", type=click.FloatRange(1, 240), help="Of a new scene: 30 when not given; a shot has its own.")
@click.option("--start", type=int, default=1, show_default=True, help="Scene frame where speech begins.")
@click.option("--tolerance", type=click.FloatRange(0.001), default=0.1, show_default=True, help="mm, for basis keys.")
@channel_option
@style_options
@click.option("--preview", type=click.Path(path_type=Path), help="Also render this .mp4, with the sound.")
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def bake(
    audio, blend, shot, name, kind, fps, start, tolerance, channel, lips, jaw, upper_face, smoothing, delay, preview, weights,
    device,
) -> None:  # fmt: skip
    """Make a .blend in which a head speaks AUDIO: the bundled one, or that of a shot."""
    need_blender()
    from .bake import shot as shots

    _writable(blend, ".blend")
    if preview:
        _writable(preview, ".mp4")
    shot = shot or shots.begun_with()
    if shot and fps:
        raise HiSTalkError("--fps does not go with a shot, which has a rate of its own: leave it out.")
    if not shot and name:
        raise HiSTalkError(f"--object names '{name}', but there is no shot: name its .blend with --shot.")
    obj, cache = shots.open_shot(shot, name) if shot else None, blend.with_suffix(".pc2").resolve()
    if shot:
        shots.check_head(obj, kind=kind, cache=cache)
    take, style = _listen(audio, weights, device, channel=channel), Style(lips, jaw, upper_face, smoothing, delay)
    if shot:
        remark = shots.add_sound(audio, start, obj)
        if remark:
            click.echo(f"histalk: {remark}", err=True)
    else:
        obj = shots.new_shot(take, audio, start, fps or 30.0, kind == "arkit", delay)
    report = shots.speak(obj, take, kind=kind, start=start, cache=cache, tolerance_mm=tolerance, style=style, rest=bool(shot))
    frames = shots.frames_of(take, shots.seat(obj)[2], delay)
    shots.write(obj, {"blend": blend}, start, frames)
    for warning in report.warnings:
        click.echo(f"histalk: {warning}", err=True)
    accuracy = report.accuracy and f", {report.accuracy}"
    click.echo(f"{blend}  ({report.frames} frames, {report.keys} keys{accuracy})")
    if preview:
        with _progress(preview.name) as progress:
            shots.write(obj, {"mp4": preview}, start, frames, progress)
        click.echo(preview)


def need_blender() -> None:
    """Refuse what cannot be done without Blender's module.

    Raises:
        HiSTalkError: it is not there, or does not load.
    """
    try:
        from . import bake  # noqa: F401
    except ImportError as error:
        raise HiSTalkError(
            f"Blender's module does not load ({error}): pip install bpy==4.5.15, and on a machine without a desktop "
            "apt-get install libxi6 libxkbcommon0 libsm6 libgl1."
        ) from error


main.add_command(batch)


@main.command(hidden=True)
def worker() -> None:
    """What `batch --workers` starts."""
    from .batch.crew import serve

    serve()


def _data_options(command):
    """What names a data set, for `train` and `evaluate`."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--landmarks", type=path, help="File of 68 vertex indices, iBUG's order; BIWI has none of its own."),
        click.option("--lips", type=path, help="File of vertex indices in place of our mask, or FLAME_masks.pkl:lips."),
        click.option("--root", type=path, help="Folder of the data set."),
        click.option("--dataset", type=click.Choice(["corpus", "vocaset", "biwi"]), default="corpus", show_default=True),
    ):
        command = option(command)
    return command


def _root(path: Path | None) -> Path:
    if path is None:
        raise HiSTalkError("No data set is named: give its folder with --root.")
    return path


@main.command()
@click.option("--corpus", type=click.Path(path_type=Path), help="Folder made by corpus.build: --dataset corpus --root.")
@_data_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of checkpoints and the log.")
@click.option("--minutes", type=click.FloatRange(0), default=180.0, show_default=True)
@click.option("--preset", type=click.Choice(["small", "wave", "base"]), default="small", show_default=True)
@click.option("--hearing", type=click.Path(path_type=Path), help="Checkpoint whose hearing is taken over; `small`: the bundled.")
@click.option("--warm-minutes", type=click.FloatRange(0), default=1.0, show_default=True, help="Before them, to learn to hear.")
@click.option("--contrastive", is_flag=True, help="`wave` fills them with wav2vec 2.0's self-supervision, not mel bands.")
@click.option("--acoustic", default="", help="Whisper tiny's folder for `small`; wav2vec2-base's folder or hub name for `base`.")
@click.option("--batch-seconds", type=click.FloatRange(1), default=48.0, show_default=True, help="Speech in one, of all GPUs.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--init", type=click.Path(path_type=Path), help="A .safetensors checkpoint to start from.")
@click.option("--rate", type=float, default=1e-3, show_default=True, help="Highest learning rate.")
@click.option("--resume/--fresh", default=True, show_default=True, help="Go on from OUT's last state.")
def train(
    corpus, dataset, root, lips, landmarks, out, minutes, preset, hearing, warm_minutes, contrastive, acoustic,
    batch_seconds, seed, init, rate, resume,
) -> None:
    """Train a preset on a corpus or on captured motion; a killed run goes on when called again."""
    from .synthesis import WEIGHTS
    from .training.datasets import open_data_set
    from .training.loop import TrainOptions
    from .training.loop import train as run

    if acoustic and preset == "wave":
        raise HiSTalkError("The preset `wave` learns to hear from nothing: leave --acoustic out.")
    if contrastive and (preset != "wave" or hearing or init):
        raise HiSTalkError("--contrastive is a start for the preset `wave` alone, without --hearing or --init.")
    if preset == "base" and not acoustic:
        raise HiSTalkError("The preset `base` needs wav2vec2-base's weights: name their folder with --acoustic.")
    if dataset == "corpus" and (lips or landmarks):
        raise HiSTalkError("--lips and --landmarks go with --dataset vocaset or biwi: the bundled head has its own.")
    if corpus and (root or dataset != "corpus"):
        raise HiSTalkError(f"--corpus names our own corpus: give the folder of '{dataset}' with --root alone.")
    root = _root(corpus or root)
    if preset == "small" and not acoustic:
        hearing = hearing or WEIGHTS
    data = None if dataset == "corpus" else open_data_set(dataset, root, lips=lips, landmarks=landmarks)
    options = TrainOptions(
        root, out, data=data, minutes=minutes, warm_minutes=warm_minutes, preset=preset, hearing=hearing,
        contrastive=contrastive, acoustic=acoustic, seconds=batch_seconds, seed=seed, init=init, learning_rate=rate,
        resume=resume,
    )  # fmt: skip
    path = run(options)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one speaks
        click.echo(path)


@main.command()
@_data_options
@click.option("--upper-face", type=click.Path(path_type=Path), help="As --lips, for the upper face.")
@click.option("--split", default="test", show_default=True, help="train, val or test; for biwi also test-a and test-b.")
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option("--most", type=click.IntRange(1), default=120, show_default=True, help="Recordings of a group at the most.")
@click.option("--baselines/--no-baselines", default=True, show_default=True, help="They need the training split.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for evaluation.json and plots.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def evaluate(dataset, root, lips, landmarks, upper_face, split, weights, most, baselines, out, device) -> None:
    """Score a checkpoint on a data set's split beside baselines; known voices and strangers apart."""
    from .synthesis import WEIGHTS
    from .take import pick_device
    from .training import report
    from .training.datasets import open_data_set
    from .training.evaluate import evaluate as run

    data = open_data_set(dataset, _root(root), lips=lips, upper_face=upper_face, landmarks=landmarks)
    if out:
        report.check_drawing()
        if out.exists() and not out.is_dir():
            raise HiSTalkError(f"'{out}' is a file: --out names a folder.")
    found = run(data, weights or WEIGHTS, split, most, baselines, pick_device(device))
    click.echo(report.table(found))
    for path in report.write(found, out) if out else ():
        click.echo(path)


@main.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True, help="Folder made by corpus.build.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of runs, table.md and gates.png.")
@click.option("--hearing", type=click.Path(path_type=Path), help="All share this checkpoint's frozen acoustic extractor.")
@click.option("--minutes", type=click.FloatRange(0), help="Of training, for each run; 30 when not given. Not with --hearing.")
@click.option("--steps", type=click.IntRange(0), help="Stop sooner, after so many; with --hearing, of each run: 400.")
@click.option("--seeds", type=click.IntRange(1), help="3 when not given, 2 for curves.")
@click.option("--variant", "variants", multiple=True, help="One of them, may be repeated; all when not given.")
@click.option(
    "--curve", "curves", multiple=True, type=click.Choice(["speakers", "hours", "mixture"]),
    help="Of more speakers, more hours, or real people's share, in place of the variants; may be repeated.",
)  # fmt: skip
@click.option("--most", type=click.IntRange(1), default=60, show_default=True, help="Recordings of a group at the most.")
def experiments(corpus, out, hearing, minutes, steps, seeds, variants, curves, most) -> None:
    """Re-run the paper's ablations and two older designs on a corpus; a killed run goes on when called again."""
    from .training import curves as learning
    from .training.experiments import VARIANTS, Plan, run
    from .training.loop import TrainOptions
    from .training.middle import STEPS

    for name in set(variants) - set(VARIANTS):
        raise HiSTalkError(f"There is no variant '{name}': choose among {', '.join(VARIANTS)}.")
    if hearing and minutes is not None:
        raise HiSTalkError("With --hearing runs are of equal steps, not minutes: give --steps.")
    if curves and (not hearing or variants):
        raise HiSTalkError("--curve is of the full network on a shared extractor: give --hearing and no --variant.")
    steps = (steps or STEPS) if hearing else (steps or 0)
    budget = TrainOptions(corpus, out, minutes=30.0 if minutes is None else minutes, steps=steps)
    plan = Plan(corpus, out, budget, variants or tuple(VARIANTS), seeds or (2 if curves else 3), most, hearing)
    paths = learning.run(plan, curves) if curves else run(plan)
    click.echo(paths[0].read_text())
    for path in paths:
        click.echo(path)
