"""One shape key a frame."""

from __future__ import annotations

import numpy as np

from ...errors import HiSTalkError
from .in_shape_keys import NewKeys

MOST_KEYS = 3000  # twice as many hold the window for seconds, and Blender is slow with them for good
MANY_KEYS = 1000  # with more, Blender is slow


class ShapeKeys(NewKeys):
    """A shape key for each frame, with value 1 on its own frame and 0 on all others."""

    name = "keys"
    label = "Shape Keys"
    description = f"One shape key a frame: exact, for other programs and clips of up to {MOST_KEYS} frames"
    number = 2

    def compute(self, data, step):
        """Refuse what would make Blender unusable."""
        if len(data.motion) > MOST_KEYS:
            raise HiSTalkError(
                f"{len(data.motion)} shape keys would bring Blender to a halt: bake as basis keys or a mesh cache, or "
                f"choose a frame range of {MOST_KEYS} frames at most."
            )
        return data

    def new_keys(self, data, first, last):
        from ..actions import MARK
        from ..key_writer import NewKey

        count = len(data.motion)
        for i, offsets in enumerate(data.motion.displacements(first, last), first):
            # 1 on its own frame, 0 on its neighbours'; outside the range the ends are held, as a cache's.
            begin, end = max(i - 1, 0), min(i + 1, count - 1)
            values = np.arange(begin, end + 1) == i
            yield NewKey(f"{MARK} {i:05d}", offsets, data.start_frame + begin, values)

    def warnings(self, obj, data) -> list[str]:
        found = super().warnings(obj, data)
        if self.key_count(data) > MANY_KEYS:
            found.append(f"{self.content(data)} make Blender slow: basis keys or a cache hold the same motion.")
        return found

    def key_count(self, data) -> int:
        return len(data.motion)
