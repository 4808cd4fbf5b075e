"""Deformation transfer (Sumner and Popović 2004) of our head's blendshapes onto a FLAME head, with lips held shut.

Each triangle of FLAME is to be turned and stretched as the triangle of ours that lies there. Their fourth vertices drop
out: left free, they fit what happens across a triangle exactly, so only its own plane is asked for (Botsch et al. 2006,
whose weighting by area is taken too, as FLAME has slivers between the lips that would outweigh the face).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from build_flame_map import Surface, along, graph_of, lip_side, our_rims, rim_points, triangles_of, vertex_normals, way
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import INNER_LIP_PAIRS, Head
from histalk_blender.head.topologies.flame import FlameTopology, load_flame_map
from histalk_blender.training.teacher.coarticulation import arkit_track

STILL = 1e-5  # metres that no unit may move what is held fixed by
PRESSED = 0.5  # of the composed closure: lips that do no more than touch part where the network falls a little short
HELD = 300.0  # how much a metre between lips that should touch counts beside one of a triangle's edges
VOWELS = ("AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW", "AY", "OW")
FPS = 30.0
CLOSURE = slice(12, 15)  # frames of `between`'s tracks in which its consonant is


def between(phones: tuple[str, ...]) -> np.ndarray:
    """The teacher's tracks [P, 30, 52] of each phone between any two vowels, from and to silence."""
    return np.stack(
        [
            arkit_track(
                [("SIL", 0, 0.2), (a, 0.2, 0.4), (phone, 0.4, 0.49), (b, 0.49, 0.7), ("SIL", 0.7, 1)], 1.0, fps=FPS
            )
            for phone in phones
            for a, b in product(VOWELS, VOWELS)
        ]
    )


def frames_of(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two directions in the plane of each triangle and what turns its edges into a gradient along them.

    Returns:
        Orthonormal tangents [F, 3, 2], and [F, 2, 2] in 1/metres: edges (b - a, c - a) -> derivatives.
    """
    a, b, c = (points[triangles[:, i]] for i in range(3))
    tangents, edges = np.linalg.qr(np.stack([b - a, c - a], -1))
    return tangents, np.linalg.inv(edges)


def gradient_of(points: np.ndarray, triangles: np.ndarray) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """[2F, V]: a vertex function -> its derivatives along each triangle's two tangents, times the root of its area.

    Returns:
        The operator, the tangents [F, 3, 2], and the roots of the areas [F] in metres.
    """
    tangents, inverse = frames_of(points, triangles)
    a, b, c = (points[triangles[:, i]] for i in range(3))
    root = np.sqrt(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)
    # [F, derivative, corner]
    values = np.concatenate([-inverse.sum(1)[..., None], inverse.transpose(0, 2, 1)], -1) * root[:, None, None]
    rows = np.repeat(np.arange(2 * len(triangles)), 3)
    columns = np.repeat(triangles[:, None], 2, 1)
    return csr_matrix((values.ravel(), (rows, columns.ravel())), (2 * len(triangles), len(points))), tangents, root


def deformation_gradients(points: np.ndarray, triangles: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """How each deformation turns and stretches each triangle, less the identity.

    Args:
        points: [V, 3]; triangles: [F, 3]; deltas: [U, V, 3], all in metres.

    Returns:
        [U, F, 3, 3]
    """

    def spanned(points):
        a, b, c = (points[..., triangles[:, i], :] for i in range(3))
        normal = np.cross(b - a, c - a)
        size = np.sqrt(np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-20))
        return np.stack([b - a, c - a, normal / size], -1)

    return spanned(points + deltas) @ np.linalg.inv(spanned(points)) - np.eye(3)


def transferred(
    rest: np.ndarray,
    triangles: np.ndarray,
    gradients: np.ndarray,
    free: np.ndarray,
    pairs: csr_matrix,
    shut: np.ndarray,
    pressed: np.ndarray,
) -> np.ndarray:
    """Blendshapes whose triangles turn and stretch as asked, by least squares, and at whose closures the lips meet.

    Plain transfer asks nothing of lips, and those that meet on one head part or pass each other on another. Moments mix
    blendshapes, so all are solved together; along the principal directions of the moments they separate again.

    Args:
        rest: [V, 3] metres; triangles: [F, 3]; gradients: [U, F, 3, 3] as of `deformation_gradients`.
        free: vertex indices that may move.
        pairs: [P, V] the difference of two points across the mouth.
        shut: [S, U] weights of the blendshapes at moments at which lips touch; S = 0 for plain transfer.
        pressed: [U, P, 3] metres by which each blendshape is to move the pairs' points against each other, as far as it
            takes part in closures; zero leaves lips shut as they are at rest.

    Returns:
        [U, V, 3] metres.
    """
    operator, tangents, root = gradient_of(rest, triangles)
    goal = ((gradients @ tangents) * root[:, None, None]).transpose(1, 3, 0, 2)
    count = len(gradients)
    shut = shut.astype(np.float64)
    strength, ways = np.linalg.eigh(shut.T @ shut / max(len(shut), 1))
    operator, pairs = operator[:, free], pairs[:, free]
    stiff, touch = operator.T @ operator, HELD * pairs.T @ pairs
    asked, press = (
        np.einsum("vuc,uk->kvc", part.reshape(len(free), count, 3), ways)
        for part in (
            operator.T @ goal.reshape(operator.shape[0], -1),
            HELD * pairs.T @ pressed.transpose(1, 0, 2).reshape(pairs.shape[0], -1),
        )
    )
    solved = [
        splu((stiff + size * touch).tocsc()).solve(right + size * extra)
        for size, right, extra in zip(np.maximum(strength, 0), asked, press)
    ]
    out = np.zeros((count, len(rest), 3))
    out[:, free] = np.einsum("kvc,uk->uvc", solved, ways)
    return out


class Transfer:
    """Our head and a FLAME head beside each other, ready to transfer blendshapes."""

    def __init__(self, flame: np.ndarray, triangles: np.ndarray, head: Head):
        """`flame`: [5023, 3] neutral, any unit and axes; `triangles`: [F, 3].

        Raises:
            HiSTalkError: the vertices are not FLAME's, or not in FLAME's order.
        """
        self.rest = FlameTopology().pose(flame).undo(flame.astype(np.float64))  # metres, our head's size and axes
        self.triangles, self.map = triangles, load_flame_map()
        points = head.vertices.astype(np.float64)
        parts = [head.regions[name] for name in ("eye_left", "eye_right", "teeth", "tongue", "lashes")]
        skin = triangles_of(head.faces[~np.isin(head.faces[:, 0], np.concatenate(parts))])
        upper, lower = our_rims(head, graph_of(points, skin))
        surface = Surface(points, skin, lip_side(graph_of(points, skin), upper, lower))
        graph, marks = graph_of(self.rest, triangles), self.map.landmarks
        self.upper, self.lower = way(graph, list(marks[60:65])), way(graph, list(marks[[60, 67, 66, 65, 64]]))
        self.side = lip_side(graph, self.upper, self.lower)
        side = self.side[triangles]
        at = self.map.read(points)
        # A triangle with corners on both lips, at the corner of the mouth, may lie on either.
        lip = np.where((side >= 0).all(1), side.max(1), np.where((side <= 0).all(1), side.min(1), 0))
        normals = vertex_normals(at, triangles)[triangles].mean(1)
        corners, _, _ = surface.closest(at[triangles].mean(1), normals, lip)
        units = head.blendshape_deltas().astype(np.float64)
        self.gradients = deformation_gradients(points, corners, units)
        self.composed = self.map.compose(units)
        moved = np.linalg.norm(self.composed, axis=-1).max(0) > STILL
        self.free = np.setdiff1d(np.flatnonzero(moved), self.map.eyes)

    def lip_pairs(self) -> csr_matrix:
        """[pairs, 5023]: points of the upper rim less those of the lower one across, and the inner-lip landmarks."""
        marks = self.map.landmarks
        at_upper = along(self.rest, self.upper, marks[62])
        across, share = rim_points(at_upper, self.lower, along(self.rest, self.lower, marks[66]))
        pairs = np.array(INNER_LIP_PAIRS)
        first = np.r_[self.upper[1:-1], marks[pairs[:, 0]]]
        across = np.concatenate([across[1:-1], np.repeat(marks[pairs[:, 1]][:, None], 3, 1)])
        share = np.concatenate([share[1:-1], np.eye(3)[[0] * len(pairs)]])
        rows = np.repeat(np.arange(len(first)), 4)
        columns = np.concatenate([first[:, None], across], 1)
        values = np.concatenate([np.ones((len(first), 1)), -share], 1)
        return csr_matrix((values.ravel(), (rows, columns.ravel())), (len(first), len(self.rest)))

    def units(self, shut: np.ndarray = np.zeros((0, len(ARKIT_BLENDSHAPES)))) -> np.ndarray:
        """The 52 blendshapes on the FLAME head.

        Args:
            shut: [S, 52] ARKit weights of moments at which lips touch; none for plain transfer.

        Returns:
            [52, 5023, 3] metres, in our head's size and axes; `Topology.pose` tells how to size and turn them.
        """
        pairs = self.lip_pairs()
        pressed = PRESSED * np.stack([pairs @ unit for unit in self.composed])
        return transferred(self.rest, self.triangles, self.gradients, self.free, pairs, shut, pressed)
