"""What an animator may change of a motion without asking the network again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..head.arkit import ARKIT_UNITS
from ..settings import setting
from .motion import Motion

# mouthClose goes with the jaw: it is what keeps the lips together while the jaw is down.
JAW = ("jaw", "mouthClose")
UPPER_FACE = ("brow", "eye", "cheekSquint", "nose")
LIPS = ("mouth", "cheekPuff")


@dataclass(frozen=True)
class Style:
    """How strongly, how smoothly and when a face speaks; the defaults leave the motion as predicted.

    Each field is described once, here: panel, command line and manifest are made from these descriptions. Factors scale
    displacements; smoothing and delay are seconds.
    """

    lips: float = setting(1.0, "Lips", "How far lips and cheeks move; 1 = as predicted", 0.0, 3.0, (0.0, 2.0))
    jaw: float = setting(
        1.0, "Jaw", "How far the jaw opens; the lips still close; 1 = as predicted", 0.0, 3.0, (0.0, 2.0)
    )
    upper_face: float = setting(
        1.0, "Upper Face", "How far brows, eyelids and nose move; 1 = as predicted", 0.0, 3.0, (0.0, 2.0)
    )
    smoothing: float = setting(
        0.0,
        "Smoothing",
        "Time over which motion is averaged; above 0.06 s lips miss closures",
        0.0,
        1.0,
        (0.0, 0.2),
        "s",
    )
    delay: float = setting(
        0.0, "Delay", "How long the face moves after the sound; negative = before it", -5.0, 5.0, (-0.2, 0.2), "s"
    )

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
