"""Score a checkpoint on any split of any data set, beside three baselines.

python -m histalk_blender.training.evaluate --corpus corpus --weights model_weights/histalk-small.safetensors
is what `histalk evaluate --dataset corpus --root corpus` does, with one JSON file in place of a folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm

from ..audio import normalise_level
from ..errors import HiSTalkError
from ..flame import pose_of
from ..head import lip_opening, load_head
from ..motion import Motion
from ..network import HiSTalk, load_checkpoint
from . import metrics
from .baselines import Baselines
from .datasets import DataSet, Recording, Topology, open_data_set
from .report import as_json, table

TRACKS = 3  # clips of a group whose lip tracks are kept to be drawn

Predict = Callable[[Recording], np.ndarray]  # -> [T, V, 3] displacements


@dataclass
class Score:
    """What one predictor reached on one group."""

    row: dict[str, float | None]
    vertex_errors: np.ndarray  # [V] mean distance
    tracks: list[tuple[Recording, np.ndarray]] = field(default_factory=list)  # openings above rest [2, T]: true, predicted


@dataclass(frozen=True)
class Evaluation:
    """All scores of a data set's split."""

    data: DataSet
    split: str
    weights: Path | HiSTalk
    groups: dict[str, dict[str, Score]]  # group -> predictor -> score
    neutral: np.ndarray  # [V, 3] of one recording, to draw errors on


def network(model: HiSTalk, topology: Topology, device: str = "cpu") -> Predict:
    """The checkpoint as a predictor.

    Raises:
        HiSTalkError: it has no output for the topology.
    """
    if topology.name not in model.outputs:
        raise HiSTalkError(
            f"The weights have no output for '{topology.name}', only for {', '.join(model.outputs)}: train some on "
            "this data set with `histalk train --dataset`."
        )
    shapes = model.outputs[topology.name].basis.detach().float().cpu().numpy()
    # FLAME's output beside the bundled head's was read off that head, so it is of that head's size.
    borrowed = topology.name == "flame" and "histalk" in model.outputs

    def predict(recording: Recording) -> np.ndarray:
        sound = torch.from_numpy(normalise_level(recording.samples()))[None].to(device)
        with torch.inference_mode():
            out = model.components(sound)
        own = shapes
        if borrowed:
            scale, rotation = pose_of(recording.neutral, load_head())
            own = shapes @ (scale * rotation).T.astype(np.float32)
        weights = (out.fine + out.coarse)[0].float().cpu().numpy()
        return Motion(weights, own, model.config.fps).at_fps(topology.fps).displacements()

    return predict


def score(recordings: list[Recording], predict: Predict, topology: Topology, advance=lambda: None) -> Score:
    """One predictor's row: what a metric needs and the data do not have is None.

    Args:
        advance: called after each recording.
    """
    lips, upper, fps = topology.lips, topology.upper_face, topology.fps
    moving = np.unique(np.concatenate([mask for mask in (lips, upper) if mask is not None] or [np.arange(0)]))
    frames, errors, lip, readable = 0, np.zeros(topology.vertices), 0.0, 0.0  # sums over frames
    jitters, late, shut, bitten = np.zeros(2), np.zeros(2), np.zeros(4, int), np.zeros(4, int)
    fdds, pairs, tracks = [], [], []
    for recording in recordings:
        truth, predicted = recording.motion(), predict(recording)
        T = min(len(truth), len(predicted))
        truth, predicted = truth[:T], predicted[:T]
        frames += T
        errors += np.linalg.norm(truth - predicted, axis=-1).sum(0, dtype=np.float64)
        if lips is not None:
            width = float(np.ptp(recording.neutral[lips], 0).max())
            lip += T * metrics.lve(truth, predicted, lips)
            readable += T * metrics.lrp(truth, predicted, lips, width)
        if upper is not None:
            fdds.append(metrics.fdd(truth, predicted, upper))
        if len(moving):
            jitters += [T * metrics.jitter(motion[:, moving]) for motion in (truth, predicted)]
        if topology.landmarks:
            rest = topology.landmarks(recording.neutral)
            marks = [topology.landmarks(recording.neutral + motion) for motion in (truth, predicted)]
            pairs.append(np.stack([lip_opening(points) - lip_opening(rest) for points in marks]))
            late += metrics.misalignment(*pairs[-1], fps)
            if recording.phones:
                shut += metrics.closures(pairs[-1][1], recording.phones, fps)
                bitten += metrics.bites(metrics.lower_lip_drop(marks[1], rest), recording.phones, fps)
            tracks += [(recording, pairs[-1])][: TRACKS - len(tracks)]
        advance()
    both = np.concatenate(pairs, 1) if pairs else np.zeros((2, 1))
    unit = "mm" if topology.metres else "thousandths"

    def share(part: float, whole: float) -> float | None:
        return float(part / whole) if whole else None

    row = {
        "clips": len(recordings),
        f"vertex_error_{unit}": 1000 * float(errors.mean()) / frames,
        f"root_lve_{unit}": None if lips is None else 1000 * float(np.sqrt(lip / frames)),
        "opening_correlation": float(np.corrcoef(both)[0, 1]) if both.std(1).min() > 1e-7 else None,
        "closure_recall": share(shut[0], shut[1]),
        "closure_precision": share(shut[2], shut[3]) if shut[1] else None,
        "labiodental_recall": share(bitten[0], bitten[1]),
        "labiodental_precision": share(bitten[2], bitten[3]) if bitten[1] else None,
        "mtm_ms": None if not late[1] else 1000 * float(late[0] / late[1]),
        "jitter": share(jitters[1], jitters[0]),
        "lrp": None if lips is None else readable / frames,
        "lve": None if lips is None else lip / frames,
        "fdd": None if upper is None else float(np.mean(fdds)),
        "abs_fdd": None if upper is None else float(np.mean(np.abs(fdds))),
    }
    return Score(row, errors / frames, tracks)


def evaluate(
    data: DataSet, weights: Path | HiSTalk, split: str = "test", most: int = 120, baselines: bool = True, device: str = "cpu"
) -> Evaluation:
    """Score a checkpoint and the baselines, each group of the split apart.

    Args:
        weights: a checkpoint, or a model on the device already.
        most: recordings of a group at the most.

    Raises:
        HiSTalkError: data or weights are missing or do not belong together.
    """
    recordings = data.recordings(split)
    if not recordings:
        raise HiSTalkError(f"The split '{split}' of '{data.root}' holds no recordings: choose another.")
    model = weights if isinstance(weights, HiSTalk) else load_checkpoint(weights, device)
    predictors = {"network": network(model, data.topology, device)}
    if baselines:
        simple = Baselines(data)
        predictors |= {name: lambda recording, name=name: simple.predict(name, recording) for name in simple.names}
    predictors["the teacher" if recordings[0].units else "the reference"] = lambda recording: recording.motion()
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.group, []).append(recording)
    groups = {name: group[:most] for name, group in sorted(groups.items())}
    total = sum(map(len, groups.values())) * len(predictors)
    with tqdm(total=total, desc="evaluate", unit="clip", leave=False, disable=None) as bar:
        scores = {
            name: {who: score(group, predict, data.topology, bar.update) for who, predict in predictors.items()}
            for name, group in groups.items()
        }
    return Evaluation(data, split, weights, scores, recordings[0].neutral)


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True)
@click.option("--weights", type=click.Path(path_type=Path), required=True)
@click.option("--most", type=int, default=120, show_default=True, help="Clips of a split at the most.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the table as JSON.")
def main(corpus: Path, weights: Path, most: int, out: Path | None) -> None:
    """Print one table: strangers and known voices apart, the network beside the baselines."""
    found = evaluate(open_data_set("corpus", corpus), weights, most=most)
    click.echo(table(found))
    if out:
        out.write_text(json.dumps(as_json(found)["groups"], indent=1))


if __name__ == "__main__":
    main()
