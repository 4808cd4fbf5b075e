"""What a batch can write of a clip: one class a kind. To add one, write its class and name it in `OUTPUT_KINDS`."""

from __future__ import annotations

import re

from .blend import Blend
from .film import Film
from .live_link import LiveLink
from .npz import Npz
from .output_kind import ClipResult, OutputKind
from .point_caches import Mdd, Pc2
from .scene_exports import Alembic, Fbx, Gltf, Usd

__all__ = ["OUTPUT_KINDS", "ClipResult", "OutputKind", "output_kind", "output_names", "read_outputs"]

# In the order in which they are written.
OUTPUT_KINDS: tuple[OutputKind, ...] = tuple(
    kind() for kind in (Blend, Pc2, Mdd, Alembic, Usd, Gltf, Fbx, LiveLink, Npz, Film)
)


def output_names() -> tuple[str, ...]:
    """The names of all kinds, as `--outputs` and a manifest's `outputs` have them."""
    return tuple(kind.name for kind in OUTPUT_KINDS)


def output_kind(name: str) -> OutputKind:
    """The kind of a name in `output_names`."""
    return next(kind for kind in OUTPUT_KINDS if kind.name == name)


def read_outputs(text: object) -> tuple[str, ...]:
    """Names in the list's order, from a list or from words with blanks, commas, semicolons or plus signs between.

    Raises:
        ValueError: there are none, or one is unknown; the message says what is allowed.
    """
    words = text if isinstance(text, list) else re.split(r"[\s,;+]+", str(text))
    names = {str(word).lower() for word in words if word}
    if not names or not names <= set(output_names()):
        raise ValueError(f"some of {', '.join(output_names())}")
    return tuple(name for name in output_names() if name in names)
