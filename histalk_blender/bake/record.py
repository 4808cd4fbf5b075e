"""What a bake wrote, kept on the shape keys' data, so that it can be told from the animator's work later."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

OWNED_KEYS = "HiSTalk made"  # on the shape keys' data: names of the keys that we made, one a line
SAVED_VALUES = (
    "HiSTalk kept"  # on the shape keys' data: name -> value that a key of the animator's had before our curves
)
FINGERPRINTS = "HiSTalk written"  # on the shape keys' data: a `Record`'s fingerprints as JSON; older bakes have none
ANGLES = np.array([0.6180339887, 1.4142135624, 1.7320508076, 2.2360679775])  # no two beat together


@dataclass(frozen=True)
class Record:
    """Fingerprints of what a bake wrote, by the names that keys had then."""

    curves: dict[str, str] = field(default_factory=dict)  # key -> `fingerprint` of its curve
    shapes: dict[str, list[float]] = field(default_factory=dict)  # key that we made -> `sketch` of its shape
    rest: list[float] = field(default_factory=list)  # `sketch` of the mesh without keys
    low: float = 0.0  # least value of the sliders that we made
    basis: bool = True  # whether the first key, that of the rest, is ours too


def recorded_names(keys) -> list[str]:
    """The keys that a bake made or moved, by their names of then, in its order."""
    if keys is None:
        return []
    return [*filter(None, keys.get(OWNED_KEYS, "").split("\n")), *keys.get(SAVED_VALUES, {}).keys()]


def read(keys) -> Record:
    """The record of the bake on these shape keys; empty where there is none, or one of an older version."""
    return _parsed(keys.get(FINGERPRINTS, "")) if keys is not None else Record()


@lru_cache(maxsize=16)
def _parsed(text: str) -> Record:
    try:
        return Record(**json.loads(text)) if text else Record()
    except (ValueError, TypeError):  # somebody wrote into it: then nothing vouches for more than the names
        return Record()


def write(keys, record: Record) -> None:
    """Keep it."""
    keys[FINGERPRINTS] = json.dumps(vars(record), separators=(",", ":"))


def erase(keys) -> None:
    """Forget the bake."""
    for name in (OWNED_KEYS, SAVED_VALUES, FINGERPRINTS):
        if name in keys:
            del keys[name]


def fingerprint(curve) -> str:
    """What tells an F-curve from a changed one: its points, how it runs between and beyond them, and its modifiers.

    Handles count by their type only: between our linear points they have no say, and Blender moves them by itself.
    """
    points, count = curve.keyframe_points, len(curve.keyframe_points)
    found = hashlib.blake2b(digest_size=8)
    for name, width, kind in (
        ("co", 2, np.float32),
        ("interpolation", 1, np.int32),
        ("handle_left_type", 1, np.int32),
        ("handle_right_type", 1, np.int32),
    ):
        values = np.empty(count * width, kind)
        points.foreach_get(name, values)
        found.update(values.tobytes())
    found.update(f"{curve.extrapolation} {[modifier.type for modifier in curve.modifiers]}".encode())
    return found.hexdigest()


def sketch(offsets: np.ndarray) -> list[float]:
    """Four lengths that tell a shape from a changed one.

    They stay the same where the mesh is turned or moved or vertices are added behind, and grow with it where it is
    scaled, so that a neutral mesh may be worked on without each key looking sculpted.

    Args:
        offsets: [V, 3] of each vertex.
    """
    sums = _waves(len(offsets)) @ offsets.astype(np.float64)
    return [float(f"{length:.7g}") for length in np.linalg.norm(sums, axis=1)]


@lru_cache(maxsize=2)
def _waves(count: int) -> np.ndarray:
    """[4, V] weights that depend on a vertex' index alone."""
    return np.cos(np.arange(count) * ANGLES[:, None])


def changed_shapes(then: np.ndarray, now: np.ndarray, noise: float) -> np.ndarray:
    """[n] bool: which shapes are no longer what was written, in whatever size the mesh is now.

    Args:
        then, now: [n, 4] sketches.
        noise: how far rounding alone may put them apart.
    """
    sizes = np.linalg.norm(then, axis=1)
    sized = sizes > noise
    scale = np.median(np.linalg.norm(now[sized], axis=1) / sizes[sized]) if sized.any() else 1.0
    if abs(scale - 1) < 1e-4:
        scale = 1.0
    return np.abs(now - scale * then).max(1, initial=0.0) > 1e-4 * scale * sizes + noise * max(scale, 1.0)
