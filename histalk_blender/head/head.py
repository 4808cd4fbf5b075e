"""What a head is: neutral vertices, faces, landmarks, regions, materials and its 52 ARKit blendshapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from ..runtime.output import printable
from .arkit import ARKIT_BLENDSHAPES

BUNDLED = Path(__file__).parents[1] / "data" / "head.npz"
INNER_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))


def lip_opening(landmarks: np.ndarray) -> np.ndarray:
    """Mean distance over the inner-lip pairs 61-67, 62-66, 63-65 (docs/method.md section 4).

    Args:
        landmarks: [..., 68, 3] positions in metres.

    Returns:
        [...] metres.
    """
    upper, lower = np.array(INNER_LIP_PAIRS).T
    return np.linalg.norm(landmarks[..., upper, :] - landmarks[..., lower, :], axis=-1).mean(-1)


@dataclass(frozen=True, eq=False)
class Head:
    """A head in metres on Blender's axes: Z up, the face looks along -Y, +X is its left.

    faces: [F, 4] vertex indices, -1 in the fourth place of a triangle. Landmarks are barycentric sums.
    """

    topology: str
    vertices: np.ndarray  # [V, 3]
    faces: np.ndarray  # [F, 4]
    face_materials: np.ndarray  # [F]
    materials: tuple[tuple[str, tuple[float, ...]], ...]  # name, linear red, green and blue
    landmark_vertices: np.ndarray  # [68, 3] vertex indices
    landmark_barycentric: np.ndarray  # [68, 3]
    regions: dict[str, np.ndarray]  # name -> vertex indices
    unit_rows: tuple[np.ndarray, np.ndarray, np.ndarray]  # unit, vertex, delta [3] of each moved vertex

    def landmarks(self, points: np.ndarray) -> np.ndarray:
        """Read the 68 landmarks off positions or displacements: [..., V, 3] -> [..., 68, 3]."""
        corners = points[..., self.landmark_vertices, :]
        return (corners * self.landmark_barycentric[:, :, None].astype(points.dtype)).sum(-2)

    @cached_property
    def _deltas(self) -> np.ndarray:
        unit, vertex, delta = self.unit_rows
        dense = np.zeros((len(ARKIT_BLENDSHAPES), len(self.vertices), 3), np.float32)
        dense[unit, vertex] = delta
        return dense

    def blendshape_deltas(self) -> np.ndarray:
        """[52, V, 3] metres, the displacement of each unit at weight one, in ARKIT_BLENDSHAPES' order."""
        return self._deltas

    def pose(self, weights: np.ndarray) -> np.ndarray:
        """Unit weights [T, 52] -> displacements [T, V, 3] in metres."""
        return np.tensordot(weights.astype(np.float32), self._deltas, 1)


@lru_cache(maxsize=4)
def load_head(path: Path | None = None) -> Head:
    """The bundled CC0 head, or one in the same format.

    Raises:
        HiSTalkError: the file is missing or no head.
    """
    path = Path(path or BUNDLED)
    try:
        with np.load(path, allow_pickle=False) as data:
            return Head(
                str(data["topology"]),
                data["vertices"],
                data["faces"],
                data["face_materials"],
                tuple((str(n), tuple(map(float, c))) for n, c in zip(data["material_names"], data["material_colours"])),
                data["landmark_vertices"],
                data["landmark_barycentric"],
                {key[7:]: data[key] for key in data.files if key.startswith("region_")},
                (data["unit_index"], data["unit_vertex"], data["unit_delta"].astype(np.float32)),
            )
    except Exception as error:  # a damaged zip fails in many ways
        raise HiSTalkError(
            f"'{path}' is not a HiSTalk head ({printable(error, 120)}): give one made by tools/build_head.py."
        ) from error
