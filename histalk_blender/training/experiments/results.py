"""Scores of runs: kept in a file a run, pooled over groups, shown as mean and spread over seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import HiSTalkError
from ...files import atomic_write
from ...runtime.output import printable


def kept_scores(folder: Path, budget: dict, make: Callable[[], dict]) -> dict:
    """The folder's scores.json, made if it is not there yet.

    Raises:
        HiSTalkError: it was made at another budget.
    """
    path = folder / "scores.json"
    if path.exists():
        try:
            scores = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise HiSTalkError(
                f"'{path}' cannot be read ({printable(error, 120)}): delete it, and it is made again."
            ) from error
        if not isinstance(scores, dict) or scores.get("budget") != budget:
            raise HiSTalkError(f"'{path}' was made at another budget or with other weights: name another --out.")
        return scores
    scores = make() | {"budget": budget}
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(scores, indent=1).encode())
    return scores


def cell(values: list[float | None], digits: int) -> str:
    """Mean ± spread of what is known."""
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f} ± {np.std(known):.{digits}f}" if known else "–"


def pooled(groups: dict[str, dict], kind: str, key: str) -> float | None:
    """One number of all groups whose name begins so, each by its clips; None where none has it."""
    rows = [row for group, row in groups.items() if group.startswith(kind) and row.get(key) is not None]
    return float(np.average([row[key] for row in rows], weights=[row["clips"] for row in rows])) if rows else None
