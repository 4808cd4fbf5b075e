"""Blender's own add-ons, whose exporters we call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy  # noqa: F401  # before addon_utils, which it brings

import addon_utils  # isort: skip


@contextmanager
def add_on_enabled(name: str) -> Iterator[None]:
    """An add-on at hand for the block; disabled afterwards where it was."""
    enabled = addon_utils.check(name)[1]
    if not enabled:
        addon_utils.enable(name, default_set=True)
    try:
        yield
    finally:
        if not enabled:
            addon_utils.disable(name, default_set=True)
