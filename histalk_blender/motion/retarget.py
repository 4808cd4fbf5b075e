"""Predicted motion on a user's head: on its vertices, or as the weights that its ARKit rig plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..head.head import Head, load_head
from ..head.topologies import Topology
from .arkit_fit import fit_rig
from .layers import Face, apply_layers, layered_weights
from .motion import Motion
from .style import Style


def to_vertices(
    motion: Motion,
    outputs: Mapping[str, np.ndarray],
    arkit_weights: Callable[[], np.ndarray],
    topology: Topology,
    rest: np.ndarray,
    style: Style,
) -> Motion:
    """The styled motion for one head's own vertices, unit and axes.

    Args:
        motion: of the bundled head.
        outputs: topology's name -> [K, V', 3] metres, the motion's shapes on it; others are retargeted.
        arkit_weights: gives the blendshapes' weights [T, 52] in the motion; called only where the style scales them.
        topology: the head's.
        rest: [V', 3] its neutral positions.
        style: of the animator.

    Raises:
        HiSTalkError: the vertices are not that topology's, or not in its order.
    """
    pose, shapes = topology.pose(rest), outputs.get(topology.name)
    moved = motion.on(topology.retarget(motion.shapes) if shapes is None else shapes)
    face = Face(arkit_weights, lambda: topology.retarget(load_head().blendshape_deltas()))
    moved = apply_layers(moved, face, style)
    return moved.on(pose.apply(moved.shapes))


def to_arkit(
    motion: Motion, arkit_weights: np.ndarray, style: Style, limits: np.ndarray | None = None, own: Head | None = None
) -> tuple[Motion, np.ndarray]:
    """The styled motion as the ARKit weights that a rig plays.

    Args:
        motion: of the bundled head.
        arkit_weights: [T, 52] the blendshapes' weights in it.
        style: of the animator.
        limits: [52, 2] of the rig's weights, see `arkit_fit.fit_blendshapes`; None = it has all, from 0 to 1.
        own: the bundled head with the rig's own blendshapes, if they differ; the limits are then given.

    Returns:
        The weights as a motion without vertices, and its residual [T]: metres between it and the styled motion.
    """
    head = load_head()
    motion = apply_layers(motion, Face(lambda: arkit_weights, head.blendshape_deltas), style)
    weights, residual = fit_rig(motion, own or head, limits, layered_weights(arkit_weights, style, motion.fps))
    return Motion(weights, np.zeros((weights.shape[1], 0, 3), np.float32), motion.fps), residual
