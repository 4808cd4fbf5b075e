"""An evaluation's three pictures: scores as bars, lips in time, errors on the face."""

from __future__ import annotations

import numpy as np

from ...errors import HiSTalkError
from ..teacher.phones import BILABIALS, LABIODENTALS
from .columns import columns
from .evaluate import Evaluation


def import_pyplot():
    """matplotlib's pyplot, without a screen."""
    try:
        import matplotlib
    except ImportError as error:
        raise HiSTalkError("Plots need matplotlib: pip install 'histalk-blender[train]'.") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def scores(found: Evaluation, draw):
    """Bars: a panel a metric, a cluster a group, a bar a predictor."""
    known = [s.row for scores in found.groups.values() for s in scores.values()]
    shown = [c for c in columns(found.data.topology.metres) if any(row[c[0]] is not None for row in known)]
    groups = list(found.groups)
    across = 3
    height = 0.9 + 0.42 * len(groups)
    figure, axes = draw.subplots(-(-len(shown) // across), across, figsize=(14, height * -(-len(shown) // across)))
    who = list(found.groups[groups[0]])
    for axis, (key, heading, factor, _) in zip(axes.flat, shown):
        for i, name in enumerate(who):
            values = [found.groups[group][name].row[key] for group in groups]
            at = np.arange(len(groups)) + (i - len(who) / 2 + 0.5) * 0.8 / len(who)
            axis.barh(at, [factor * (v or 0) for v in values], 0.8 / len(who), label=name, color=f"C{i}")
        axis.set_title(heading, fontsize=9)
        axis.set_yticks(np.arange(len(groups)), groups if axis.get_subplotspec().is_first_col() else [""] * len(groups))
        axis.tick_params(labelsize=7)
        axis.invert_yaxis()
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=len(who), fontsize=8, bbox_to_anchor=(0.5, -0.04))
    figure.tight_layout()
    return figure


def lips(found: Evaluation, draw):
    """Lip opening of a few clips of each group: the reference and the network, with closures shaded."""
    tracks = [(group, *track) for group, scores in found.groups.items() for track in scores["network"].tracks]
    if not tracks:
        return None
    unit = "mm" if found.data.topology.metres else "1e-3"
    figure, axes = draw.subplots(len(tracks), 1, figsize=(12, 1.7 * len(tracks)), squeeze=False)
    for axis, (group, recording, openings) in zip(axes[:, 0], tracks):
        time = np.arange(openings.shape[1]) / found.data.topology.fps
        for phone, start, end in recording.phones or []:
            if phone in BILABIALS | LABIODENTALS:
                axis.axvspan(start, end, color="C0" if phone in BILABIALS else "C2", alpha=0.25, lw=0)
                middle = (start + end) / 2
                axis.text(
                    middle, 0.88, phone, transform=axis.get_xaxis_transform(), fontsize=6, ha="center", clip_on=True
                )
        axis.plot(time, 1000 * openings[0], "k", lw=1, label="reference")
        axis.plot(time, 1000 * openings[1], "C3", lw=1, label="network")
        axis.set_title(f"{group}: {recording.id}", fontsize=8, loc="left")
        axis.set_ylabel(f"opening {unit}", fontsize=7)
        axis.set_xlim(0, time[-1] if len(time) > 1 else 1)
        axis.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7, loc="upper right")
    axes[-1, 0].set_xlabel("s", fontsize=7)
    figure.tight_layout()
    return figure


def errors(found: Evaluation, draw):
    """Where on the face the network errs: a front view a group."""
    topology, groups = found.data.topology, found.groups
    across, up = found.neutral[:, 0], found.neutral[:, topology.up]
    depth = found.neutral[:, 3 - topology.up] * (-1 if topology.up == 2 else 1)
    order = np.argsort(depth)
    order = order[depth[order] > np.median(depth)]  # the back of the head would shine through
    figure, axes = draw.subplots(1, len(groups), figsize=(3 * len(groups) + 1, 3.6), squeeze=False)
    by_group = {group: 1000 * scores["network"].vertex_errors for group, scores in groups.items()}
    most = max(float(np.quantile(value, 0.995)) for value in by_group.values())
    for axis, (group, value) in zip(axes[0], by_group.items()):
        drawn = axis.scatter(across[order], up[order], 5, value[order], vmin=0, vmax=most, cmap="inferno", lw=0)
        axis.set_title(group, fontsize=8)
        axis.set_aspect("equal")
        axis.axis("off")
    label = f"mean error {'mm' if topology.metres else '1e-3 units'}"
    figure.colorbar(drawn, ax=list(axes[0]), shrink=0.8, label=label)
    return figure


PLOTS = {"scores": scores, "lips": lips, "errors": errors}  # name of the file -> what draws it
