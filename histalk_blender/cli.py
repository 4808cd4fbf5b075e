"""The `histalk` command."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import click

from .errors import HiSTalkError

AUDIO = click.Path(path_type=Path)
WEIGHTS_HELP = "A .safetensors checkpoint; the bundled one when not given."


class _Group(click.Group):
    """Turns what a user can mend into one sentence and exit code 2."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except HiSTalkError as error:
            click.echo(f"histalk: {error}", err=True)
            ctx.exit(2)


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


def _listen(audio: Path, weights: Path | None, device: str):
    """Audio file -> take."""
    from .audio import read_audio
    from .quiet import quiet
    from .take import listen

    with quiet(2):  # libmpg123 has remarks of its own on many an mp3
        samples = read_audio(audio)
    with _progress(audio.name) as progress:
        take = listen(samples, weights, device, lambda stage, share: progress(share if stage == "Listening" else 1.0))
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
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def synthesize(audio: Path, out: Path, arkit: Path | None, weights: Path | None, device: str) -> None:
    """Write the motion of AUDIO to OUT (.npz): displacements in metres, landmarks, gates."""
    from .arkit import write_units

    _writable(out, ".npz")
    if arkit:
        _writable(arkit, ".csv", ".json")
    take = _listen(audio, weights, device)
    take.performance.save(out)
    click.echo(out)
    if arkit:
        write_units(arkit, take.units, take.performance.fps)
        click.echo(f"{arkit}  (52 units, {take.over.mean() * 1000:.2f} mm left over)")


@main.command()
@click.argument("audio", type=AUDIO)
@click.option("--blend", type=click.Path(path_type=Path), required=True, help="The .blend to write.")
@click.option("--bake", "kind", type=click.Choice(["cache", "keys", "basis", "arkit"]), default="basis", show_default=True)
@click.option("--fps", type=click.FloatRange(1, 240), default=30.0, show_default=True, help="The scene's rate.")
@click.option("--start", type=int, default=1, show_default=True, help="Scene frame where speech begins.")
@click.option("--tolerance", type=click.FloatRange(0.001), default=0.1, show_default=True, help="mm, for basis keys.")
@click.option("--preview", type=click.Path(path_type=Path), help="Also render this .mp4, with the sound.")
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def bake(audio, blend, kind, fps, start, tolerance, preview, weights, device) -> None:
    """Make a .blend in which the bundled head speaks AUDIO."""
    try:
        from .bake import bake as bake_motion
        from .bake import build_scene, render_preview, save_blend
    except ImportError as error:
        raise HiSTalkError(
            f"Blender's module does not load ({error}): pip install bpy==4.5.15, and on a machine without a desktop "
            "apt-get install libxi6 libxkbcommon0 libsm6 libgl1."
        ) from error
    from .head import load_head

    _writable(blend, ".blend")
    if preview:
        _writable(preview, ".mp4")
    motion = _listen(audio, weights, device).performance.motion
    obj = build_scene(load_head(), audio, len(motion.at_fps(fps)), start, fps, units=kind == "arkit")
    report = bake_motion(
        obj, motion, kind=kind, start_frame=start, cache=blend.with_suffix(".pc2").resolve(), tolerance_mm=tolerance
    )
    save_blend(blend)
    for warning in report.warnings:
        click.echo(f"histalk: {warning}", err=True)
    click.echo(f"{blend}  ({report.frames} frames, {report.keys} keys)")
    if preview:
        with _progress(preview.name) as progress:
            render_preview(preview, progress=progress)
        click.echo(preview)


@main.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True, help="Folder made by corpus.build.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of checkpoints and the log.")
@click.option("--minutes", type=click.FloatRange(0), default=180.0, show_default=True)
@click.option("--acoustic", default="", help="Folder or hub name of wav2vec2-base's weights: trains `base`, not `small`.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--resume/--fresh", default=True, show_default=True, help="Go on from OUT's last state.")
def train(corpus: Path, out: Path, minutes: float, acoustic: str, seed: int, resume: bool) -> None:
    """Train a preset; a killed run goes on when called again."""
    from .training.loop import TrainOptions
    from .training.loop import train as run

    click.echo(run(TrainOptions(corpus, out, minutes=minutes, acoustic=acoustic, seed=seed, resume=resume)))
