"""What an animator may change of a motion without asking the network again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..head.arkit import ARKIT_UNITS
from .motion import Motion

# mouthClose goes with the jaw: it is what keeps the lips together while the jaw is down.
JAW = ("jaw", "mouthClose")
UPPER_FACE = ("brow", "eye", "cheekSquint", "nose")
LIPS = ("mouth", "cheekPuff")


@dataclass(frozen=True)
class Style:
    """How strongly, how smoothly and when a face speaks; the defaults are as the network says.

    lips, jaw, upper_face: factors. smoothing, delay: seconds; a positive delay moves the face after the sound.
    """

    lips: float = 1.0
    jaw: float = 1.0
    upper_face: float = 1.0
    smoothing: float = 0.0
    delay: float = 0.0

    def unit_factors(self) -> np.ndarray:
        """[52] the factor of each unit."""

        def factor(name: str) -> float:
            for starts, value in ((JAW, self.jaw), (UPPER_FACE, self.upper_face), (LIPS, self.lips)):
                if name.startswith(starts):
                    return value
            return 1.0

        return np.array([factor(name) for name in ARKIT_UNITS], np.float32)

    @property
    def scales(self) -> bool:
        """Whether anything moves further, or less far, than the network says."""
        return bool((self.unit_factors() != 1).any())

    def scaled(self, motion: Motion, units: np.ndarray, unit_shapes: np.ndarray) -> Motion:
        """The motion with each part moving as far as this style has it.

        What the units explain of the motion is scaled, the rest stays, so that factors of one change nothing.

        Args:
            motion: as the network made it.
            units: [T, 52] the units' weights in it (`arkit.fit_units`).
            unit_shapes: [52, V, 3] metres, the units on the motion's topology.
        """
        more = self.unit_factors() - 1
        changed = np.flatnonzero(more)
        return motion.plus(units[:, changed] * more[changed], unit_shapes[changed])

    def apply_to_units(self, units: np.ndarray, fps: float) -> np.ndarray:
        """Weights [T, 52] of ARKit shape keys in this style, within 0 and 1; the delay is a bake's, in its start frame."""
        scaled = Motion(units * self.unit_factors(), np.zeros((len(ARKIT_UNITS), 1, 3), np.float32), fps)
        return np.clip(scaled.smoothed(self.smoothing).weights, 0, 1)
