"""One shape key a frame."""

from __future__ import annotations

from .base import BakeKind


class ShapeKeys(BakeKind):
    """A shape key for each frame, at one on its own frame and at zero on all others."""

    name = "keys"
    label = "Shape Keys"
    description = "One shape key a frame: exact, for other programs and clips of up to 3000 frames"
    number = 2
