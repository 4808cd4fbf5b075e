"""A small picture of a clip: the bundled head where its lips are widest open."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np

from ..head.head import Head, lip_opening, load_head
from ..synthesis import Performance

SIZE = 128  # pixels a side
SAMPLES = 2  # a pixel and side
TURN = 0.26  # radians by which the camera stands to the left of the face
CENTRE, HALF_WIDTH = (0.003, -0.09, 0.121), 0.089  # metres, of what the picture shows
LIGHTS = (  # direction: right, up, to the camera; linear red, green, blue
    ((-0.62, 0.62, 0.48), (0.88, 0.82, 0.74)),
    ((0.95, 0.15, 0.05), (0.26, 0.30, 0.38)),
)
AMBIENT = (0.075, 0.08, 0.09)
GLOSS = {"skin": 0.05, "lips": 0.22, "eyes": 0.3, "iris": 0.3, "tongue": 0.15, "teeth": 0.2}
INSIDE = ("mouth", "teeth", "tongue")
LIPS_AT = -0.142  # metres, the lips' plane
FADE_INSIDE, FADE_OUTSIDE = 0.026, 0.13  # metres behind it at which light is down to 1/e, in the mouth and elsewhere
BACKGROUND = (0.070, 0.022)  # linear grey at the top and the bottom


def thumbnail(performance: Performance) -> bytes:
    """The bundled head in the frame where its lips are widest open, as a PNG; the same bytes every time."""
    head, motion = load_head(), performance.motion
    widest = int(lip_opening(performance.landmark_positions).argmax())
    shapes = performance.outputs[head.topology]
    return portrait(head, head.vertices + motion.on(shapes).displacements(widest, widest + 1)[0])


def portrait(head: Head, vertices: np.ndarray) -> bytes:
    """A head with its vertices at [V, 3] metres, as a PNG of `SIZE` pixels a side."""
    triangles, materials, colours, gloss, inside = _surfaces(head)
    axes = [[np.cos(TURN), np.sin(TURN), 0], [0, 0, 1], [np.sin(TURN), -np.cos(TURN), 0]]
    right, up, near = np.array(axes, np.float32)
    side = SIZE * SAMPLES
    projected = (vertices.astype(np.float32) - np.array(CENTRE, np.float32)) @ np.stack([right, -up, near], 1)
    projected[:, :2] = (projected[:, :2] / HALF_WIDTH + 1) * (side / 2)
    pixels, owners, barycentric = _visible(projected[triangles], side)
    corners = triangles[owners]
    normals = _normals(vertices, triangles) @ np.stack([right, up, near], 1)
    normals = (normals[corners] * barycentric[:, :, None]).sum(1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    material = materials[owners]
    light = np.broadcast_to(np.array(AMBIENT, np.float32), normals.shape).copy()
    shine = np.zeros_like(light)
    for direction, colour in LIGHTS:
        towards = np.array(direction, np.float32) / np.linalg.norm(direction)
        half = (towards + (0, 0, 1)) / np.linalg.norm(towards + (0, 0, 1))
        colour = np.array(colour, np.float32)
        light += np.maximum(0, 0.88 * normals @ towards.astype(np.float32) + 0.12)[:, None] * colour
        shine += np.maximum(0, normals @ half.astype(np.float32))[:, None] ** 32 * colour
    depth = np.maximum(0, (vertices[corners, 1] * barycentric).sum(1) - LIPS_AT)
    reached = np.exp(-depth / np.where(inside[material], FADE_INSIDE, FADE_OUTSIDE)).astype(np.float32)[:, None]
    image = np.repeat(np.linspace(*BACKGROUND, side, dtype=np.float32), side)[:, None].repeat(3, 1)
    image[pixels] = (colours[material] * light + gloss[material, None] * shine) * reached
    image = image.reshape(SIZE, SAMPLES, SIZE, SAMPLES, 3).mean((1, 3))
    return _png(np.round(255 * np.clip(image, 0, 1) ** (1 / 2.2)).astype(np.uint8))


@lru_cache(maxsize=2)
def _surfaces(head: Head) -> tuple[np.ndarray, ...]:
    """Triangles [F', 3], their materials [F']; of each material colour [M, 3], gloss [M] and if it is inside [M]."""
    second = head.faces[:, 3] >= 0
    triangles = np.concatenate([head.faces[:, :3], head.faces[second][:, [0, 2, 3]]])
    materials = np.concatenate([head.face_materials, head.face_materials[second]])
    names = [name for name, _ in head.materials]
    colours = np.array([colour for _, colour in head.materials], np.float32)
    gloss = np.array([GLOSS.get(name, 0) for name in names], np.float32)
    return triangles, materials, colours, gloss, np.isin(names, INSIDE)


def _normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[V, 3] unit normals at the vertices, weighted by the areas of their triangles."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    across = np.cross(b - a, c - a)
    sums = [np.bincount(triangles.T.ravel(), np.tile(axis, 3), len(vertices)) for axis in across.T]
    normals = np.stack(sums, 1)
    return (normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)).astype(np.float32)


def _visible(corners: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rasterise the front faces of triangles.

    Args:
        corners: [F, 3, 3] x to the right and y down in pixels, z towards the camera in metres.
        side: pixels of an edge.

    Returns:
        The covered pixels [P], ascending; the triangle that each shows [P]; its barycentric coordinates there [P, 3].
    """
    x, y, z = corners.astype(float).transpose(2, 0, 1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    front = area < -1e-9  # counter-clockwise for the camera, as y points down
    low = np.clip(np.ceil(corners[:, :, :2].min(1) - 0.5), 0, side).astype(np.int64)
    high = np.clip(np.floor(corners[:, :, :2].max(1) - 0.5) + 1, 0, side).astype(np.int64)
    wide, tall = np.maximum(0, high - low).T
    count = np.where(front, wide * tall, 0)
    owner = np.repeat(np.arange(len(corners)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    column, row = low[owner, 0] + place % wide[owner], low[owner, 1] + place // wide[owner]
    turned = 1 / np.where(front, area, 1)
    # Barycentric coordinates are linear in the pixel: slope in x, slope in y, constant.
    ahead, behind = [1, 2, 0], [2, 0, 1]
    in_x, in_y = (y[:, ahead] - y[:, behind]) * turned[:, None], (x[:, behind] - x[:, ahead]) * turned[:, None]
    constant = (x[:, ahead] * y[:, behind] - x[:, behind] * y[:, ahead]) * turned[:, None] + (in_x + in_y) / 2
    barycentric = [in_x[owner, i] * column + in_y[owner, i] * row + constant[owner, i] for i in range(2)]
    barycentric.append(1 - barycentric[0] - barycentric[1])
    inside = np.flatnonzero((barycentric[0] >= 0) & (barycentric[1] >= 0) & (barycentric[2] >= 0))
    barycentric, owner, pixel = np.stack(barycentric, 1)[inside], owner[inside], (row * side + column)[inside]
    depth = ((barycentric * z[owner]).sum(1) * 1e6).astype(np.int64) + 10**7  # micrometres, all positive
    nearest = np.zeros(side * side, np.int64)
    ranks = depth * len(inside) + np.arange(len(inside))
    np.maximum.at(nearest, pixel, ranks)
    pixels = np.flatnonzero(nearest)
    chosen = nearest[pixels] % len(inside)
    return pixels, owner[chosen], barycentric[chosen].astype(np.float32)


def _png(image: np.ndarray) -> bytes:
    """An image [H, W, 3] uint8 as a PNG, each row with the filter that leaves the smallest values."""
    height, width, _ = image.shape
    pixels = image.astype(np.int16)
    left, up, corner = np.zeros((3, height, width, 3), np.int16)
    left[:, 1:], up[1:], corner[1:, 1:] = pixels[:, :-1], pixels[:-1], pixels[:-1, :-1]
    guess = left + up - corner
    off = np.abs(np.stack([guess - left, guess - up, guess - corner]))
    paeth = np.choose(off.argmin(0), [left, up, corner])
    guesses = np.stack([np.zeros_like(up), left, up, (left + up) // 2, paeth])
    rows = (pixels - guesses).astype(np.uint8)
    best = np.abs(rows.view(np.int8).astype(np.int16)).sum((2, 3)).argmin(0)
    chosen = rows[best, np.arange(height)].reshape(height, -1)
    data = np.concatenate([best[:, None].astype(np.uint8), chosen], 1).tobytes()
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
