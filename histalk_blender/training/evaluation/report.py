"""An evaluation for people: a table a group, the worst phones, one JSON file, three pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ...errors import HiSTalkError
from ..teacher.phones import ARPABET
from .columns import DEFINITIONS, columns
from .evaluate import Evaluation
from .plots import PLOTS, import_pyplot

WORST, OFTEN = 5, 30  # phones that the printed report names, of those that occurred so often


def table(found: Evaluation) -> str:
    """An evaluation as Markdown: one table a group, then the strangers' worst phones where phones are known."""
    shown = columns(found.data.topology.metres)
    masks = dict(found.data.topology.masks)
    lines = [
        f"{name}: {masks.get(name, 'none, so what needs them is –')}" for name in ("lips", "upper_face", "landmarks")
    ]
    for group, scores in found.groups.items():
        clips, whole = scores["network"].row["clips"], found.data.sizes.get(group)
        lines += ["", f"{group} ({clips} of {whole} clips)" if whole else f"{group} ({clips} clips)"]
        lines += [f"| | {' | '.join(heading for _, heading, _, _ in shown)} |", "|---" * (len(shown) + 1) + "|"]
        for who, score in scores.items():
            cells = [_cell(score.row[key], factor, decimals) for key, _, factor, decimals in shown]
            lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines + _worst(phone_errors(found).get("strangers", {})))


def _cell(value: float | None, factor: float, decimals: int) -> str:
    return "–" if value is None else f"{factor * value:.{decimals}f}"


def phone_errors(found: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
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


def as_json(found: Evaluation) -> dict:
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


def write(found: Evaluation, folder: Path) -> list[Path]:
    """evaluation.json, scores.png, lips.png and errors.png in a folder, which is made.

    Raises:
        HiSTalkError: matplotlib is missing, or the folder cannot be written.
    """
    draw = import_pyplot()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "evaluation.json"]
        paths[0].write_text(json.dumps(as_json(found), indent=1))
        for name, figure in PLOTS.items():
            drawn = figure(found, draw)
            if drawn is not None:
                paths.append(folder / f"{name}.png")
                drawn.savefig(paths[-1], dpi=110, bbox_inches="tight")
                draw.close(drawn)
    except OSError as error:
        raise HiSTalkError(f"'{folder}' cannot be written ({error.strerror}): choose another place.") from error
    return paths
