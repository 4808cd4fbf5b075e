"""A motion from a script in place of a predicted performance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import HiSTalkError
from ..head.head import Head, load_head
from ..head.topologies import Topology, recognise
from ..motion.layers import Face, apply_layers
from ..motion.motion import Motion
from ..motion.style import Style
from ..synthesis import Performance


@dataclass(frozen=True, eq=False)
class GivenMotion:
    """What a bake asks of a performance, answered from a motion alone.

    motion: on the mesh's own vertices, unit and axes; the bundled head's for other known topologies and ARKit curves.
    name: the object's, for messages.
    """

    motion: Motion
    name: str

    def retarget(self, topology: Topology | None, rest: np.ndarray, style: Style) -> Motion:
        """The styled motion for a mesh's own vertices; its topology is only looked for where it is not the motion's.

        Raises:
            HiSTalkError: the vertices are not those of the motion, nor of a known topology in its order; or parts of
                the face are to be scaled in a motion that is not the bundled head's.
        """
        bundled, vertices = load_head(), self.motion.shapes.shape[1]
        face = Face(lambda: self._performance.arkit_weights, bundled.blendshape_deltas)
        motion = apply_layers(self.motion, face, style)
        if len(rest) == vertices:
            return motion
        topology = topology or recognise(rest)
        if topology and vertices == len(bundled.vertices):
            return motion.on(topology.carry(motion.shapes, rest))
        raise HiSTalkError(
            f"'{self.name}' has {len(rest)} vertices where the motion has {vertices}: select a head that fits it."
        )

    def arkit_motion(self, style: Style, limits: np.ndarray | None, own: Head | None) -> tuple[Motion, np.ndarray]:
        """See `Performance.arkit_motion`.

        Raises:
            HiSTalkError: the motion is not the bundled head's.
        """
        return self._performance.arkit_motion(style, limits, own)

    @cached_property
    def _performance(self) -> Performance:
        head, shapes = load_head(), self.motion.shapes
        if shapes.shape[1:] != head.vertices.shape:
            raise HiSTalkError(
                f"The motion has {shapes.shape[1]} vertices, the bundled head {len(head.vertices)}: ARKit curves, and "
                "styles that scale parts of the face, need motion of the bundled head."
            )
        landmarks = head.landmarks(head.vertices)
        return Performance(self.motion, {}, head.vertices, landmarks, head.landmarks(shapes), head.topology)
