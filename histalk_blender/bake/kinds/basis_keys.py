"""A few signed shape keys whose weighted sum is the motion."""

from __future__ import annotations

from dataclasses import replace

from ...head.topologies import size_of
from ...settings import Setting
from ..basis import basis_of
from .in_shape_keys import NewKeys

TOLERANCE = Setting(
    "tolerance",
    0.1,
    "Tolerance",
    "How far any vertex may be off in any frame, on a human-sized head; less needs more keys",
    0.001,
    10.0,
    (0.001, 1.0),
    "mm",
)


class BasisKeys(NewKeys):
    """The fewest shape keys that keep every vertex of every frame within the tolerance."""

    name = "basis"
    label = "Basis Keys"
    description = "A few signed shape keys with F-curves: easy to edit, small, within the tolerance"
    number = 0
    options = (TOLERANCE,)
    slider_min = -1.0

    def compute(self, data, step):
        """Reduce the motion; its shapes are the keys then."""
        size = size_of(data.plan.rest_positions)  # a head modelled in centimetres takes as many keys as one in metres
        motion = data.motion.on(data.motion.shapes / size)
        reduced, error_mm = basis_of(motion, data.plan.option(TOLERANCE.name), step)
        return replace(data, motion=reduced.on(reduced.shapes * size), max_error_mm=data.max_error_mm + error_mm)

    def new_keys(self, data, first, last):
        from ..actions import MARK
        from ..key_writer import NewKey

        for i, offsets in enumerate(data.motion.shapes[first:last], first):
            yield NewKey(f"{MARK} basis {i:02d}", offsets, data.start_frame, data.motion.weights[:, i])

    def key_count(self, data) -> int:
        return len(data.motion.shapes)

    def accuracy(self, data) -> str:
        return f"at most {data.max_error_mm:.2f} mm off"
