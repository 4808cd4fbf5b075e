"""The part of a bake that needs no Blender, so that a worker can do it: numbers, and the cache's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from ..files import discard_file
from ..head.arkit import ARKIT_UNITS
from ..head.head import Head, load_head
from ..head.topologies import Topology, size_of
from ..motion.arkit_fit import playable
from ..motion.motion import CHUNK, Motion
from ..motion.placing import place
from ..motion.point_cache import write_pc2
from ..motion.style import Style
from ..synthesis import Performance

KINDS = ("cache", "keys", "basis", "arkit")
MOST_KEYS = 3000  # one a frame; twice as many hold the window for seconds, and Blender is slow with them for good


@dataclass(frozen=True, eq=False)
class ArkitRig:
    """A mesh's ARKit shape keys, see `arkit_rig.read_rig`."""

    keys: dict[str, str] = field(default_factory=dict)  # unit -> shape key that speech may move
    taken: dict[str, str] = field(default_factory=dict)  # those that the user animates or drives
    left_out: tuple[str, ...] = ()  # units that the mapping leaves out
    missing: tuple[str, ...] = ()  # units without a shape key
    limits: np.ndarray | None = None  # [52, 2] of the weights, see `arkit.fit_units`
    head: Head | None = None  # the bundled head with the mesh's own units, where it is one and they were sculpted anew

    @property
    def mapping(self) -> dict[str, str | None]:
        """What leads to the same keys, whatever else changes on the mesh."""
        return {**self.keys, **self.taken, **dict.fromkeys(self.left_out)}


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
    tolerance_mm: float = 0.1  # largest error anywhere that "basis" may leave, were the head human-sized
    rig: ArkitRig = ArkitRig()  # for "arkit"
    discard_edits: bool = False  # replace the earlier bake though it was changed by hand


@dataclass(frozen=True, eq=False)
class Made:
    """What `apply` puts into the scene."""

    plan: Plan
    motion: Motion  # at the scene's rate; for "basis" its shapes are the keys, for "arkit" its weights the units'
    # Were the head human-sized, of any vertex; for "arkit" the worst frame's root mean square, see `arkit.left_over`.
    max_error_mm: float = 0.0
    part: Path | None = None  # the cache's file under the temporary name that it has until `apply`

    @property
    def played(self) -> dict[str, str]:
        """Unit -> shape key that gets a curve, for "arkit": those that move."""
        moving = self.motion.weights.any(0)
        return {unit: key for unit, key in self.plan.rig.keys.items() if moving[ARKIT_UNITS.index(unit)]}

    def discard(self) -> None:
        """Leave nothing behind of a bake that is not applied."""
        if self.part is not None:
            discard_file(self.part)


def compute_bake(
    plan: Plan,
    performance: Performance,
    topology: Topology | None,
    style: Style,
    *,
    rest: bool,
    frames: tuple[int, int] | None = None,
    step: Callable[[float], None] = lambda share: None,
) -> Made:
    """From a performance to what `apply` puts into the scene: the one way of the panel, the command line and batches.

    Args:
        plan: from `plan_bake`; its start frame is that of the sound.
        performance: what was predicted.
        topology: the mesh's; None for "arkit".
        style: how it speaks, and how long after the sound.
        rest, frames: see `place`.
        step: see `make`.

    Raises:
        HiSTalkError: nothing is spoken in those frames, there would be too many keys, or the cache cannot be written.
    """
    over = None
    if plan.kind == "arkit":
        motion, over = performance.arkit_motion(style, plan.rig.limits, plan.rig.head)
    else:
        motion = performance.retarget(topology, plan.rest, style)
    motion, start = place(motion, plan.fps, plan.start_frame, style.delay, rest, frames)
    return make(replace(plan, start_frame=start), motion, None if over is None else (motion.weights, over), step)


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
        units: for "arkit", weights [T, 52] and what they leave over [T] in metres, when they are known.
        step: called with the share done; what it raises ends the work, and leaves no file.

    Raises:
        HiSTalkError: the cache cannot be written, there would be too many shape keys, or the motion is not finite.
    """
    if plan.kind == "arkit":
        weights, over = units or playable(motion, plan.rig.head or load_head(), plan.rig.limits)
        names = Motion(weights, np.zeros((weights.shape[1], 0, 3), np.float32), motion.fps)
        names.check_finite()
        return Made(plan, names.at_fps(plan.fps), float(over.max()) * 1000)
    motion.check_finite()
    motion = motion.at_fps(plan.fps)
    if plan.kind == "keys" and len(motion) > MOST_KEYS:
        raise HiSTalkError(
            f"{len(motion)} shape keys would bring Blender to a halt: bake as basis keys or a mesh cache, or choose a "
            f"frame range of {MOST_KEYS} frames at most."
        )
    if plan.kind == "basis":
        size = size_of(plan.rest)  # a head modelled in centimetres takes as many keys as one in metres
        reduced, error = basis_of(motion.on(motion.shapes / size), plan.tolerance_mm, step)
        return Made(plan, reduced.on(reduced.shapes * size), error)
    part = write_pc2(plan.cache, plan.shown, motion, step) if plan.kind == "cache" else None
    return Made(plan, motion, part=part)


def basis_of(
    motion: Motion, tolerance_mm: float, step: Callable[[float], None] = lambda share: None
) -> tuple[Motion, float]:
    """The fewest signed shapes that keep every vertex of every frame within the tolerance: principal axes, cut off.

    All is reckoned in the space of the motion's own shapes, the network's basis, so that nothing of frames times
    vertices is decomposed, and only what may be furthest off is expanded. The weights of each shape stay within -1
    and 1, a slider's range.

    Args:
        step: called with the share done; what it raises ends the work.

    Returns:
        The reduced motion, and its largest error in millimetres.

    Raises:
        HiSTalkError: the motion is not finite.
    """
    motion.check_finite()
    weights, shapes = _principal(motion.weights.astype(np.float64), motion.flat.astype(np.float64))
    low, high = 0, len(shapes)
    while low < high:
        middle = (low + high) // 2
        step((low + len(shapes) - high) / len(shapes))
        if _largest(weights, shapes, middle) <= tolerance_mm / 1000:
            high = middle
        else:
            low = middle + 1
    error = _largest(weights, shapes, low) * 1000
    scale = np.maximum(np.abs(weights[:, :low]).max(0, initial=0.0), 1e-12)
    signed = (shapes[:low] * scale[:, None]).reshape(low, *motion.shapes.shape[1:])
    return Motion((weights[:, :low] / scale).astype(np.float32), signed.astype(np.float32), motion.fps), error


def _principal(weights: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same motion on orthonormal shapes, the one that moves most first: [T, r] and [r, 3V] from [T, K] and [K, 3V]."""

    def root(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvectors [n, r] and the roots of their values, largest first, of what is more than rounding."""
        values, vectors = np.linalg.eigh(gram)
        kept = np.flatnonzero(values > max(values[-1] * 1e-15, 1e-18))[::-1] if len(values) else []
        return vectors[:, kept], np.sqrt(values[kept])

    axes, sizes = root(shapes @ shapes.T)
    placed = weights @ (axes * sizes)
    turn, _ = root(placed.T @ placed)
    return placed @ turn, (turn.T / sizes) @ (axes.T @ shapes)


def _largest(weights: np.ndarray, shapes: np.ndarray, first: int) -> float:
    """Metres that the furthest vertex of any frame moves by the shapes from `first` on.

    By Cauchy's inequality no vertex goes further than the frame's weights and the vertex' shapes are long. So frames
    come with the longest weights first, and of vertices only those that could still go further than the furthest.
    """
    size = np.maximum(np.abs(weights[:, first:]).max(0, initial=0.0), 1e-12)
    weights = (weights[:, first:] / size).astype(np.float32)
    shapes = (shapes[first:] * size[:, None]).astype(np.float32).reshape(len(size), shapes.shape[1] // 3, 3)
    lengths, reaches = np.linalg.norm(weights, axis=1), np.linalg.norm(shapes, axis=(0, 2))
    order, furthest = np.argsort(-lengths), 0.0
    for begin in range(0, len(order), CHUNK):
        frames = order[begin : begin + CHUNK]
        able = np.flatnonzero(reaches * lengths[frames[0]] > furthest)
        if not len(able):
            break
        moved = weights[frames] @ shapes[:, able].reshape(len(size), -1)
        furthest = max(furthest, float(np.square(moved.reshape(len(frames), -1, 3)).sum(-1).max()) ** 0.5)
    return furthest
