"""Find, for each of FLAME's 5023 vertices, its point on the bundled head: data/flame.npz.

    pip install scipy==1.17.1 && python tools/build_flame_map.py flame_topology.npz

The argument holds `vertices` [5023, 3], `faces`, `landmark_faces` and `landmark_barycentric` of a neutral FLAME head.
Nothing of it is kept but what is computed here: points on our own head, and vertex indices.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, identity, vstack
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from histalk_blender.flame import BUNDLED, similarity
from histalk_blender.head import load_head
from histalk_blender.units import ARKIT_UNITS

STEPS = ((30.0, 6), (10.0, 6), (3.0, 8), (1.0, 8), (0.3, 8))  # stiffness, rounds
# Landmarks that sit elsewhere on the two heads: the wings of the nose.
LOOSE = (31, 32, 34, 35)
FURTHEST = 0.012  # metres to a closest point that may pull


def triangles_of(faces: np.ndarray) -> np.ndarray:
    """Quads and triangles [F, 4] -> triangles [T, 3]."""
    second = faces[faces[:, 3] >= 0][:, [0, 2, 3]]
    return np.concatenate([faces[:, :3], second])


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[N, 3] unit normals, weighted by area."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    normals = np.zeros_like(points)
    for i in range(3):
        np.add.at(normals, triangles[:, i], np.cross(b - a, c - a))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def closest_on_triangle(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Barycentric coordinates [..., 3] of the points of triangles nearest to p; all arguments [..., 3]."""
    ab, ac, ap = b - a, c - a, p - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-20)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    best = np.stack([1 - v - w, v, w], -1)
    outside = (best < 0).any(-1)

    def on_edge(start, end, i, j):
        along = np.clip(((p - start) * (end - start)).sum(-1) / np.maximum(((end - start) ** 2).sum(-1), 1e-20), 0, 1)
        out = np.zeros(p.shape)
        out[..., i], out[..., j] = 1 - along, along
        return out

    edges = np.stack([on_edge(a, b, 0, 1), on_edge(b, c, 1, 2), on_edge(c, a, 2, 0)])
    corners = np.stack([a, b, c], -2)
    distance = np.linalg.norm(np.einsum("e...k,...kd->e...d", edges, corners) - p, axis=-1)
    nearest = np.take_along_axis(edges, distance.argmin(0)[None, ..., None], 0)[0]
    return np.where(outside[..., None], nearest, best)


class Surface:
    """Our skin, asked for closest points; upper and lower lip are kept apart."""

    def __init__(self, points: np.ndarray, triangles: np.ndarray, side: np.ndarray):
        self.points, self.triangles, self.side = points, triangles, side
        self.normals = vertex_normals(points, triangles)
        self.trees = {}
        for wanted in (-1, 0, 1):
            # A point of a lip may land on its own lip or away from both.
            allowed = np.flatnonzero((side[triangles] * wanted >= 0).all(1)) if wanted else np.arange(len(triangles))
            self.trees[wanted] = (allowed, cKDTree(points[triangles[allowed]].mean(1)))

    def closest(self, points: np.ndarray, normals: np.ndarray, side: np.ndarray):
        """Triangle corners [N, 3], barycentric [N, 3], distance [N] in metres; another way's normal costs 2 cm."""
        corners, weights = np.zeros((len(points), 3), int), np.zeros((len(points), 3))
        distance = np.zeros(len(points))
        for wanted, (allowed, tree) in self.trees.items():
            mine = np.flatnonzero(side == wanted)
            if not len(mine):
                continue
            _, near = tree.query(points[mine], 32)
            tri = self.triangles[allowed[near]]
            at = self.points[tri]
            p = np.broadcast_to(points[mine][:, None], at[:, :, 0].shape)
            bary = closest_on_triangle(p, at[:, :, 0], at[:, :, 1], at[:, :, 2])
            far = np.linalg.norm((bary[..., None] * at).sum(2) - p, axis=-1)
            agree = (self.normals[tri].mean(2) * normals[mine][:, None]).sum(-1)
            choice = (far + 0.02 * np.maximum(0.3 - agree, 0)).argmin(1)
            row = np.arange(len(mine))
            corners[mine], weights[mine], distance[mine] = tri[row, choice], bary[row, choice], far[row, choice]
        return corners, weights, distance


def edges_of(triangles: np.ndarray, size: int) -> np.ndarray:
    """[E, 2] unique edges."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(pairs, 1), axis=0)


def lip_side(points: np.ndarray, triangles: np.ndarray, upper: list[int], lower: list[int]) -> np.ndarray:
    """+1 near the upper lip, -1 near the lower, 0 elsewhere, by way along the surface."""
    edges = edges_of(triangles, len(points))
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    graph = coo_matrix((length, edges.T), (len(points),) * 2)
    up, low = (dijkstra(graph, False, seeds, min_only=True) for seeds in (upper, lower))
    side = np.zeros(len(points), int)
    side[(up < low) & (up < 0.02)], side[(low < up) & (low < 0.02)] = 1, -1
    return side


def on_lip_loops(theirs: np.ndarray, marks: np.ndarray, head) -> np.ndarray:
    """Our points for 61, 63, 65 and 67 as far along the lips' line as theirs, which lie nearer to the middle."""
    jaw = head.unit_deltas()[ARKIT_UNITS.index("jawOpen"), :, 2]
    loop = head.regions["inner_lips"]
    depth = np.interp(np.abs(head.vertices[loop, 0]), *np.sort([[0, marks[64, 0]], [-0.03, -0.009]], axis=1))
    lower = jaw[loop] < depth / 2
    out = marks.copy()
    for mark, which in ((61, ~lower), (63, ~lower), (65, lower), (67, lower)):
        line = head.vertices[np.sort(loop[which])].astype(np.float64)
        line = line[np.argsort(line[:, 0])]
        share = (theirs[mark, 0] - theirs[62, 0]) / (theirs[64, 0] - theirs[60, 0])
        x = share * (marks[64, 0] - marks[60, 0])
        out[mark] = [np.interp(x, line[:, 0], line[:, axis]) for axis in range(3)]
    return out


def main() -> None:
    """Register, write the map and say how good it is."""
    data = np.load(sys.argv[1], allow_pickle=False)
    flame = data["vertices"].astype(np.float64)
    triangles = data["faces"].astype(int)
    rows = np.repeat(np.arange(68), 3)
    columns = triangles[data["landmark_faces"]].ravel()
    pick = csr_matrix((data["landmark_barycentric"].ravel().astype(np.float64), (rows, columns)), (68, len(flame)))
    nearest = np.array([columns[3 * i : 3 * i + 3][data["landmark_barycentric"][i].argmax()] for i in range(68)])

    head = load_head()
    points = head.vertices.astype(np.float64)
    parts = [head.regions[name] for name in ("eye_left", "eye_right", "teeth", "tongue", "lashes")]
    skin = ~np.isin(head.faces[:, 0], np.concatenate(parts))
    ours = triangles_of(head.faces[skin])
    marks = head.landmarks(points)
    own = head.landmark_vertices[np.arange(68), head.landmark_barycentric.argmax(1)]
    surface = Surface(points, ours, lip_side(points, ours, list(own[61:64]), list(own[65:68])))

    scale, rotation, shift = similarity((pick @ flame)[17:], marks[17:])
    X = scale * flame @ rotation.T + shift
    marks = on_lip_loops(pick @ X, marks, head)
    print("inner lips", (marks[60:68] * 1000).round(1).tolist())
    side = lip_side(X, triangles, list(nearest[61:64]), list(nearest[65:68]))
    count, component = connected_components(
        coo_matrix((np.ones(len(triangles) * 2), np.concatenate([triangles[:, :2], triangles[:, 1:]]).T), (len(X),) * 2)
    )
    face_component = component[nearest[30]]
    eyes = component != face_component
    edges = edges_of(triangles, len(X))
    edges = edges[~eyes[edges[:, 0]]]
    E = len(edges)
    difference = csr_matrix(
        (np.tile([1.0, -1.0], E), (np.repeat(np.arange(E), 2), edges.ravel())), (E, len(X))
    )
    laplace = difference.T @ difference
    laplace = diags(1 / np.maximum(laplace.diagonal(), 1)) @ laplace
    pinned = np.setdiff1d(np.arange(17, 68), LOOSE)
    inner = pick[pinned]
    for stiffness, rounds in STEPS:
        for _ in range(rounds):
            corners, weights, distance = surface.closest(X, vertex_normals(X, triangles), side)
            goal = (points[corners] * weights[..., None]).sum(1)
            trust = np.where((distance < FURTHEST) & ~eyes, 1.0, 0.0)
            # What is solved for is the step on from the present shape, which stays smooth.
            A = vstack([np.sqrt(stiffness) * difference, np.sqrt(2.0) * laplace, diags(np.sqrt(trust)), 5.0 * inner, 1e-3 * identity(len(X))])
            b = np.concatenate([np.zeros((E + len(X), 3)), np.sqrt(trust)[:, None] * (goal - X), 5.0 * (marks[pinned] - inner @ X), np.zeros((len(X), 3))])
            X = X + splu((A.T @ A).tocsc()).solve(A.T @ b)
        gap = np.linalg.norm(inner @ X - marks[pinned], axis=1)
        print(f"stiffness {stiffness}: landmarks off by {gap.mean() * 1000:.2f} mm, surface {distance[trust > 0].mean() * 1000:.2f} mm")
    corners, weights, distance = surface.closest(X, vertex_normals(X, triangles), side)
    order = np.sort(component[eyes])
    print(f"{eyes.sum()} eye vertices, {count} parts, furthest {distance[~eyes].max() * 1000:.1f} mm", len(order))
    weights[eyes] = 0
    dense = (head.unit_deltas()[:, corners] * weights[None, ..., None]).sum(2)
    moving = np.linalg.norm(dense, axis=-1).max(0) > 2e-4
    np.savez_compressed(
        BUNDLED, corners=corners.astype(np.int32), weights=weights.astype(np.float32),
        landmarks=nearest.astype(np.int32), eyes=np.flatnonzero(eyes).astype(np.int32),
        lips=np.flatnonzero(np.isin(corners, head.regions["lips"]).all(1) & ~eyes).astype(np.int32),
    )  # fmt: skip
    # How lips close there: the units that closures use, carried over and turned back.
    unit = head.unit_deltas()[[ARKIT_UNITS.index(n) for n in ("jawOpen", "mouthClose")]].sum(0) * 0.4
    moved = flame + (unit[corners] * weights[..., None]).sum(1) @ rotation / scale

    def opening(vertices):
        m = pick @ vertices
        return np.linalg.norm(m[[61, 62, 63]] - m[[67, 66, 65]], axis=1).mean() * 1000

    print(f"moving vertices {moving.sum()}; lips open by {opening(flame):.2f} mm at rest, {opening(moved):.2f} mm closed")
    np.save("/tmp/flame_registered.npy", X)


if __name__ == "__main__":
    main()
