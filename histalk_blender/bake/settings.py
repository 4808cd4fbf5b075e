"""What is asked of a bake: the same for the panel, the command line, a batch and Python. Needs no Blender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..motion.style import Style
from .kinds import KINDS


@dataclass(frozen=True)
class BakeSettings:
    """How a head is to be animated.

    kind: the name of one of `kinds.KINDS`.
    options: values of the kind's own options, for example {"tolerance": 0.1}; what is missing has its default.
    style: how strongly, how smoothly and when the face moves.
    start_frame: scene frame at which the sound begins.
    frames: first and last scene frame to bake; None = all.
    ease: whether the face leaves its rest before the first frame and returns to it after the last, as it must where
        the scene is longer than the sound.
    cache: the .pc2 of a mesh cache, or a folder for it; None = beside the saved .blend.
    mapping: ARKit blendshape -> shape key where names differ; None = speech leaves it alone.
    discard_edits: replace the earlier bake though it was changed by hand.
    """

    kind: str = KINDS[0].name
    options: Mapping[str, float] = field(default_factory=dict)
    style: Style = Style()
    start_frame: float = 1
    frames: tuple[int, int] | None = None
    ease: bool = False
    cache: Path | None = None
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    discard_edits: bool = False
