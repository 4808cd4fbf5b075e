"""`histalk train`, `evaluate` and `experiments`, which the extension does not have."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..errors import HiSTalkError
from .options import FILE, weights_option

# `network.PRESETS` and `learning_curves.CURVES`, which cannot be asked before PyTorch is imported.
PRESETS = ("whisper-tiny", "wav2vec2-small", "wav2vec2-base")
CURVES = ("speakers", "hours", "mixture")


def _data_options(command):
    """What names a data set, for `train` and `evaluate`."""
    for option in (
        click.option(
            "--landmarks", type=FILE, help="File of 68 vertex indices in iBUG's order; BIWI has none of its own."
        ),
        click.option("--lips", type=FILE, help="File of vertex indices in place of our mask, or FLAME_masks.pkl:lips."),
        click.option("--root", type=FILE, help="Folder of the data set."),
        click.option(
            "--dataset", type=click.Choice(["corpus", "vocaset", "biwi"]), default="corpus", show_default=True
        ),
    ):
        command = option(command)
    return command


def _max_per_group(default: int):
    return click.option(
        "--max-per-group",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help="Recordings of each group that are scored.",
    )


def _root(path: Path | None) -> Path:
    if path is None:
        raise HiSTalkError("No data set is named: give its folder with --root.")
    return path


@click.command(short_help="Train a network.")
@click.option("--corpus", type=FILE, help="Folder made by corpus.build; short for --dataset corpus --root.")
@_data_options
@click.option("--out", type=FILE, required=True, help="Folder of the checkpoint, the state and the log.")
@click.option("--minutes", type=click.FloatRange(0), default=180.0, show_default=True, help="Of training in all.")
@click.option("--preset", type=click.Choice(PRESETS), default=PRESETS[0], show_default=True)
@click.option(
    "--acoustic-from",
    type=FILE,
    help="Checkpoint whose acoustic encoder is copied, or distilled if of another kind; for `whisper-tiny` the bundled "
    "one when not given.",
)
@click.option(
    "--acoustic",
    default="",
    help="Pre-trained weights of the encoder: Whisper tiny's folder for `whisper-tiny`, wav2vec2-base's folder or hub "
    "name for `wav2vec2-base`.",
)
@click.option(
    "--pretrain-minutes",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Of pretraining the encoder without labels, before --minutes begin.",
)
@click.option(
    "--contrastive",
    is_flag=True,
    help="Pretrain `wav2vec2-small` by wav2vec 2.0's self-supervision in place of log-mel bands.",
)
@click.option(
    "--batch-seconds",
    type=click.FloatRange(1),
    default=48.0,
    show_default=True,
    help="Seconds of speech in a batch, over all GPUs.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--init", type=FILE, help="A .safetensors checkpoint to start from.")
@click.option("--lr", "learning_rate", type=float, default=1e-3, show_default=True, help="Highest learning rate.")
@click.option("--resume/--fresh", default=True, show_default=True, help="Resume from the state in OUT, or begin anew.")
def train(corpus, dataset, root, lips, landmarks, preset, acoustic, acoustic_from, **options) -> None:
    """Train a preset on a corpus or on captured motion; the same command resumes an interrupted run."""
    from ..network.config import PRESETS as CONFIGS
    from ..synthesis import WEIGHTS
    from ..training.datasets import open_data_set
    from ..training.loop import train as run
    from ..training.options import TrainOptions

    if dataset == "corpus" and (lips or landmarks):
        raise HiSTalkError("--lips and --landmarks go with --dataset vocaset or biwi: the bundled head has its own.")
    if corpus and (root or dataset != "corpus"):
        raise HiSTalkError(f"--corpus names our own corpus: give the folder of '{dataset}' with --root alone.")
    root = _root(corpus or root)
    if CONFIGS[preset](0).acoustic == "whisper" and not acoustic:
        acoustic_from = acoustic_from or WEIGHTS
    data = None if dataset == "corpus" else open_data_set(dataset, root, lips=lips, landmarks=landmarks)
    path = run(TrainOptions(root, data=data, preset=preset, acoustic=acoustic, acoustic_from=acoustic_from, **options))
    if os.environ.get("RANK", "0") == "0":  # one of torchrun's processes prints
        click.echo(path)


@click.command(short_help="Score a checkpoint on a data set.")
@_data_options
@click.option("--upper-face", type=FILE, help="As --lips, for the upper face.")
@click.option("--split", default="test", show_default=True, help="train, val or test; for biwi also test-a and test-b.")
@weights_option
@_max_per_group(120)
@click.option("--baselines/--no-baselines", default=True, show_default=True, help="They need the training split.")
@click.option("--out", type=FILE, help="Folder for evaluation.json and plots.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def evaluate(dataset, root, lips, landmarks, upper_face, split, weights, max_per_group, baselines, out, device) -> None:
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
    found = run(data, weights or WEIGHTS, split, max_per_group, baselines, pick_device(device))
    click.echo(report.table(found))
    for path in report.write(found, out) if out else ():
        click.echo(path)


@click.command(short_help="Ablations and learning curves.")
@click.option("--corpus", type=FILE, required=True, help="Folder made by corpus.build.")
@click.option("--out", type=FILE, required=True, help="Folder of runs, table.md and gates.png.")
@click.option("--acoustic-from", type=FILE, help="Checkpoint whose acoustic encoder is frozen and shared by all runs.")
@click.option(
    "--minutes",
    type=click.FloatRange(0),
    help="Of training, for each run; 30 when not given. Not with --acoustic-from.",
)
@click.option(
    "--steps",
    type=click.IntRange(0),
    help="Stop sooner, after so many; with --acoustic-from, of each run: 400 when not given.",
)
@click.option("--seeds", type=click.IntRange(1), help="Runs of each; 3 when not given, 2 for curves.")
@click.option("--variant", "variants", multiple=True, help="One of them, may be repeated; all when not given.")
@click.option(
    "--curve",
    "curves",
    multiple=True,
    type=click.Choice(CURVES),
    help="Of more speakers, more hours, or real people's share, in place of the variants; may be repeated.",
)
@_max_per_group(60)
def experiments(corpus, out, acoustic_from, minutes, steps, seeds, variants, curves, max_per_group) -> None:
    """Run the paper's ablations and two older designs on a corpus; the same command resumes."""
    from ..training.experiments import ablations, learning_curves
    from ..training.experiments.frozen_extractor import STEPS
    from ..training.experiments.plan import ExperimentPlan
    from ..training.options import TrainOptions

    for name in set(variants) - set(ablations.VARIANTS):
        raise HiSTalkError(f"There is no variant '{name}': choose among {', '.join(ablations.VARIANTS)}.")
    if acoustic_from and minutes is not None:
        raise HiSTalkError("With --acoustic-from runs are of equal steps, not minutes: give --steps.")
    if curves and (not acoustic_from or variants):
        raise HiSTalkError("--curve is of the full network on a shared encoder: give --acoustic-from and no --variant.")
    steps = (steps or STEPS) if acoustic_from else (steps or 0)
    budget = TrainOptions(corpus, out, minutes=30.0 if minutes is None else minutes, steps=steps)
    seeds = seeds or (2 if curves else 3)
    plan = ExperimentPlan(corpus, out, budget, variants, seeds, max_per_group, acoustic_from)
    paths = learning_curves.run(plan, curves) if curves else ablations.run(plan)
    click.echo(paths[0].read_text())
    for path in paths:
        click.echo(path)


COMMANDS = (train, evaluate, experiments)
