"""A point cache on the disk, and the modifier that plays it."""

from __future__ import annotations

from dataclasses import replace

from ...errors import HiSTalkError
from ...files import commit_file
from ...motion.point_cache import write_pc2
from .base import BakeKind


class MeshCache(BakeKind):
    """Every vertex of every frame in a PC2 file, and a Mesh Cache modifier."""

    name = "cache"
    label = "Mesh Cache"
    description = "A PC2 file, overwritten by the next bake, and a modifier: exact, fast, for long clips"
    number = 1
    output = "pc2"

    @property
    def storage(self):
        from ..cache_modifier import CACHE_STORAGE

        return CACHE_STORAGE

    def draw(self, layout, settings, note) -> None:
        """The cache's folder."""
        import bpy

        layout.prop(settings, "cache_folder")
        if not settings.cache_folder and bpy.data.filepath:
            layout.label(text="Beside the .blend, relative", icon="FILE_TICK")

    def check_target(self, obj, settings) -> None:
        from ..cache_file import cache_place

        cache_place(settings.cache)

    def read_target(self, obj, settings):
        """The cache's path."""
        from ..cache_file import cache_path

        return cache_path(obj, settings.cache)

    def resolve(self, settings, target):
        return replace(settings, cache=target)

    def compute(self, data, step):
        """Write the file, under a temporary name."""
        return replace(data, part=write_pc2(data.plan.target, data.plan.shown_positions, data.motion, step))

    def apply(self, obj, data):
        from ..cache_modifier import play_cache
        from ..ownership import remove_other_bakes

        yield from ()  # one slice: it is quick, and cannot be undone halfway
        path = data.plan.target
        try:
            commit_file(data.part, path)
        except OSError as error:
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another folder.") from error
        remove_other_bakes(obj, self.storage)
        play_cache(obj, path, data.start_frame)

    def warnings(self, obj, data):
        """Shape keys that move have no effect under a cache."""
        from ..actions import curve_bags
        from ..curves import key_path
        from ..wording import listed

        keys = obj.data.shape_keys
        if keys is None:
            return []
        animation = keys.animation_data
        moved = {curve.data_path for bag in curve_bags(animation) for curve in bag.fcurves}
        moved |= {driver.data_path for driver in animation.drivers} if animation else set()
        own = keys.key_blocks[1:]
        names = [key.name for key in own if key_path(key.name) in moved or (key.vertex_group and key.value)]
        if not names:
            return []
        return [f"A mesh cache plays in place of shape keys: {listed(names, 3)} no longer move. Basis keys keep them."]

    def key_count(self, data) -> int:
        return 0

    def content(self, data) -> str:
        return "a mesh cache"
