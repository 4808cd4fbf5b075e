"""The kinds of bake: a class in a file of its own each, and the one list of them. Importing this needs no Blender."""

from __future__ import annotations

from ...errors import HiSTalkError
from ...runtime.output import printable
from ...settings import Setting
from .arkit_curves import ArkitCurves
from .base import BakeKind
from .basis_keys import BasisKeys
from .mesh_cache import MeshCache
from .shape_keys import ShapeKeys

# In the panel's order; the first is the default everywhere.
KINDS: tuple[BakeKind, ...] = (BasisKeys(), MeshCache(), ShapeKeys(), ArkitCurves())


def kind_named(name: str) -> BakeKind:
    """The kind that a panel, a flag or a manifest names.

    Raises:
        HiSTalkError: there is none of that name.
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise HiSTalkError(
        f"'{printable(name, 120)}' is not a kind of bake: choose {', '.join(kind.name for kind in KINDS)}."
    )


def kind_options() -> tuple[Setting, ...]:
    """The options of all kinds, each name once."""
    return tuple({option.name: option for kind in KINDS for option in kind.options}.values())
