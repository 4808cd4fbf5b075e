"""A point cache on the disk, and the modifier that plays it."""

from __future__ import annotations

from .base import BakeKind


class MeshCache(BakeKind):
    """Every vertex of every frame in a PC2 file, and a Mesh Cache modifier."""

    name = "cache"
    label = "Mesh Cache"
    description = "A PC2 file, overwritten by the next bake, and a modifier: exact, fast, for long clips"
    number = 1
    output = "pc2"

    def draw(self, layout, settings, note) -> None:
        """The cache's folder."""
        import bpy

        layout.prop(settings, "cache_folder")
        if not settings.cache_folder and bpy.data.filepath:
            layout.label(text="Beside the .blend, relative", icon="FILE_TICK")
