"""FLAME's 5023 vertices as points on the bundled head, so that one motion drives both.

The map (tools/build_flame_map.py) holds no FLAME positions or triangles: a point of our head for each vertex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .errors import HiSTalkError
from .head import Head

BUNDLED = Path(__file__).parent / "data" / "flame.npz"
VERTICES = 5023
RIGID = np.r_[27:31, 36:48]  # landmarks that no speech moves: the bridge of the nose and the eyes
FURTHEST = 0.025  # metres between the landmarks of two heads of one size, beyond which the order is not FLAME's


@dataclass(frozen=True, eq=False)
class FlameMap:
    """Where each FLAME vertex lies on the bundled head."""

    corners: np.ndarray  # [5023, 3] vertices of our head
    weights: np.ndarray  # [5023, 3] barycentric; zero for what stays still, the eyeballs
    landmarks: np.ndarray  # [68] FLAME vertices nearest to the iBUG points
    eyes: np.ndarray  # vertex indices
    lips: np.ndarray  # vertex indices

    def read(self, points: np.ndarray) -> np.ndarray:
        """Our head's positions or displacements [..., V, 3] at FLAME's vertices: [..., 5023, 3]."""
        return np.einsum("...vkc,vk->...vc", points[..., self.corners, :], self.weights)


@lru_cache(maxsize=1)
def load_flame_map() -> FlameMap:
    """The bundled map."""
    with np.load(BUNDLED, allow_pickle=False) as data:
        return FlameMap(*(data[name] for name in ("corners", "weights", "landmarks", "eyes", "lips")))


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that bring [N, 3] source points nearest to the target's (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    left, values, right = np.linalg.svd(b.T @ a)
    flip = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    rotation = (left * flip) @ right
    scale = float((values * flip).sum() / np.square(a).sum())
    return scale, rotation, target.mean(0) - scale * source.mean(0) @ rotation.T


def pose_of(vertices: np.ndarray, head: Head) -> tuple[float, np.ndarray]:
    """How a FLAME head is sized and turned against ours.

    Args:
        vertices: [5023, 3] neutral positions in any unit and on any axes.

    Returns:
        Scale and rotation [3, 3] that turn our displacements into the head's own space.

    Raises:
        HiSTalkError: the vertices are not FLAME's, or not in FLAME's order.
    """
    if vertices.shape != (VERTICES, 3):
        raise HiSTalkError(f"The head has {len(vertices)} vertices where FLAME has {VERTICES}: choose a FLAME head.")
    theirs = vertices[load_flame_map().landmarks].astype(np.float64)
    return pose_by_landmarks(theirs, head.landmarks(head.vertices).astype(np.float64), "FLAME's")


def pose_by_landmarks(theirs: np.ndarray, ours: np.ndarray, whose: str) -> tuple[float, np.ndarray]:
    """Scale and rotation [3, 3] that turn our displacements into the space of a head with these landmarks [68, 3].

    Raises:
        HiSTalkError: the landmarks do not lie as a face's do, so the vertices are in another order than `whose`.
    """
    scale, rotation, shift = similarity(theirs[17:], ours[17:])
    gap = np.linalg.norm(scale * theirs @ rotation.T + shift - ours, axis=1)[17:].max()
    if not (np.isfinite(gap) and gap < FURTHEST and scale > 0):
        raise HiSTalkError(
            f"The vertex order is not {whose}, though their number is (landmarks lie {gap * 100:.0f} cm off): export "
            "the head again with the vertex order kept."
        )
    return 1 / scale, rotation.T


def carry(displacements: np.ndarray, vertices: np.ndarray, head: Head) -> np.ndarray:
    """The bundled head's motion on a FLAME head, scaled by the size of its face and turned with it.

    Args:
        displacements: [T, V, 3] metres, of the bundled head.
        vertices: [5023, 3] the FLAME head's neutral positions.

    Returns:
        [T, 5023, 3] in the FLAME head's own unit and axes.

    Raises:
        HiSTalkError: the vertices are not FLAME's, or not in FLAME's order.
    """
    scale, rotation = pose_of(vertices, head)
    return (load_flame_map().read(displacements) @ (scale * rotation).T).astype(np.float32)
