"""Score a checkpoint on any split of any data set, beside three baselines: `histalk evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...audio.loudness import normalise_loudness
from ...errors import HiSTalkError
from ...head.head import load_head
from ...head.topologies import topology_named
from ...motion.motion import Motion
from ...network import HiSTalk, load_checkpoint
from ...synthesis.checks import check_outputs
from ...synthesis.clips import predict_batch
from ..datasets import DataSet, Recording, Topology
from .baselines import Baselines
from .scoring import Predict, Score, score


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
    check_outputs(model, topology.name, topology.vertices)
    shapes = model.get_parameter(f"outputs.{topology.name}.basis").detach().float().cpu().numpy()
    # Outputs beside the bundled head's were retargeted from it, so they are of that head's size.
    known = topology_named(topology.name) if load_head().topology in model.outputs else None

    def predict(recording: Recording) -> np.ndarray:
        sound = normalise_loudness(recording.samples())
        (parts,) = predict_batch(model, [sound], device, names=[f"'{recording.id}'"])
        own = known.pose(recording.neutral).apply(shapes) if known else shapes
        weights = parts["weights"][: model.config.frames(len(sound))]
        return Motion(weights, own, model.config.fps).at_fps(topology.fps).displacements()

    return predict


def evaluate(
    data: DataSet,
    weights: Path | HiSTalk,
    split: str = "test",
    max_per_group: int = 120,
    baselines: bool = True,
    device: str = "cpu",
) -> Evaluation:
    """Score a checkpoint and the baselines, each group of the split apart.

    Args:
        weights: a checkpoint, or a model on the device already.
        max_per_group: recordings of a group at the most.

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
    predictors["the teacher" if recordings[0].arkit_weights else "the reference"] = lambda recording: recording.motion()
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.group, []).append(recording)
    groups = {name: group[:max_per_group] for name, group in sorted(groups.items())}
    total = sum(map(len, groups.values())) * len(predictors)
    with tqdm(total=total, desc="evaluate", unit="clip", leave=False, disable=None) as bar:
        scores = {
            name: {who: score(group, predict, data.topology, bar.update) for who, predict in predictors.items()}
            for name, group in groups.items()
        }
    return Evaluation(data, split, weights, scores, recordings[0].neutral)
