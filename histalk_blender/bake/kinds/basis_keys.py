"""A few signed shape keys whose weighted sum is the motion."""

from __future__ import annotations

from ...settings import Setting
from .base import BakeKind

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


class BasisKeys(BakeKind):
    """The fewest shape keys that keep every vertex of every frame within the tolerance."""

    name = "basis"
    label = "Basis Keys"
    description = "A few signed shape keys with F-curves: easy to edit, small, within the tolerance"
    number = 0
    options = (TOLERANCE,)
