"""A folder with PyTorch on sys.path: Blender has none of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from .survey import invalidate


def activate(folder: Path) -> None:
    """Let imports find the modules in `folder`, after those of Blender and of other add-ons."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        invalidate()


def deactivate(folder: Path) -> None:
    """Take the folder off sys.path; modules that are imported already stay imported."""
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
        invalidate()


def in_use(folder: Path) -> bool:
    """Whether torch was imported from `folder`, so that its files cannot be deleted."""
    origin = getattr(sys.modules.get("torch"), "__file__", None)
    return bool(origin) and Path(origin).is_relative_to(folder)
