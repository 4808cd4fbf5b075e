"""The class that every topology extends, and how a head is sized and turned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import HiSTalkError
from ..head import load_head

FURTHEST = (
    0.025  # metres between the landmarks of two heads of one size, beyond which the vertices are in another order
)
OUTLINE = 17  # the first landmarks, along the jaw, which lie elsewhere on every face


@dataclass(frozen=True, eq=False)
class Pose:
    """How a head is sized and turned against the bundled one."""

    scale: float  # how many times larger it is
    rotation: np.ndarray  # [3, 3]

    def apply(self, displacements: np.ndarray) -> np.ndarray:
        """The bundled head's displacements [..., 3], in metres, in the head's own unit and axes."""
        if self.scale == 1.0 and np.array_equal(self.rotation, np.eye(3)):
            return displacements
        return displacements @ (self.scale * self.rotation).T.astype(displacements.dtype)

    def undo(self, displacements: np.ndarray) -> np.ndarray:
        """The head's displacements [..., 3] in metres and axes of the bundled head."""
        return displacements @ (self.rotation / self.scale).astype(displacements.dtype)


class Topology(ABC):
    """Heads of one vertex order, in any unit and on any axes.

    A subclass says how many vertices there are, where the landmarks lie, and how the bundled head's motion moves them.

    name: key of a checkpoint's outputs, and the `topology` of .npz files.
    label: what panel and messages call such a head.
    """

    name: ClassVar[str]
    label: ClassVar[str]

    @property
    @abstractmethod
    def vertices(self) -> int:
        """How many vertices it has, V."""

    @abstractmethod
    def landmarks(self, points: np.ndarray) -> np.ndarray:
        """The 68 iBUG landmarks of positions or displacements: [..., V, 3] -> [..., 68, 3]."""

    @abstractmethod
    def retarget(self, displacements: np.ndarray) -> np.ndarray:
        """The bundled head's motion at these vertices, linear in it: [..., V', 3] -> [..., V, 3], both in metres."""

    def pose(self, rest: np.ndarray) -> Pose:
        """How a head of this topology is sized and turned.

        Args:
            rest: [V, 3] neutral positions.

        Raises:
            HiSTalkError: the vertices are not of this topology, or not in its order.
        """
        if rest.shape != (self.vertices, 3):
            raise HiSTalkError(
                f"The head has {len(rest)} vertices where a {self.label} has {self.vertices}: choose a {self.label}."
            )
        head = load_head()
        theirs = self.landmarks(rest.astype(np.float64))[OUTLINE:]
        ours = head.landmarks(head.vertices.astype(np.float64))[OUTLINE:]
        scale, rotation, shift = similarity(theirs, ours)
        gap = np.linalg.norm(scale * theirs @ rotation.T + shift - ours, axis=1).max()
        if not (np.isfinite(gap) and gap < FURTHEST and scale > 0):
            raise HiSTalkError(
                f"The vertex order is not a {self.label}'s, though their number is (landmarks lie {gap * 100:.0f} cm "
                "off): export the head again with the vertex order kept."
            )
        return Pose(1 / scale, rotation.T)

    def carry(self, displacements: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """The bundled head's motion on a head of this topology, scaled by the size of its face and turned with it.

        Args:
            displacements: [..., V', 3] metres, of the bundled head.
            rest: [V, 3] the head's neutral positions.

        Returns:
            [..., V, 3] in the head's own unit and axes.

        Raises:
            HiSTalkError: as `pose`.
        """
        return self.pose(rest).apply(self.retarget(displacements))


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that bring [N, 3] source points nearest to the target's (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    left, values, right = np.linalg.svd(b.T @ a)
    flip = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    rotation = (left * flip) @ right
    scale = float((values * flip).sum() / np.square(a).sum())
    return scale, rotation, target.mean(0) - scale * source.mean(0) @ rotation.T
