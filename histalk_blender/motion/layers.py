"""What changes a predicted motion before it is baked: layers, in order, for vertices and ARKit rigs alike.

A new layer is a class here and its place in LAYERS; a number that an animator sets for it is a field of `Style`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..head.arkit import ARKIT_BLENDSHAPES
from .motion import Motion
from .style import Style

# mouthClose goes with the jaw: it keeps the lips together while the jaw is down.
JAW = ("jaw", "mouthClose")
UPPER_FACE = ("brow", "eye", "cheekSquint", "nose")
LIPS = ("mouth", "cheekPuff")


@dataclass(frozen=True, eq=False)
class Face:
    """ARKit's blendshapes on the face that a motion moves; both are called only by layers that need them.

    arkit_weights: gives [T, 52], the blendshapes' weights in the predicted motion.
    blendshapes: gives [52, V, 3] metres, the blendshapes on the motion's own vertices.
    """

    arkit_weights: Callable[[], np.ndarray]
    blendshapes: Callable[[], np.ndarray]


class Layer(ABC):
    """One change of a motion, the same on every topology."""

    @abstractmethod
    def apply(self, motion: Motion, face: Face, style: Style) -> Motion:
        """The changed motion, of the same length; `motion` itself if the style asks for no change.

        Args:
            motion: [T frames, V vertices], what the layers before this one made of the predicted motion.
            face: the blendshapes to add with `motion.plus(weights, shapes)`.
            style: what the animator set.
        """


class Strength(Layer):
    """Lips, jaw and upper face move as far as the style says.

    What the blendshapes explain of the motion is scaled, the residual stays, so factors of one change nothing.
    """

    def apply(self, motion: Motion, face: Face, style: Style) -> Motion:
        """See `Layer`."""
        more = _factors(style) - 1
        changed = np.flatnonzero(more)
        if not len(changed):
            return motion
        return motion.plus(face.arkit_weights()[:, changed] * more[changed], face.blendshapes()[changed])


class Smoothing(Layer):
    """Motion is averaged over time."""

    def apply(self, motion: Motion, face: Face, style: Style) -> Motion:
        """See `Layer`."""
        return motion.smoothed(style.smoothing)


LAYERS: tuple[Layer, ...] = (Strength(), Smoothing())


def apply_layers(motion: Motion, face: Face, style: Style) -> Motion:
    """A predicted motion as the style has it, on its own vertices."""
    for layer in LAYERS:
        motion = layer.apply(motion, face, style)
    return motion


def layered_weights(arkit_weights: np.ndarray, style: Style, fps: float) -> np.ndarray:
    """ARKit weights [T, 52] as the style has them, from 0 to 1.

    The layers see a face of 52 points, each of which one blendshape moves by one.
    """
    points = np.zeros((len(ARKIT_BLENDSHAPES), len(ARKIT_BLENDSHAPES), 3), np.float32)
    points[..., 0] = np.eye(len(ARKIT_BLENDSHAPES))
    face = Face(lambda: arkit_weights, lambda: points)
    motion = apply_layers(Motion(arkit_weights, points, fps), face, style)
    return np.clip(motion.weights @ motion.shapes[..., 0], 0, 1)


def _factors(style: Style) -> np.ndarray:
    """[52] how far each blendshape goes."""

    def factor(name: str) -> float:
        for starts, value in ((JAW, style.jaw), (UPPER_FACE, style.upper_face), (LIPS, style.lips)):
            if name.startswith(starts):
                return value
        return 1.0

    return np.array([factor(name) for name in ARKIT_BLENDSHAPES], np.float32)
