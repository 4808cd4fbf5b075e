"""FLAME's 5023 vertices as points on the bundled head, so that one motion drives both.

The map (tools/build_flame_map.py) holds no FLAME positions or triangles: for each vertex a point of the bundled head,
around the mouth weights of the bundled head's vertices, and the 52 blendshapes as they were solved for on a FLAME head
(tools/train_flame.py). When it changes, tools/compose_flame.py updates a checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ..arkit import ARKIT_BLENDSHAPES
from ..head import load_head
from .base import Topology

BUNDLED = Path(__file__).parents[2] / "data" / "flame.npz"
VERTICES = 5023
# Shares by which pressing blendshapes are reduced at the rims of the lips.
PRESSES = {"mouthPressLeft": 0.75, "mouthPressRight": 0.75, "mouthRollUpper": 0.5}


@dataclass(frozen=True, eq=False)
class FlameMap:
    """Where each FLAME vertex lies on the bundled head."""

    corners: np.ndarray  # [5023, 3] vertices of the bundled head
    weights: np.ndarray  # [5023, 3] barycentric; zero for what stays still, the eyeballs
    landmarks: np.ndarray  # [68] FLAME vertices nearest to the iBUG points
    eyes: np.ndarray  # vertex indices
    lips: np.ndarray  # vertex indices

    mouth: np.ndarray  # [M] vertex indices around the mouth, where motion is read from more than three vertices
    mouth_corners: np.ndarray  # [M, 24] vertices of the bundled head
    mouth_weights: np.ndarray  # [M, 24], sums of one
    near_rim: np.ndarray  # [M] from 1 on the rims of the lips to 0 at 12 mm from them

    moved: np.ndarray  # [N] vertex indices that the solved blendshapes move
    units: np.ndarray  # [52, N, 3] metres in the bundled head's size and axes; N = 0 keeps what is composed

    def read(self, points: np.ndarray) -> np.ndarray:
        """Where FLAME's vertices lie on the bundled head: positions [..., V, 3] -> [..., 5023, 3]."""
        return np.einsum("...vkc,vk->...vc", points[..., self.corners, :], self.weights)

    def move(self, displacements: np.ndarray) -> np.ndarray:
        """The bundled head's motion at FLAME's vertices, linear in it: [..., V, 3] -> [..., 5023, 3], both in metres.

        A mix of blendshapes becomes the same mix of the solved ones; the residual is composed.
        """
        out = self.compose(displacements)
        found = displacements.reshape(*displacements.shape[:-2], -1) @ self._units_found
        out[..., self.moved, :] += np.tensordot(found, self._solved_less_composed, 1)
        return out

    def compose(self, displacements: np.ndarray) -> np.ndarray:
        """As `move`, read off the bundled head's surface alone.

        Around the mouth it is smoothed, as the coarser mesh would crease FLAME's lips, and what presses the lips
        together is reduced: FLAME's lips touch at rest, the bundled head's do not, so FLAME's would intersect.
        """
        out = self.read(displacements)
        smooth = np.zeros((*out.shape[:-2], len(self.mouth), 3), out.dtype)
        for corner, weight in zip(self.mouth_corners.T, self.mouth_weights.T):
            smooth += displacements[..., corner, :] * weight[:, None]
        found = displacements.reshape(*displacements.shape[:-2], -1) @ self._units_found
        pressed = found[..., [ARKIT_BLENDSHAPES.index(name) for name in PRESSES]]
        out[..., self.mouth, :] = smooth - np.tensordot(pressed, self._press_eased, 1)
        return out

    @cached_property
    def _units_found(self) -> np.ndarray:
        """[V * 3, 52]: how much of each blendshape is in a displacement of the bundled head, by least squares."""
        units = load_head().blendshape_deltas().reshape(len(ARKIT_BLENDSHAPES), -1).astype(np.float64)
        return np.linalg.solve(units @ units.T, units).T.astype(np.float32)

    @cached_property
    def _solved_less_composed(self) -> np.ndarray:
        """[52, N, 3] metres to add to each blendshape's composed motion."""
        return self.units.astype(np.float32) - self.compose(load_head().blendshape_deltas())[:, self.moved]

    @cached_property
    def _press_eased(self) -> np.ndarray:
        """[presses, M, 3] metres to subtract for each pressing blendshape at weight one."""
        units = load_head().blendshape_deltas()[[ARKIT_BLENDSHAPES.index(name) for name in PRESSES]]
        moved = np.einsum("umkc,mk->umc", units[:, self.mouth_corners], self.mouth_weights)
        return np.array(list(PRESSES.values()), np.float32)[:, None, None] * self.near_rim[:, None] * moved


@lru_cache(maxsize=1)
def load_flame_map() -> FlameMap:
    """The bundled map."""
    with np.load(BUNDLED, allow_pickle=False) as data:
        return FlameMap(**{field.name: data[field.name] for field in fields(FlameMap)})


class FlameTopology(Topology):
    """FLAME's 5023 vertices, as `FlameMap` places them on the bundled head."""

    name = "flame"
    label = "FLAME head"

    @property
    def vertices(self) -> int:
        return VERTICES

    def landmarks(self, points: np.ndarray) -> np.ndarray:
        return points[..., load_flame_map().landmarks, :]

    def retarget(self, displacements: np.ndarray) -> np.ndarray:
        return load_flame_map().move(displacements)
