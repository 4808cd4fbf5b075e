"""The bundled head, which a user may have sculpted, scaled or turned."""

from __future__ import annotations

import numpy as np

from ..head import load_head
from .base import Pose, Topology

SAME_SIZE, SAME_TURN = 0.05, 0.1  # share and radians: of a head that was sculpted on, neither scaled nor turned


class BundledTopology(Topology):
    """The vertices of `load_head`."""

    name = "histalk"
    label = "HiSTalk head"

    @property
    def vertices(self) -> int:
        return len(load_head().vertices)

    def landmarks(self, points: np.ndarray) -> np.ndarray:
        return load_head().landmarks(points)

    def retarget(self, displacements: np.ndarray) -> np.ndarray:
        return displacements

    def pose(self, rest: np.ndarray) -> Pose:
        """As `Topology.pose`; a face that was only sculpted counts as neither scaled nor turned."""
        pose = super().pose(rest)
        turn = np.arccos(np.clip((np.trace(pose.rotation) - 1) / 2, -1, 1))
        as_added = abs(pose.scale - 1) < SAME_SIZE and turn < SAME_TURN
        return Pose(1.0, np.eye(3)) if as_added else pose
