"""An evaluation for people: a table a group, the worst phones, one JSON file, three pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ...errors import HiSTalkError
from ..teacher.phones import ARPABET, BILABIALS, LABIODENTALS

WORST, OFTEN = 5, 30  # phones that the printed report names, of those that occurred so often

DEFINITIONS = {
    "vertex_error": "mean distance over all vertices and frames",
    "root_lve": "root of lve",
    "lve": "mean over frames of the largest squared error over the lip vertices",
    "fdd": "mean over clips and upper-face vertices of the standard deviation over time of the squared displacement norm, "
    "reference minus prediction",
    "abs_fdd": "mean over clips of the absolute value of a clip's fdd",
    "lrp": "share of frames in which no lip vertex is off by more than a tenth of the neutral lips' width (ours)",
    "opening_correlation": "of the mean distance over the inner-lip pairs 61-67, 62-66, 63-65, over all frames",
    "closure_recall": "share of /p b m/ within 40 ms of which the inner lips are less than 1 mm further apart than at rest",
    "closure_precision": "share of such stretches outside silence that touch a /p b m f v/ within 60 ms",
    "labiodental_recall": "share of /f v/ within 40 ms of which the lower lip is less than 2 mm below its rest",
    "labiodental_precision": "share of such stretches outside silence that touch a /p b m f v/ within 60 ms",
    "silence_mm": "mean distance of the eight inner-lip landmarks from their rest over the silence_frames: those in a SIL or "
    "outside all phones that are 0.2 s or more from any phone and 25 dB below the clip's loud frames (ours)",
    "mtm_ms": "mean distance in time of an extremum of the reference's lip opening to its counterpart, found by derivative "
    "dynamic time warping within 0.4 s; an extremum turns back by a tenth of the range",
    "jitter": "mean third difference in time of lip and upper-face vertices, relative to the reference's",
    "phones": "the network's lip opening minus the reference's over the frames inside a phone, in mm: the mean of its "
    "absolute value, and the mean with its sign, positive where the mouth is too open",
}


def _columns(metres: bool) -> list[tuple[str, str, float, int]]:
    """Key, heading, factor and decimals; the powers of ten are those that papers print."""
    unit, name = ("mm", "mm") if metres else ("thousandths", "1e-3")
    powers, squared = ((5, 7), "m²") if metres else ((4, 5), "unit²")
    return [
        (f"vertex_error_{unit}", f"vertex error {name}", 1, 3),
        (f"root_lve_{unit}", f"root LVE {name}", 1, 2),
        ("opening_correlation", "opening correlation", 1, 2),
        ("closure_recall", "closure recall", 1, 2),
        ("closure_precision", "closure precision", 1, 2),
        ("labiodental_recall", "f v recall", 1, 2),
        ("labiodental_precision", "f v precision", 1, 2),
        ("silence_mm", "silence mm", 1, 3),
        ("mtm_ms", "MTM ms", 1, 0),
        ("jitter", "jitter", 1, 2),
        ("lrp", "LRP", 1, 2),
        ("lve", f"LVE 1e-{powers[0]} {squared}", 10 ** powers[0], 3),
        ("fdd", f"FDD 1e-{powers[1]} {squared}", 10 ** powers[1], 3),
        ("abs_fdd", "abs FDD", 10 ** powers[1], 3),
    ]


def table(found) -> str:
    """An `evaluate.Evaluation` as Markdown: one table a group, then the strangers' worst phones where phones are known."""
    columns = _columns(found.data.topology.metres)
    masks = dict(found.data.topology.masks)
    lines = [
        f"{name}: {masks.get(name, 'none, so what needs them is –')}" for name in ("lips", "upper_face", "landmarks")
    ]
    for group, scores in found.groups.items():
        clips, whole = scores["network"].row["clips"], found.data.sizes.get(group)
        lines += ["", f"{group} ({clips} of {whole} clips)" if whole else f"{group} ({clips} clips)"]
        lines += [f"| | {' | '.join(heading for _, heading, _, _ in columns)} |", "|---" * (len(columns) + 1) + "|"]
        for who, score in scores.items():
            cells = [
                "–" if score.row[key] is None else f"{factor * score.row[key]:.{decimals}f}"
                for key, _, factor, decimals in columns
            ]
            lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines + _worst(phone_errors(found).get("strangers", {})))


def phone_errors(found) -> dict[str, dict[str, dict[str, float]]]:
    """The network's errors by phone, strangers and known voices apart; nothing where no phones are known.

    Returns:
        "strangers" or "known voices" -> ARPAbet -> occurrences, frames, error_mm and signed_mm (see `DEFINITIONS`).
    """
    sums: dict[str, np.ndarray] = {}
    for group, scores in found.groups.items():
        who = "strangers" if group.startswith("test_stranger") else "known voices"
        sums[who] = sums.get(who, 0) + scores["network"].phone_errors
    return {
        who: {
            phone: {
                "occurrences": int(row[0]),
                "frames": int(row[1]),
                "error_mm": 1000 * row[3] / row[1],
                "signed_mm": 1000 * row[2] / row[1],
            }
            for phone, row in zip(ARPABET, rows.tolist())
            if row[0]
        }
        for who, rows in sums.items()
        if rows.any()
    }


def _worst(phones: dict[str, dict[str, float]]) -> list[str]:
    known = [(row["error_mm"], phone, row) for phone, row in phones.items() if row["occurrences"] >= OFTEN]
    if not known:
        return []
    lines = ["", "The network's worst phones with strangers, by lip opening:"]
    for error, phone, row in sorted(known, reverse=True)[:WORST]:
        way = "too open" if row["signed_mm"] > 0 else "too shut"
        lines.append(
            f"{phone}: {error:.2f} mm off, {row['signed_mm']:+.2f} on average ({way}), {row['occurrences']} times"
        )
    return lines


def as_json(found) -> dict:
    """All numbers, with the masks and definitions that they need."""
    topology = found.data.topology
    return {
        "dataset": found.data.name,
        "split": found.split,
        "weights": str(found.weights),
        "topology": topology.name,
        "fps": topology.fps,
        "unit": "metre" if topology.metres else "the data's own",
        "masks": dict(topology.masks),
        "whole_groups": {group: found.data.sizes.get(group) for group in found.groups},
        "groups": {group: {who: s.row for who, s in scores.items()} for group, scores in found.groups.items()},
        "phones": phone_errors(found),
        "definitions": DEFINITIONS,
    }


def write(found, folder: Path) -> list[Path]:
    """evaluation.json, scores.png, lips.png and errors.png in a folder, which is made.

    Raises:
        HiSTalkError: matplotlib is missing, or the folder cannot be written.
    """
    draw = check_drawing()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "evaluation.json"]
        paths[0].write_text(json.dumps(as_json(found), indent=1))
        for name, figure in (("scores", _scores), ("lips", _lips), ("errors", _errors)):
            drawn = figure(found, draw)
            if drawn is not None:
                paths.append(folder / f"{name}.png")
                drawn.savefig(paths[-1], dpi=110, bbox_inches="tight")
                draw.close(drawn)
    except OSError as error:
        raise HiSTalkError(f"'{folder}' cannot be written ({error.strerror}): choose another place.") from error
    return paths


def check_drawing():
    """matplotlib's pyplot, without a screen."""
    try:
        import matplotlib
    except ImportError as error:
        raise HiSTalkError("Plots need matplotlib: pip install 'histalk-blender[train]'.") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _scores(found, draw):
    """Bars: a panel a metric, a cluster a group, a bar a predictor."""
    known = [s.row for scores in found.groups.values() for s in scores.values()]
    columns = [c for c in _columns(found.data.topology.metres) if any(row[c[0]] is not None for row in known)]
    groups = list(found.groups)
    across = 3
    height = 0.9 + 0.42 * len(groups)
    figure, axes = draw.subplots(-(-len(columns) // across), across, figsize=(14, height * -(-len(columns) // across)))
    who = list(found.groups[groups[0]])
    for axis, (key, heading, factor, _) in zip(axes.flat, columns):
        for i, name in enumerate(who):
            values = [found.groups[group][name].row[key] for group in groups]
            at = np.arange(len(groups)) + (i - len(who) / 2 + 0.5) * 0.8 / len(who)
            axis.barh(at, [factor * (v or 0) for v in values], 0.8 / len(who), label=name, color=f"C{i}")
        axis.set_title(heading, fontsize=9)
        axis.set_yticks(np.arange(len(groups)), groups if axis.get_subplotspec().is_first_col() else [""] * len(groups))
        axis.tick_params(labelsize=7)
        axis.invert_yaxis()
    for axis in axes.flat[len(columns) :]:
        axis.axis("off")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=len(who), fontsize=8, bbox_to_anchor=(0.5, -0.04))
    figure.tight_layout()
    return figure


def _lips(found, draw):
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


def _errors(found, draw):
    """Where on the face the network errs: a front view a group."""
    topology, groups = found.data.topology, found.groups
    across, up = found.neutral[:, 0], found.neutral[:, topology.up]
    depth = found.neutral[:, 3 - topology.up] * (-1 if topology.up == 2 else 1)
    order = np.argsort(depth)
    order = order[depth[order] > np.median(depth)]  # the back of the head would shine through
    figure, axes = draw.subplots(1, len(groups), figsize=(3 * len(groups) + 1, 3.6), squeeze=False)
    errors = {group: 1000 * scores["network"].vertex_errors for group, scores in groups.items()}
    most = max(float(np.quantile(value, 0.995)) for value in errors.values())
    for axis, (group, value) in zip(axes[0], errors.items()):
        drawn = axis.scatter(across[order], up[order], 5, value[order], vmin=0, vmax=most, cmap="inferno", lw=0)
        axis.set_title(group, fontsize=8)
        axis.set_aspect("equal")
        axis.axis("off")
    label = f"mean error {'mm' if topology.metres else '1e-3 units'}"
    figure.colorbar(drawn, ax=list(axes[0]), shrink=0.8, label=label)
    return figure
