"""`histalk train`, `evaluate` and `experiments`, which the extension does not have."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..errors import HiSTalkError

WEIGHTS_HELP = "A .safetensors checkpoint; the bundled one when not given."


def _data_options(command):
    """What names a data set, for `train` and `evaluate`."""
    path = click.Path(path_type=Path)
    for option in (
        click.option(
            "--landmarks", type=path, help="File of 68 vertex indices, iBUG's order; BIWI has none of its own."
        ),
        click.option("--lips", type=path, help="File of vertex indices in place of our mask, or FLAME_masks.pkl:lips."),
        click.option("--root", type=path, help="Folder of the data set."),
        click.option(
            "--dataset", type=click.Choice(["corpus", "vocaset", "biwi"]), default="corpus", show_default=True
        ),
    ):
        command = option(command)
    return command


def _root(path: Path | None) -> Path:
    if path is None:
        raise HiSTalkError("No data set is named: give its folder with --root.")
    return path


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), help="Folder made by corpus.build: --dataset corpus --root.")
@_data_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of checkpoints and the log.")
@click.option("--minutes", type=click.FloatRange(0), default=180.0, show_default=True)
@click.option(
    "--preset",
    type=click.Choice(["whisper-tiny", "wav2vec2-small", "wav2vec2-base"]),
    default="whisper-tiny",
    show_default=True,
)
@click.option(
    "--hearing",
    type=click.Path(path_type=Path),
    help="Checkpoint whose hearing is taken over; `whisper-tiny`: the bundled.",
)
@click.option(
    "--warm-minutes", type=click.FloatRange(0), default=1.0, show_default=True, help="Before them, to learn to hear."
)
@click.option(
    "--contrastive",
    is_flag=True,
    help="`wav2vec2-small` fills them with wav2vec 2.0's self-supervision, not mel bands.",
)
@click.option(
    "--acoustic",
    default="",
    help="Whisper tiny's folder for `whisper-tiny`; wav2vec2-base's folder or hub name for `wav2vec2-base`.",
)
@click.option(
    "--batch-seconds", type=click.FloatRange(1), default=48.0, show_default=True, help="Speech in one, of all GPUs."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--init", type=click.Path(path_type=Path), help="A .safetensors checkpoint to start from.")
@click.option("--rate", type=float, default=1e-3, show_default=True, help="Highest learning rate.")
@click.option("--resume/--fresh", default=True, show_default=True, help="Go on from OUT's last state.")
def train(
    corpus,
    dataset,
    root,
    lips,
    landmarks,
    out,
    minutes,
    preset,
    hearing,
    warm_minutes,
    contrastive,
    acoustic,
    batch_seconds,
    seed,
    init,
    rate,
    resume,
) -> None:
    """Train a preset on a corpus or on captured motion; a killed run goes on when called again."""
    from ..synthesis import WEIGHTS
    from ..training.datasets import open_data_set
    from ..training.loop import train as run
    from ..training.options import TrainOptions

    if acoustic and preset == "wav2vec2-small":
        raise HiSTalkError("The preset `wav2vec2-small` learns to hear from nothing: leave --acoustic out.")
    if contrastive and (preset != "wav2vec2-small" or hearing or init):
        raise HiSTalkError(
            "--contrastive is a start for the preset `wav2vec2-small` alone, without --hearing or --init."
        )
    if preset == "wav2vec2-base" and not acoustic:
        raise HiSTalkError(
            "The preset `wav2vec2-base` needs wav2vec2-base's weights: name their folder with --acoustic."
        )
    if dataset == "corpus" and (lips or landmarks):
        raise HiSTalkError("--lips and --landmarks go with --dataset vocaset or biwi: the bundled head has its own.")
    if corpus and (root or dataset != "corpus"):
        raise HiSTalkError(f"--corpus names our own corpus: give the folder of '{dataset}' with --root alone.")
    root = _root(corpus or root)
    if preset == "whisper-tiny" and not acoustic:
        hearing = hearing or WEIGHTS
    data = None if dataset == "corpus" else open_data_set(dataset, root, lips=lips, landmarks=landmarks)
    options = TrainOptions(
        root,
        out,
        data=data,
        minutes=minutes,
        pretrain_minutes=warm_minutes,
        preset=preset,
        acoustic_from=hearing,
        contrastive=contrastive,
        acoustic=acoustic,
        batch_seconds=batch_seconds,
        seed=seed,
        init=init,
        learning_rate=rate,
        resume=resume,
    )
    path = run(options)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one speaks
        click.echo(path)


@click.command()
@_data_options
@click.option("--upper-face", type=click.Path(path_type=Path), help="As --lips, for the upper face.")
@click.option("--split", default="test", show_default=True, help="train, val or test; for biwi also test-a and test-b.")
@click.option("--weights", type=click.Path(path_type=Path), help=WEIGHTS_HELP)
@click.option(
    "--most", type=click.IntRange(1), default=120, show_default=True, help="Recordings of a group at the most."
)
@click.option("--baselines/--no-baselines", default=True, show_default=True, help="They need the training split.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for evaluation.json and plots.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def evaluate(dataset, root, lips, landmarks, upper_face, split, weights, most, baselines, out, device) -> None:
    """Score a checkpoint on a data set's split beside baselines; known voices and strangers apart."""
    from ..synthesis import WEIGHTS
    from ..synthesis.engine import pick_device
    from ..training.datasets import open_data_set
    from ..training.evaluation import plots, report
    from ..training.evaluation.evaluate import evaluate as run

    data = open_data_set(dataset, _root(root), lips=lips, upper_face=upper_face, landmarks=landmarks)
    if out:
        plots.import_pyplot()
        if out.exists() and not out.is_dir():
            raise HiSTalkError(f"'{out}' is a file: --out names a folder.")
    found = run(data, weights or WEIGHTS, split, most, baselines, pick_device(device))
    click.echo(report.table(found))
    for path in report.write(found, out) if out else ():
        click.echo(path)


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True, help="Folder made by corpus.build.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of runs, table.md and gates.png.")
@click.option(
    "--hearing", type=click.Path(path_type=Path), help="All share this checkpoint's frozen acoustic extractor."
)
@click.option(
    "--minutes", type=click.FloatRange(0), help="Of training, for each run; 30 when not given. Not with --hearing."
)
@click.option("--steps", type=click.IntRange(0), help="Stop sooner, after so many; with --hearing, of each run: 400.")
@click.option("--seeds", type=click.IntRange(1), help="3 when not given, 2 for curves.")
@click.option("--variant", "variants", multiple=True, help="One of them, may be repeated; all when not given.")
@click.option(
    "--curve",
    "curves",
    multiple=True,
    type=click.Choice(["speakers", "hours", "mixture"]),
    help="Of more speakers, more hours, or real people's share, in place of the variants; may be repeated.",
)
@click.option(
    "--most", type=click.IntRange(1), default=60, show_default=True, help="Recordings of a group at the most."
)
def experiments(corpus, out, hearing, minutes, steps, seeds, variants, curves, most) -> None:
    """Re-run the paper's ablations and two older designs on a corpus; a killed run goes on when called again."""
    from ..training.experiments import ablations, learning_curves
    from ..training.experiments.frozen_extractor import STEPS
    from ..training.experiments.plan import ExperimentPlan
    from ..training.options import TrainOptions

    for name in set(variants) - set(ablations.VARIANTS):
        raise HiSTalkError(f"There is no variant '{name}': choose among {', '.join(ablations.VARIANTS)}.")
    if hearing and minutes is not None:
        raise HiSTalkError("With --hearing runs are of equal steps, not minutes: give --steps.")
    if curves and (not hearing or variants):
        raise HiSTalkError("--curve is of the full network on a shared extractor: give --hearing and no --variant.")
    steps = (steps or STEPS) if hearing else (steps or 0)
    budget = TrainOptions(corpus, out, minutes=30.0 if minutes is None else minutes, steps=steps)
    plan = ExperimentPlan(corpus, out, budget, variants, seeds or (2 if curves else 3), most, hearing)
    paths = learning_curves.run(plan, curves) if curves else ablations.run(plan)
    click.echo(paths[0].read_text())
    for path in paths:
        click.echo(path)


COMMANDS = (train, evaluate, experiments)
