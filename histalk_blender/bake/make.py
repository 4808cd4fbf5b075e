"""The part of a bake that needs no Blender, so that a worker can do it: numbers, and the cache's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..arkit import fit_units
from ..caches import part_of, write_pc2
from ..errors import HiSTalkError
from ..head import load_head
from ..motion import CHUNK, Motion

KINDS = ("cache", "keys", "basis", "arkit")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a bake will do, as it was read off the scene."""

    kind: str  # one of KINDS
    name: str  # the object's, for messages
    rest: np.ndarray  # [V, 3] positions without any shape key
    shown: np.ndarray  # [V, 3] positions as the user's own shape keys make them
    start_frame: float  # scene frame of the first motion frame
    fps: float  # the scene's
    cache: Path | None = None  # the .pc2 to write
    tolerance_mm: float = 0.1  # largest error anywhere that "basis" may leave
    keys: dict[str, str] = field(default_factory=dict)  # unit -> shape key, for "arkit"


@dataclass(frozen=True, eq=False)
class Made:
    """What `apply` puts into the scene."""

    plan: Plan
    motion: Motion  # at the scene's rate; for "basis" its shapes are the keys, for "arkit" its weights the units'
    max_error_mm: float = 0.0

    @property
    def part(self) -> Path:
        """The cache's file under the temporary name that it has until `apply`."""
        return part_of(self.plan.cache)

    def discard(self) -> None:
        """Leave nothing behind of a bake that is not applied."""
        if self.plan.kind == "cache":
            self.part.unlink(missing_ok=True)


def make(
    plan: Plan,
    motion: Motion,
    units: tuple[np.ndarray, np.ndarray] | None = None,
    step: Callable[[float], None] = lambda share: None,
) -> Made:
    """Do all of a bake that can be done away from the scene.

    Args:
        plan: from `plan_bake`.
        motion: on the mesh's own topology, unit and axes; for "arkit" the bundled head's.
        units: for "arkit", weights [T, 52] and what the fit left over, when they are known.
        step: called with the share done; what it raises ends the work, and leaves no file.

    Raises:
        HiSTalkError: the cache cannot be written.
    """
    if plan.kind == "arkit":
        weights, over = units or fit_units(motion, load_head())
        names = Motion(weights, np.zeros((weights.shape[1], 0, 3), np.float32), motion.fps)
        return Made(plan, names.at_fps(plan.fps), float(over.max()) * 1000)
    motion = motion.at_fps(plan.fps)
    if plan.kind == "basis":
        reduced, error = basis_of(motion, plan.tolerance_mm, step)
        return Made(plan, reduced, error)
    made = Made(plan, motion)
    if plan.kind == "cache":
        write_pc2(plan.cache, plan.shown, motion, step)
    return made


def basis_of(
    motion: Motion, tolerance_mm: float, step: Callable[[float], None] = lambda share: None
) -> tuple[Motion, float]:
    """The fewest signed shapes that keep every vertex of every frame within the tolerance: a truncated SVD.

    The weights of each shape stay within -1 and 1, a slider's range.

    Returns:
        The reduced motion, and its largest error in millimetres.
    """
    flat = motion.shapes.reshape(len(motion.shapes), -1).astype(np.float64)
    # The motion lies in the span of its shapes, so the decomposition is of a small matrix, however long the clip.
    rows, upper = np.linalg.qr(flat.T)
    _, values, right = np.linalg.svd(motion.weights.astype(np.float64) @ upper.T, full_matrices=False)
    kept = right[values > 1e-9]
    weights, shapes = motion.weights @ (upper.T @ kept.T), (kept @ rows.T).astype(np.float32)

    def error(k: int) -> float:
        worst = 0.0
        for first in range(0, len(weights), CHUNK):
            step(first / len(weights))
            rest = motion.weights[first : first + CHUNK] @ motion.shapes.reshape(len(flat), -1)
            rest -= weights[first : first + CHUNK, :k].astype(np.float32) @ shapes[:k]
            worst = max(worst, float(np.square(rest.reshape(len(rest), -1, 3)).sum(-1).max()))
        return worst**0.5 * 1000

    low, high = 0, len(shapes)
    while low < high:
        middle = (low + high) // 2
        if error(middle) <= tolerance_mm:
            high = middle
        else:
            low = middle + 1
    scale = np.maximum(np.abs(weights[:, :low]).max(0, initial=0.0), 1e-12)
    signed = (shapes[:low] * scale[:, None]).reshape(low, motion.shapes.shape[1], 3)
    return Motion((weights[:, :low] / scale).astype(np.float32), signed.astype(np.float32), motion.fps), error(low)
