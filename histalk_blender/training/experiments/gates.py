"""What each level's gates let through by facial region, as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...network.hierarchy import LEVELS
from ...network.model import HiSTalkComponents

# iBUG's landmarks by facial region.
REGIONS = {
    "jaw line": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "outer lips": range(48, 60),
    "inner lips": range(60, 68),
}


def mean_gates(outs: Iterable[HiSTalkComponents]) -> dict[str, list]:
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


def draw_gates(draw, runs: list[dict], path: Path) -> None:
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
