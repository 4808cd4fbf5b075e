"""The paper's experiments on our corpus: every variant at an equal budget over several seeds, one table, one picture."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...audio.reading import normalise_level
from ...errors import HiSTalkError, shown
from ...files import atomic_write
from ...network import HiSTalk
from ...network.hierarchy import LEVELS
from ...network.model import HiSTalkComponents
from ..datasets import DataSet, open_data_set
from ..evaluation.evaluate import evaluate
from ..evaluation.report import check_drawing
from ..loop import Taught, TrainOptions, read_state, train
from .middle import Bench
from .rivals import Autoregressive, PerFrame

# Variant -> changes of the config, and what builds the network.
VARIANTS: dict[str, tuple[dict, type[HiSTalk]]] = {
    "full": ({}, HiSTalk),
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
# iBUG's landmarks by facial region.
REGIONS = {
    "jaw line": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "outer lips": range(48, 60),
    "inner lips": range(60, 68),
}
HEARD = 40  # recordings that the gates are averaged over


@dataclass(frozen=True)
class Plan:
    """What is run."""

    corpus: Path
    out: Path
    options: TrainOptions  # the budget of a run; with `hearing`, its steps and its device
    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: int = 3
    most: int = 60  # recordings of a group at the most
    hearing: Path | None = None  # the checkpoint whose acoustic extractor all share; None = each learns to hear


def run(plan: Plan) -> list[Path]:
    """Train and score what is not scored yet; a killed run goes on where it was.

    With a shared extractor a run is a matter of minutes, so one that was killed begins anew; its features are kept.

    Returns:
        table.md and gates.png.

    Raises:
        HiSTalkError: corpus or weights are missing, or the folder holds runs of another budget.
    """
    draw = check_drawing()
    if plan.hearing:
        bench = Bench(plan.hearing, plan.corpus, plan.out, plan.most, plan.options.device)
        budget = budget_of(plan, bench)
    else:
        data = open_data_set("corpus", plan.corpus)
        budget = {"minutes": plan.options.minutes, "steps": plan.options.steps, "most": plan.most}
    scores: dict[str, list[dict]] = {variant: [] for variant in plan.variants}
    todo = [(variant, seed) for seed in range(plan.seeds) for variant in plan.variants]
    for variant, seed in tqdm(todo, desc="experiments", unit="run", disable=None):
        folder = plan.out / f"{variant.replace(' ', '-')}-{seed}"
        if plan.hearing:
            made = scored(folder, budget, lambda: _on_features(bench, plan.options.steps, variant, seed))
        else:
            made = scored(folder, budget, lambda: _from_nothing(plan, data, folder, variant, seed))
        scores[variant].append(made)
    paths = [plan.out / "table.md"]
    paths[0].write_text(table(scores) + "\n")
    if "full" in scores:
        paths.append(plan.out / "gates.png")
        _draw(draw, [told["gates"] for told in scores["full"]], paths[-1])
    return paths


def budget_of(plan: Plan, bench: Bench) -> dict:
    """What runs on kept features must have in common to stand in one table."""
    return {"hearing": bench.digest, "clips": len(bench.clips), "steps": plan.options.steps, "most": plan.most}


def scored(folder: Path, budget: dict, make: Callable[[], dict]) -> dict:
    """The folder's scores.json, made if it is not there yet.

    Raises:
        HiSTalkError: it was made at another budget.
    """
    path = folder / "scores.json"
    if path.exists():
        try:
            told = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise HiSTalkError(f"'{path}' cannot be read ({shown(error)}): delete it, and it is made again.") from error
        if not isinstance(told, dict) or told.get("budget") != budget:
            raise HiSTalkError(f"'{path}' was made at another budget or with other weights: name another --out.")
        return told
    told = make() | {"budget": budget}
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(told, indent=1).encode())
    return told


def _on_features(bench: Bench, steps: int, variant: str, seed: int) -> dict:
    changes, build = VARIANTS[variant]
    model = bench.build(build, changes, seed)
    told = bench.train(model, seed, steps, f"{variant} {seed}")
    told |= {"weights": _size(model), "groups": bench.scores(model)}
    if variant == "full":
        told["gates"] = gates(bench.components(model, place) for place in _spread(range(len(bench.tested))))
    return told


def _from_nothing(plan: Plan, data: DataSet, folder: Path, variant: str, seed: int) -> dict:
    changes, build = VARIANTS[variant]
    options = replace(plan.options, out=folder, seed=seed, build=build, changes=tuple(changes.items()))
    began = time.process_time()
    train(options)
    seconds = time.process_time() - began
    model = trained(options)
    found = evaluate(data, model, most=plan.most, baselines=False, device=options.device)
    rows = {group: scores["network"].row for group, scores in found.groups.items()}
    told = {"seconds": seconds, "weights": _size(model), "groups": rows}
    if variant == "full":
        chosen = _spread(data.recordings("test"))
        with torch.inference_mode():
            told["gates"] = gates(
                model.components(torch.from_numpy(normalise_level(recording.samples()))[None].to(options.device))
                for recording in chosen
            )
    return told


def _size(model: HiSTalk) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _spread(tested: Sequence) -> Sequence:
    """`HEARD` of them, from every group."""
    return tested[:: max(1, len(tested) // HEARD)][:HEARD]


def trained(options: TrainOptions) -> HiSTalk:
    """The network of a finished run, from its state: `load_checkpoint` knows no rivals."""
    config = replace(Taught(options.corpus).config(options.preset, options.acoustic), **dict(options.changes))
    model = options.build(config)
    model.load_state_dict(read_state(options.out / "state.pt", "cpu")["model"])
    return model.to(options.device).eval()


def table(scores: dict[str, list[dict]]) -> str:
    """Mean and spread over seeds; known voices and strangers apart, groups of one kind pooled by their clips."""
    lines = []
    for kind, title in (("test_known", "Known voices, new sentences"), ("test_stranger", "Strangers")):
        head = ["", "weights M", "processor s", *COLUMNS.values()]
        lines += [f"{title}\n", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for variant, runs in scores.items():
            cells = [f"{runs[0]['weights'] / 1e6:.1f}", f"{np.mean([told['seconds'] for told in runs]):.0f}"]
            for key in COLUMNS:
                cells.append(cell([pooled(told["groups"], kind, key) for told in runs], 0 if key == "mtm_ms" else 3))
            lines.append(f"| {variant} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def cell(values: list[float | None], digits: int) -> str:
    """Mean ± spread of what is known."""
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f} ± {np.std(known):.{digits}f}" if known else "–"


def pooled(groups: dict[str, dict], kind: str, key: str) -> float | None:
    """One number of all groups whose name begins so, each by its clips; None where none has it."""
    rows = [row for group, row in groups.items() if group.startswith(kind) and row.get(key) is not None]
    return float(np.average([row[key] for row in rows], weights=[row["clips"] for row in rows])) if rows else None


def gates(outs: Iterable[HiSTalkComponents]) -> dict[str, list]:
    """Each level's mean gate, and its share of the landmarks' motion, by facial region: [4][regions] each.

    A gate alone misleads where its level hardly moves: the share weighs x·F_x.
    """
    opened, moved = [], []
    for out in outs:
        opened.append(out.gates[0].mean(1).cpu().numpy())  # [4, 68]
        moved.append(out.levels[0].norm(dim=-1).mean(1).cpu().numpy())
    opened, moved = np.mean(opened, 0), np.mean(moved, 0)
    by_region = [[values[:, list(marks)].mean(1) for marks in REGIONS.values()] for values in (opened, moved)]
    mean, size = (np.array(values).T for values in by_region)
    return {"gate": mean.tolist(), "share": (size / np.maximum(size.sum(0), 1e-12)).tolist()}


def _draw(draw, runs: list[dict], path: Path) -> None:
    figure, axes = draw.subplots(1, 2, figsize=(12, 3.4))
    for axis, key, title in zip(axes, ("gate", "share"), ("mean gate", "share of the motion")):
        values = np.mean([run[key] for run in runs], 0)
        spread = np.std([run[key] for run in runs], 0)
        axis.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            colour = "w" if value < 0.6 else "k"
            axis.text(j, i, f"{value:.2f} ± {spread[i, j]:.2f}", ha="center", va="center", fontsize=8, color=colour)
        axis.set_xticks(range(len(REGIONS)), REGIONS, fontsize=8)
        axis.set_yticks(range(len(LEVELS)), LEVELS, fontsize=8)
        axis.set_title(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    draw.close(figure)
