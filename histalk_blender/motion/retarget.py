"""Predicted motion on somebody's own head: on its vertices, or as the weights that its ARKit rig plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import HiSTalkError
from ..head import flame
from ..head.head import Head, load_head
from .arkit_fit import playable
from .layers import Face, apply_layers, layered_weights
from .motion import Motion
from .style import Style

SAME_SIZE, SAME_TURN = 0.05, 0.1  # of a bundled head that was sculpted on: neither scaled nor turned on purpose


def to_vertices(
    motion: Motion,
    outputs: Mapping[str, np.ndarray],
    arkit_weights: Callable[[], np.ndarray],
    topology: str,
    rest: np.ndarray,
    style: Style,
) -> Motion:
    """The styled motion for one head's own vertices, unit and axes.

    Args:
        motion: of the bundled head.
        outputs: topology -> [K, V', 3] metres, the motion's shapes on it.
        arkit_weights: gives the blendshapes' weights [T, 52] in the motion; called only where the style scales them.
        topology: "histalk" or "flame".
        rest: [V', 3] the head's neutral positions.
        style: how it speaks.

    Raises:
        HiSTalkError: the vertices are not that topology's, or not in its order.
    """
    head = load_head()
    if topology == "flame":
        scale, rotation = flame.pose_of(rest, head)
        shapes = outputs["flame"]
    else:
        scale, rotation = bundled_pose(rest, head)
        shapes = motion.shapes

    def blendshapes() -> np.ndarray:
        units = head.unit_deltas()
        return flame.load_flame_map().move(units) if topology == "flame" else units

    motion = apply_layers(motion.on(shapes), Face(arkit_weights, blendshapes), style)
    if scale == 1.0:
        return motion
    return motion.on(motion.shapes @ (scale * rotation).T.astype(np.float32))


def to_arkit(
    motion: Motion, arkit_weights: np.ndarray, style: Style, limits: np.ndarray | None = None, own: Head | None = None
) -> tuple[Motion, np.ndarray]:
    """The styled motion as the ARKit weights that a rig plays.

    Args:
        motion: of the bundled head.
        arkit_weights: [T, 52] the blendshapes' weights in it.
        style: how it speaks.
        limits: [52, 2] of the rig's weights, see `arkit_fit.fit_units`; None = it has all, from 0 to 1.
        own: the bundled head with the rig's blendshapes where they are others; the limits are then given.

    Returns:
        The weights as a motion without vertices, and its residual [T]: metres between it and the styled motion.
    """
    head = load_head()
    motion = apply_layers(motion, Face(lambda: arkit_weights, head.unit_deltas), style)
    weights, residual = playable(motion, own or head, limits, layered_weights(arkit_weights, style, motion.fps))
    return Motion(weights, np.zeros((weights.shape[1], 0, 3), np.float32), motion.fps), residual


def bundled_pose(rest: np.ndarray, head: Head) -> tuple[float, np.ndarray]:
    """How a bundled head was scaled and turned since it was added: scale, rotation [3, 3]; 1.0 when it was not.

    Raises:
        HiSTalkError: its landmarks are not where the bundled head's vertex order has them.
    """
    theirs, ours = head.landmarks(rest.astype(np.float64)), head.landmarks(head.vertices.astype(np.float64))
    scale, rotation = flame.pose_by_landmarks(theirs, ours, "the bundled head's")
    turn = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    return (1.0, np.eye(3)) if abs(scale - 1) < SAME_SIZE and turn < SAME_TURN else (scale, rotation)


def size_of(rest: np.ndarray) -> float:
    """How many times larger than the bundled head, which is human-sized, a head [V, 3] is modelled; 1 if unknown."""
    try:
        topology = topology_with(len(rest))
        pose = {"flame": flame.pose_of, "histalk": bundled_pose}.get(topology)
        return pose(rest, load_head())[0] if pose else 1.0
    except HiSTalkError:  # so many vertices by chance
        return 1.0


def topology_with(vertices: int) -> str:
    """The topology that has so many vertices: "flame", "histalk" or ""."""
    return {flame.VERTICES: "flame", len(load_head().vertices): "histalk"}.get(vertices, "")


def recognise(rest: np.ndarray) -> str:
    """ "flame", "histalk" or "" by the number of vertices [V, 3] and where their landmarks lie.

    Raises:
        HiSTalkError: the number is right and the order is not.
    """
    topology = topology_with(len(rest))
    if topology:
        pose = flame.pose_of if topology == "flame" else bundled_pose
        pose(rest, load_head())
    return topology
