"""The paper's ablations and two older designs on our corpus, at an equal budget over several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...audio.loudness import normalise_loudness
from ...network import HiSTalk
from ...network.hierarchy import LEVELS
from ..datasets import open_data_set
from ..evaluation.evaluate import evaluate
from ..evaluation.plots import import_pyplot
from ..examples.sources import CorpusSource
from ..loop import train
from ..options import TrainOptions
from ..run_state import read_state
from .frozen_extractor import FrozenExtractorRuns
from .gates import draw_gates, mean_gates
from .plan import ExperimentPlan
from .reference_designs import Autoregressive, PerFrame
from .results import cell, kept_scores, pooled

FULL = "full"
# Variant -> changes of the config, and what builds the network.
VARIANTS: dict[str, tuple[dict, type[HiSTalk]]] = {
    FULL: ({}, HiSTalk),
    "frame level only": ({"levels": ("frame",)}, HiSTalk),
    **{f"without {gone}": ({"levels": tuple(x for x in LEVELS if x != gone)}, HiSTalk) for gone in LEVELS},
    "without gating": ({"gating": False}, HiSTalk),
    "one branch": ({"single_branch": True}, HiSTalk),
    "without fusion": ({"fusion": False}, HiSTalk),
    "without CMG": ({"coarse": False}, HiSTalk),
    "autoregressive": ({}, Autoregressive),
    "per frame": ({}, PerFrame),
}
COLUMNS = {
    "vertex_error_mm": "vertex error mm",
    "root_lve_mm": "root LVE mm",
    "opening_correlation": "opening correlation",
    "closure_recall": "closure recall",
    "closure_precision": "precision",
    "phone_accuracy": "phones",
    "mtm_ms": "MTM ms",
    "jitter": "jitter",
}
GATE_RECORDINGS = 40  # that the gates are averaged over


def run(plan: ExperimentPlan) -> list[Path]:
    """Train and score what is not scored yet; interrupted runs resume.

    With a shared extractor a run is a matter of minutes: an interrupted one starts again, its features are kept.

    Returns:
        table.md and gates.png.

    Raises:
        HiSTalkError: corpus or weights are missing, or the folder holds runs of another budget.
    """
    draw = import_pyplot()
    make, budget = _on_features(plan) if plan.acoustic_from else _whole_trainings(plan)
    variants = plan.variants or tuple(VARIANTS)
    scores: dict[str, list[dict]] = {variant: [] for variant in variants}
    todo = [(variant, seed) for seed in range(plan.seeds) for variant in variants]
    for variant, seed in tqdm(todo, desc="experiments", unit="run", disable=None):
        folder = plan.out / f"{variant.replace(' ', '-')}-{seed}"
        scores[variant].append(kept_scores(folder, budget, partial(make, folder, variant, seed)))
    paths = [plan.out / "table.md"]
    paths[0].write_text(table(scores) + "\n")
    if FULL in scores:
        paths.append(plan.out / "gates.png")
        draw_gates(draw, [run["gates"] for run in scores[FULL]], paths[-1])
    return paths


Make = Callable[[Path, str, int], dict]  # a run's folder, variant and seed -> its scores


def _on_features(plan: ExperimentPlan) -> tuple[Make, dict]:
    """Runs on the kept features of one frozen extractor, and their budget."""
    shared = FrozenExtractorRuns(plan)

    def make(folder: Path, variant: str, seed: int) -> dict:
        changes, build = VARIANTS[variant]
        model = shared.build(build, changes, seed)
        scores: dict = shared.train(model, seed, plan.options.steps, f"{variant} {seed}")
        scores |= {"weights": _size(model), "groups": shared.scores(model)}
        if variant == FULL:
            places = _spread(range(len(shared.tested)))
            scores["gates"] = mean_gates(shared.components(model, place) for place in places)
        return scores

    return make, shared.budget


def _whole_trainings(plan: ExperimentPlan) -> tuple[Make, dict]:
    """Runs that train the extractor too, and their budget."""
    data = open_data_set("corpus", plan.corpus)

    def make(folder: Path, variant: str, seed: int) -> dict:
        changes, build = VARIANTS[variant]
        options = replace(
            plan.options, out=folder, seed=seed, build=build, changes=(*plan.options.changes, *changes.items())
        )
        began = time.process_time()
        train(options)
        seconds = time.process_time() - began
        model = trained(options)
        found = evaluate(data, model, max_per_group=plan.max_per_group, baselines=False, device=options.device)
        rows = {group: scores["network"].row for group, scores in found.groups.items()}
        scores: dict = {"seconds": seconds, "weights": _size(model), "groups": rows}
        if variant == FULL:
            sounds = [normalise_loudness(recording.samples()) for recording in _spread(data.recordings("test"))]
            waves = (torch.from_numpy(sound)[None].to(options.device) for sound in sounds)
            with torch.inference_mode():
                scores["gates"] = mean_gates(model.components(wave) for wave in waves)
        return scores

    return make, plan.budget()


def _size(model: HiSTalk) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _spread(tested: Sequence) -> Sequence:
    """`GATE_RECORDINGS` of them, from every group."""
    return tested[:: max(1, len(tested) // GATE_RECORDINGS)][:GATE_RECORDINGS]


def trained(options: TrainOptions) -> HiSTalk:
    """The network of a finished run, from its state: `load_checkpoint` cannot build reference designs."""
    config = replace(CorpusSource(options.corpus).config(options.preset, options.acoustic), **dict(options.changes))
    model = options.build(config)
    model.load_state_dict(read_state(options.state, "cpu")[0])
    return model.to(options.device).eval()


def table(scores: dict[str, list[dict]]) -> str:
    """Mean and spread over seeds; known voices and strangers apart, groups of one kind pooled by their clips."""
    lines = []
    for kind, title in (("test_known", "Known voices, new sentences"), ("test_stranger", "Strangers")):
        head = ["", "weights M", "processor s", *COLUMNS.values()]
        lines += [f"{title}\n", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for variant, runs in scores.items():
            cells = [f"{runs[0]['weights'] / 1e6:.1f}", f"{np.mean([row['seconds'] for row in runs]):.0f}"]
            for key in COLUMNS:
                cells.append(cell([pooled(row["groups"], kind, key) for row in runs], 0 if key == "mtm_ms" else 3))
            lines.append(f"| {variant} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
