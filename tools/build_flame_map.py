"""Find, for each of FLAME's 5023 vertices, its point on the bundled head: data/flame.npz.

    pip install scipy==1.17.1 && python tools/build_flame_map.py flame_topology.npz

The argument holds `vertices` [5023, 3], `faces`, `landmark_faces` and `landmark_barycentric` of a neutral FLAME head.
Nothing of it is kept but what is computed here: points on our own head, weights of its vertices, and vertex indices.
Afterwards solve for its blendshapes again: python tools/train_flame.py --head flame_topology.npz CHECKPOINT.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, identity, vstack
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import load_head
from histalk_blender.head.topologies.base import similarity
from histalk_blender.head.topologies.flame import BUNDLED, load_flame_map

STEPS = ((30.0, 6), (10.0, 6), (3.0, 8), (1.0, 8), (0.3, 8))  # stiffness, rounds
# Landmarks that sit elsewhere on the two heads: the wings of the nose.
LOOSE = (31, 32, 34, 35)
FURTHEST = 0.012  # metres to a closest point that may pull
SMOOTH = 12.0  # how much bending counts about the mouth
NEAR = 24  # of our vertices that a FLAME vertex about the mouth reads
EASED = 0.012  # metres along the skin from the lips' rims within which pressing is eased


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


def graph_of(points: np.ndarray, triangles: np.ndarray) -> csr_matrix:
    """[N, N] lengths of the edges."""
    edges = edges_of(triangles, len(points))
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    return csr_matrix((length, edges.T), (len(points),) * 2)


def lip_side(graph: csr_matrix, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """+1 near the upper lip's rim, -1 near the lower's, 0 elsewhere, by way along the surface."""
    up, low = (dijkstra(graph, False, seeds[1:-1], min_only=True) for seeds in (upper, lower))
    side = np.zeros(graph.shape[0], int)
    side[(up < low) & (up < 0.02)], side[(low < up) & (low < 0.02)] = 1, -1
    return side


def way(graph: csr_matrix, stops: list[int]) -> np.ndarray:
    """The vertices of the shortest way along edges through all stops."""
    out = [stops[0]]
    for start, end in zip(stops, stops[1:]):
        _, before = dijkstra(graph, False, start, return_predecessors=True)
        part = [end]
        while part[-1] != start:
            part.append(before[part[-1]])
        out += part[-2::-1]
    return np.array(out)


def our_rims(head, graph: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Our lips' inner rims, upper and lower: vertices from the right corner of the mouth to its left one."""
    loop = np.sort(head.regions["inner_lips"])
    ring = graph[loop][:, loop]
    x, drop = head.vertices[loop, 0], head.blendshape_deltas()[ARKIT_BLENDSHAPES.index("jawOpen"), loop, 2]
    middle = np.flatnonzero(np.abs(x) < 1e-4)
    up, low = middle[drop[middle].argmax()], middle[drop[middle].argmin()]
    right, left = int(x.argmin()), int(x.argmax())
    return loop[way(ring, [right, up, left])], loop[way(ring, [right, low, left])]


def along(points: np.ndarray, rim: np.ndarray, middle: int) -> np.ndarray:
    """How far along a rim its vertices lie: -1 at the right corner, 0 at `middle`, 1 at the left corner."""
    at = np.r_[0, np.linalg.norm(np.diff(points[rim], axis=0), axis=1).cumsum()]
    return np.interp(at, [0, at[list(rim).index(middle)], at[-1]], [-1, 0, 1])


def rim_points(share: np.ndarray, rim: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two rim vertices [N, 3] (the last twice) and their weights [N, 3] at each share of the way along."""
    after = np.clip(np.searchsorted(at, share), 1, len(at) - 1)
    part = np.clip((share - at[after - 1]) / (at[after] - at[after - 1]), 0, 1)
    return rim[np.stack([after - 1, after, after], 1)], np.stack([1 - part, part, 0 * part], 1)


def smoothed(motion: np.ndarray, points: np.ndarray, triangles: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Displacements [N, C] that bend as little as they can along the surface and stay near the given ones.

    Args:
        where: [N] how much each vertex's bending counts against its distance from the given displacement.
    """
    edges = edges_of(triangles, len(points))
    pull = 1 / np.maximum(np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1), 5e-4)
    pairs = csr_matrix((np.r_[pull, pull], np.concatenate([edges, edges[:, ::-1]]).T), (len(points),) * 2)
    bend = identity(len(points)) - diags(1 / np.maximum(np.asarray(pairs.sum(1)).ravel(), 1)) @ pairs
    return splu((identity(len(points)) + bend.T @ diags(where) @ bend).tocsc()).solve(motion)


def nearby_weights(
    motion: np.ndarray,
    at: np.ndarray,
    side: np.ndarray,
    units: np.ndarray,
    points: np.ndarray,
    ours: np.ndarray,
    our_side: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights with which our vertices near a point read the motion wanted there, for every unit.

    Args:
        motion: [M, 52, 3] metres, what is wanted.
        at: [M, 3] where on our head.
        side: [M] which lip, as `lip_side` has it; `our_side` [V] the same of ours.
        units: [52, V, 3] our head's blendshapes.
        ours: vertices that may serve.

    Returns:
        Vertices [M, NEAR] and weights [M, NEAR] that sum to one.
    """
    corners, weights = np.zeros((len(at), NEAR), int), np.zeros((len(at), NEAR))
    for row, (wanted, place, lip) in enumerate(zip(motion, at, side)):
        allowed = ours[our_side[ours] * lip >= 0]
        near = allowed[np.argsort(np.linalg.norm(points[allowed] - place, axis=1))[:NEAR]]
        # In millimetres, so that weights of the order of one cost as much as errors of one.
        seen = units[:, near].transpose(0, 2, 1).reshape(-1, NEAR) * 1000
        A = np.vstack([seen, np.eye(NEAR), np.full((1, NEAR), 1000.0)])
        found = np.linalg.lstsq(A, np.r_[wanted.ravel() * 1000, np.zeros(NEAR), 1000.0], rcond=None)[0]
        corners[row], weights[row] = near, found / found.sum()
    return corners, weights


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
    graph = graph_of(points, ours)
    our_upper, our_lower = our_rims(head, graph)
    surface = Surface(points, ours, lip_side(graph, our_upper, our_lower))

    scale, rotation, shift = similarity((pick @ flame)[17:], marks[17:])
    X = scale * flame @ rotation.T + shift
    # FLAME's rims run through its landmarks; each of their vertices belongs as far along ours as along theirs.
    graph = graph_of(X, triangles)
    upper, lower = way(graph, list(nearest[60:65])), way(graph, list(nearest[[60, 67, 66, 65, 64]]))
    side = lip_side(graph, upper, lower)
    at_upper, at_lower = along(X, upper, nearest[62]), along(X, lower, nearest[66])
    our_middle = [rim[np.abs(points[rim, 0]).argmin()] for rim in (our_upper, our_lower)]
    pinned_to = (
        rim_points(at_upper, our_upper, along(points, our_upper, our_middle[0])),
        rim_points(at_lower[1:-1], our_lower, along(points, our_lower, our_middle[1])),
    )
    rim = np.r_[upper, lower[1:-1]]
    rim_corners, rim_weights = (np.concatenate(part) for part in zip(*pinned_to))
    rim_goal = (points[rim_corners] * rim_weights[..., None]).sum(1)
    count, component = connected_components(
        coo_matrix((np.ones(len(triangles) * 2), np.concatenate([triangles[:, :2], triangles[:, 1:]]).T), (len(X),) * 2)
    )
    face_component = component[nearest[30]]
    eyes = component != face_component
    edges = edges_of(triangles, len(X))
    edges = edges[~eyes[edges[:, 0]]]
    E = len(edges)
    difference = csr_matrix((np.tile([1.0, -1.0], E), (np.repeat(np.arange(E), 2), edges.ravel())), (E, len(X)))
    laplace = difference.T @ difference
    laplace = diags(1 / np.maximum(laplace.diagonal(), 1)) @ laplace
    pinned = np.setdiff1d(np.arange(17, 60), LOOSE)
    inner = vstack([pick[pinned], identity(len(X), format="csr")[rim]])
    marks = np.r_[marks[pinned], rim_goal]
    for stiffness, rounds in STEPS:
        for _ in range(rounds):
            corners, weights, distance = surface.closest(X, vertex_normals(X, triangles), side)
            goal = (points[corners] * weights[..., None]).sum(1)
            trust = np.where((distance < FURTHEST) & ~eyes, 1.0, 0.0)
            # What is solved for is the step on from the present shape, which stays smooth.
            A = vstack(
                [
                    np.sqrt(stiffness) * difference,
                    np.sqrt(2.0) * laplace,
                    diags(np.sqrt(trust)),
                    5.0 * inner,
                    1e-3 * identity(len(X)),
                ]
            )
            b = np.concatenate(
                [
                    np.zeros((E + len(X), 3)),
                    np.sqrt(trust)[:, None] * (goal - X),
                    5.0 * (marks - inner @ X),
                    np.zeros((len(X), 3)),
                ]
            )
            X = X + splu((A.T @ A).tocsc()).solve(A.T @ b)
        gap = np.linalg.norm(inner @ X - marks, axis=1)
        apart = distance[trust > 0].mean() * 1000
        print(f"stiffness {stiffness}: landmarks off by {gap.mean() * 1000:.2f} mm, surface {apart:.2f} mm")
    corners, weights, distance = surface.closest(X, vertex_normals(X, triangles), side)
    order = np.sort(component[eyes])
    print(f"{eyes.sum()} eye vertices, {count} parts, furthest {distance[~eyes].max() * 1000:.1f} mm", len(order))
    corners[rim], weights[rim] = rim_corners, rim_weights
    weights[eyes] = 0
    units = head.blendshape_deltas().astype(np.float64)
    dense = (units[:, corners] * weights[None, ..., None]).sum(2)
    moving = np.linalg.norm(dense, axis=-1).max(0) > 2e-4
    # Our mesh is coarser than FLAME's about the lips: read straight, its edges would show as creases on FLAME.
    about = np.isin(corners, head.regions["mouth_area"]).any(1) & ~eyes
    wanted = smoothed(dense.transpose(1, 0, 2).reshape(len(X), -1), X, triangles, SMOOTH * about)
    wanted = wanted.reshape(len(X), -1, 3)
    mouth = np.flatnonzero(about)
    at = (points[corners[mouth]] * weights[mouth, :, None]).sum(1)
    mouth_corners, mouth_weights = nearby_weights(
        wanted[mouth], at, side[mouth], units, points, np.unique(ours), surface.side
    )
    off = np.abs(np.einsum("umkc,mk->muc", units[:, mouth_corners], mouth_weights) - wanted[mouth]).max((1, 2)) * 1000
    print(f"{len(mouth)} vertices about the mouth, off by {np.quantile(off, 0.95):.2f}, at most {off.max():.2f} mm")
    near = np.clip(1 - dijkstra(graph, False, rim, min_only=True)[mouth] / EASED, 0, 1)
    np.savez_compressed(
        BUNDLED,
        corners=corners.astype(np.int32),
        weights=weights.astype(np.float32),
        landmarks=nearest.astype(np.int32),
        eyes=np.flatnonzero(eyes).astype(np.int32),
        lips=np.flatnonzero(np.isin(corners, head.regions["lips"]).all(1) & ~eyes).astype(np.int32),
        mouth=mouth.astype(np.int32),
        mouth_corners=mouth_corners.astype(np.int32),
        mouth_weights=mouth_weights.astype(np.float32),
        near_rim=(near * near * (3 - 2 * near)).astype(np.float32),
        moved=np.zeros(0, np.int32),
        units=np.zeros((len(ARKIT_BLENDSHAPES), 0, 3), np.float16),
    )
    # How lips close there: the blendshapes that closures use, transferred and turned back.
    load_flame_map.cache_clear()
    unit = units[[ARKIT_BLENDSHAPES.index(n) for n in ("jawOpen", "mouthClose")]].sum(0) * 0.4
    moved = flame + load_flame_map().move(unit) @ rotation / scale

    def opening(vertices):
        m = pick @ vertices
        return np.linalg.norm(m[[61, 62, 63]] - m[[67, 66, 65]], axis=1).mean() * 1000

    gaps = f"lips open by {opening(flame):.2f} mm at rest, {opening(moved):.2f} mm closed"
    print(f"moving vertices {moving.sum()}; {gaps}")


if __name__ == "__main__":
    main()
