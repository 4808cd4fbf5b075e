"""What an animator may change of a motion without asking the network again."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import setting


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
