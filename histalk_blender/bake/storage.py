"""Where a bake is kept in a scene. Importing this needs no Blender."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any


class BakeStorage(ABC):
    """What bakes of one or several kinds leave on an object, and how it is found, muted, examined and removed."""

    @abstractmethod
    def is_on(self, obj: Any) -> bool:
        """Whether a bake left anything of this on an object; cheap enough for every redraw."""

    @abstractmethod
    def remove(self, obj: Any) -> list[str]:
        """Remove it; files on the disk stay.

        Returns:
            Names of shape keys that stay because the animator changed their shapes.
        """

    @abstractmethod
    def muted(self, obj: Any) -> AbstractContextManager[None]:
        """The bake switched off while a `with` block runs."""

    @abstractmethod
    def edits(self, obj: Any) -> list[str]:
        """What was changed by hand since the bake, each the end of a sentence."""

    def lost_edits(self, obj: Any) -> list[str]:
        """Those of `edits` that would be lost for good when the bake is removed."""
        return []

    @abstractmethod
    def visibility_warnings(self, obj: Any) -> list[str]:
        """Sentences for whatever hides the bake; cheap enough for every redraw."""
