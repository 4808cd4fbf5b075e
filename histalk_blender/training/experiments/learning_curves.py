"""Learning curves: what more speakers, more hours and a larger share of real speech do for a stranger's voice.

The shared extractor was trained on every speaker of the corpus, so the curves show what the rest of the network gains
from more people, not what the extractor does: they are flatter than curves of whole trainings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...errors import HiSTalkError
from ...network import HiSTalk
from ..corpus.clips import Clip
from ..evaluation.plots import import_pyplot
from ..examples.batches import SHARES, chances
from .frozen_extractor import FrozenExtractorRuns
from .plan import ExperimentPlan
from .results import cell, kept_scores, pooled

SPEAKERS = (1, 4, 16, 64)  # and all
HOURS = (0.05, 0.2, 0.8, 3.2)  # and all
MIXTURE = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0)  # real people's share of what is drawn
SPOKEN = 0.75  # hours of speech at each number of speakers: a sentence of each of all, or much of a few
SCORES = {
    "opening_correlation": "opening correlation",
    "closure_recall": "closure recall",
    "closure_precision": "precision",
    "phone_accuracy": "phones",
}


def by_speakers(clips: list[Clip], seed: int) -> dict[float, np.ndarray]:
    """Number of real speakers -> places of their clips; a smaller set's speakers are in all larger ones.

    Each set holds `SPOKEN` hours, or what there is, as evenly of its speakers as they allow: more speakers are not
    more speech. The first speaker is one with that much speech, and those with more tend to come sooner: one long
    speaker and three sentences of others would not be four speakers.
    """
    random = np.random.default_rng(seed)
    spoken: dict[tuple[str, str], list[int]] = {}
    for place in random.permutation(_real(clips)):
        spoken.setdefault((clips[place].source, clips[place].speaker), []).append(int(place))
    length = {speaker: sum(clips[i].seconds for i in places) for speaker, places in spoken.items()}
    turn = {speaker: random.exponential() / length[speaker] for speaker in sorted(spoken)}
    order = sorted(spoken, key=lambda speaker: turn[speaker])
    first = next(
        (speaker for speaker in order if length[speaker] >= 3600 * SPOKEN),
        max(order, key=lambda speaker: length[speaker]),
    )
    order = [first, *(speaker for speaker in order if speaker != first)]
    sets: dict[float, np.ndarray] = {}
    for count in sorted({min(count, len(order)) for count in (*SPEAKERS, len(order))}):
        chosen, left = [], 3600 * SPOKEN
        # Speakers with little speech give all of it, the others fill up.
        for rank, speaker in enumerate(sorted(order[:count], key=lambda speaker: length[speaker])):
            part = _until(clips, spoken[speaker], left / (count - rank))
            left -= sum(clips[i].seconds for i in part)
            chosen += part
        sets[count] = np.array(chosen)
    return sets


def by_hours(clips: list[Clip], seed: int) -> dict[float, np.ndarray]:
    """Hours of real speech -> places of clips of any speaker; a smaller set is part of all larger ones."""
    order = np.random.default_rng(seed).permutation(_real(clips)).tolist()
    whole = sum(clips[i].seconds for i in order) / 3600
    sets = {hours: np.array(_until(clips, order, 3600 * hours)) for hours in HOURS if hours < whole}
    return sets | {round(whole, 2): np.array(order)}


def by_mixture(clips: list[Clip]) -> dict[float, np.ndarray]:
    """Real people's share -> how often each clip is drawn [clips]; within people and machines by `batches.SHARES`.

    Raises:
        HiSTalkError: one of the two is missing.
    """
    people = np.isin(np.arange(len(clips)), _real(clips))
    if people.all() or not people.any():
        raise HiSTalkError("A mixture needs both real and synthetic speech in the corpus' training split.")
    usual = chances(clips)
    parts = [np.where(chosen, usual, 0) / usual[chosen].sum() for chosen in (people, ~people)]
    return {share: share * parts[0] + (1 - share) * parts[1] for share in MIXTURE}


def _even(clips: list[Clip], subsets: Mapping[float, np.ndarray]) -> dict[float, np.ndarray]:
    """Places chosen of the clips -> how often each is drawn [clips], by length alone."""
    out = {size: np.zeros(len(clips)) for size in subsets}
    for size, chosen in subsets.items():
        out[size][chosen] = chances([clips[i] for i in chosen], by_source=False)
    return out


CURVES = {  # name -> title, label of its axis, chances of each size by clips and seed
    "speakers": ("By speakers, at equal speech", "real speakers", lambda *given: _even(given[0], by_speakers(*given))),
    "hours": ("By hours, of any speakers", "hours of real speech", lambda *given: _even(given[0], by_hours(*given))),
    "mixture": ("By real people's share of what is drawn", "share of real speech", lambda clips, _: by_mixture(clips)),
}


def _real(clips: list[Clip]) -> list[int]:
    return [i for i, clip in enumerate(clips) if clip.source in SHARES]


def _until(clips: list[Clip], places: list[int], seconds: float) -> list[int]:
    """The first of them that come nearest to so many seconds, one at the least."""
    ends = np.cumsum([clips[i].seconds for i in places])
    return places[: int(np.abs(ends - seconds).argmin()) + 1]


def run(plan: ExperimentPlan, kinds: Sequence[str] = tuple(CURVES)) -> list[Path]:
    """Train and score the full design at every size that is not scored yet; an interrupted command resumes.

    Args:
        kinds: which of `CURVES`.

    Returns:
        curves.md and curves.png.

    Raises:
        HiSTalkError: corpus or weights are missing, or the folder holds runs of another budget.
    """
    draw = import_pyplot()
    shared = FrozenExtractorRuns(plan)
    todo = [
        (kind, size, seed, chance)
        for seed in range(plan.seeds)
        for kind in kinds
        for size, chance in CURVES[kind][2](shared.clips, seed).items()
    ]
    curves: dict[str, dict[float, list[dict]]] = {kind: {} for kind in kinds}
    for kind, size, seed, chance in tqdm(todo, desc="curves", unit="run", disable=None):
        make = partial(_run, shared, plan.options.steps, f"{size} {kind}", seed, chance)
        scores = kept_scores(plan.out / f"{kind}-{size}-{seed}", shared.budget, make)
        curves[kind].setdefault(size, []).append(scores)
    paths = [plan.out / "curves.md", plan.out / "curves.png"]
    paths[0].write_text(table(curves) + "\n")
    _draw(draw, curves, paths[1])
    return paths


def _run(shared: FrozenExtractorRuns, steps: int, name: str, seed: int, chance: np.ndarray) -> dict:
    """Train the full design on clips that are drawn by their chance, and score it."""
    model = shared.build(HiSTalk, {}, seed)
    scores = shared.train(model, seed, steps, name, chance)
    drawn = [shared.clips[i] for i in chance.nonzero()[0]]
    scores["speech"] = sum(clip.seconds for clip in drawn) / 3600
    scores["speakers"] = len({(clip.source, clip.speaker) for clip in drawn})
    return scores | {"groups": shared.scores(model)}


def table(curves: dict[str, dict[float, list[dict]]]) -> str:
    """Strangers' scores, mean and spread over seeds, a table a curve."""
    lines = []
    for kind, sizes in curves.items():
        title, label, _ = CURVES[kind]
        head = [label, "speakers", "hours", *SCORES.values()]
        lines += [f"{title}\n", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for size, runs in sizes.items():
            speakers, hours = (np.mean([run[key] for run in runs]) for key in ("speakers", "speech"))
            cells = [f"{size:g}", f"{speakers:.0f}", f"{hours:.2f}"]
            cells += [cell([pooled(run["groups"], "test_stranger", key) for run in runs], 3) for key in SCORES]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _draw(draw, curves: dict[str, dict[float, list[dict]]], path: Path) -> None:
    figure, axes = draw.subplots(len(curves), len(SCORES), figsize=(13, 3 * len(curves)), sharey="col", squeeze=False)
    for row, kind in enumerate(curves):
        sizes = sorted(curves[kind])
        for axis, (key, title) in zip(axes[row], SCORES.items()):
            values = [[pooled(run["groups"], "test_stranger", key) for run in curves[kind][size]] for size in sizes]
            values = np.array(values, float)  # None becomes NaN, which is not drawn
            axis.plot(sizes, values, "o", color="C0", alpha=0.4, markersize=4)
            axis.plot(sizes, values.mean(1), color="C0")
            axis.set_xscale("linear" if kind == "mixture" else "log")
            axis.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=8)
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.set_xlabel(CURVES[kind][1], fontsize=9)
            axis.set_title(title, fontsize=10)
    figure.suptitle("Strangers; the shared extractor was trained on all speakers", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    draw.close(figure)
