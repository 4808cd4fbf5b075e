"""What the steps of a bake pass on: a plan, its result before it is in the scene, and a report. Needs no Blender."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import discard_file
from ..motion.motion import Motion

if TYPE_CHECKING:
    from ..head.topologies import Topology
    from .kinds import BakeKind
    from .settings import BakeSettings


@dataclass(frozen=True, eq=False)
class BakePlan:
    """What a bake will do, as it was read from the scene.

    kind: what the settings name.
    settings: complete; with them another bake has the same target, whatever changed on the object.
    name: the object's, for messages.
    rest_positions: [V, 3] positions without any shape key.
    shown_positions: [V, 3] positions as the animator's own shape keys make them.
    fps: the scene's frames a second.
    topology: the mesh's; None where it does not matter.
    target: what the kind itself read: the cache's path, the ARKit rig; None where that is nothing.
    """

    kind: BakeKind
    settings: BakeSettings
    name: str
    rest_positions: np.ndarray
    shown_positions: np.ndarray
    fps: float
    topology: Topology | None = None
    target: Any = None

    def option(self, name: str) -> float:
        """The value of one of the kind's options."""
        return self.settings.options[name]


@dataclass(frozen=True, eq=False)
class BakeData:
    """What `apply` puts into the scene.

    motion: at the scene's rate; what its weights and shapes are is the kind's own matter.
    start_frame: scene frame of its first frame, which may lie between two frames.
    max_error_mm: how far it is from the predicted motion, were the head human-sized.
    part: a file under the temporary name that it has until `apply`.
    """

    plan: BakePlan
    motion: Motion
    start_frame: float
    max_error_mm: float = 0.0
    part: Path | None = None

    def discard(self) -> None:
        """Leave nothing behind of a bake that is not applied."""
        if self.part is not None:
            discard_file(self.part)


@dataclass(frozen=True)
class BakeReport:
    """What a bake made.

    kind: its name.
    content: what is in the scene now, in words.
    accuracy: how far that is from the predicted motion, in words; "" where nothing is lost.
    keys: shape keys that it made or can move.
    """

    kind: str
    frames: int
    keys: int
    content: str
    accuracy: str
    max_error_mm: float
    warnings: list[str]
