"""What an animator may change of a predicted motion; changing it needs no new prediction."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import setting


def _strength(label: str, description: str) -> float:
    return setting(1.0, label, f"{description}; 1 = as predicted", minimum=0.0, maximum=3.0, usual=(0.0, 2.0))


@dataclass(frozen=True)
class Style:
    """How strongly, how smoothly and when a face moves; the defaults leave the motion as predicted.

    Each field is described here and nowhere else: the panel's property, the flag and the manifest's column are made
    from its description. What a field does to the motion is a layer, see `layers`.
    """

    lips: float = _strength("Lips", "How far lips and cheeks move")
    jaw: float = _strength("Jaw", "How far the jaw opens, while the lips still close")
    upper_face: float = _strength("Upper Face", "How far brows, eyelids and nose move")
    smoothing: float = setting(
        0.0,
        "Smoothing",
        "Time over which motion is averaged; above 0.06 s lips begin to miss closures",
        minimum=0.0,
        maximum=1.0,
        usual=(0.0, 0.2),
        unit="s",
    )
    delay: float = setting(
        0.0,
        "Delay",
        "Time by which the face moves after the sound; negative = before it",
        minimum=-5.0,
        maximum=5.0,
        usual=(-0.2, 0.2),
        unit="s",
    )
