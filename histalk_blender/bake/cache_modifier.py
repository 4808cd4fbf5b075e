"""Bakes that are kept in a point cache on the disk, which a Mesh Cache modifier plays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy

from .actions import MARK
from .storage import BakeStorage

CACHE = f"{MARK} cache"  # on the object: persistent_uid of our modifier
CACHE_START = f"{MARK} cache start"  # on the object: the frame at which we let it begin


class CacheModifierStorage(BakeStorage):
    """The modifier; the cache's file is not removed."""

    def is_on(self, obj) -> bool:
        return our_modifier(obj) is not None

    def remove(self, obj) -> list[str]:
        if self.is_on(obj):
            obj.modifiers.remove(our_modifier(obj))
        for name in (CACHE, CACHE_START):
            if name in obj:
                del obj[name]
        return []

    @contextmanager
    def muted(self, obj) -> Iterator[None]:
        modifier = our_modifier(obj)
        shown = modifier.show_viewport
        try:
            modifier.show_viewport = False
            yield
        finally:
            modifier.show_viewport = shown

    def edits(self, obj) -> list[str]:
        modifier = our_modifier(obj)
        if abs(obj.get(CACHE_START, modifier.frame_start) - modifier.frame_start) > 1e-3:
            return [f"the start frame of modifier '{modifier.name}'"]
        return []

    def visibility_warnings(self, obj) -> list[str]:
        modifier, reasons = our_modifier(obj), []
        if not (modifier.show_viewport and modifier.show_render):
            reasons.append(f"Modifier '{modifier.name}' is switched off.")
        path = Path(bpy.path.abspath(modifier.filepath))
        if not path.is_file():
            reasons.append(f"The cache '{path}' is missing: bring the file back, or bake again.")
        return reasons


CACHE_STORAGE = CacheModifierStorage()


def our_modifier(obj):
    """The Mesh Cache modifier that plays our cache, or None."""
    uid = obj.get(CACHE)
    found = next((modifier for modifier in obj.modifiers if modifier.persistent_uid == uid), None)
    if found is None and obj.override_library:  # which loses both when the file is opened again, and keeps the modifier
        found = next((modifier for modifier in obj.modifiers if _is_added_cache(modifier)), None)
    return found


def _is_added_cache(modifier) -> bool:
    """Whether a modifier of a library override is a cache added to it under our name."""
    ours = modifier.type == "MESH_CACHE" and modifier.name.partition(".")[0] == MARK and not modifier.is_override_data
    return ours and modifier.cache_format == "PC2"


def play_cache(obj, path: Path, start_frame: float) -> None:
    """Let an object play a cache from a scene frame on.

    A new modifier is the first on the stack, as it overwrites what comes before it; one that is there keeps its place
    and the animator's settings.
    """
    modifier = our_modifier(obj)
    if modifier is None:
        modifier = obj.modifiers.new(MARK, "MESH_CACHE")
        modifier.cache_format = "PC2"
        modifier.time_mode = "FRAME"
        modifier.play_mode = "SCENE"
        modifier.deform_mode = "OVERWRITE"
        modifier.interpolation, modifier.frame_scale, modifier.factor = "LINEAR", 1.0, 1.0
        modifier.forward_axis, modifier.up_axis, modifier.flip_axis = "POS_Y", "POS_Z", (False,) * 3
        modifier.vertex_group, modifier.show_viewport, modifier.show_render = "", True, True
        obj.modifiers.move(len(obj.modifiers) - 1, 0)
        obj[CACHE] = modifier.persistent_uid
    modifier.filepath = bpy.path.relpath(str(path)) if bpy.data.filepath else str(path)
    modifier.frame_start = start_frame
    obj[CACHE_START] = modifier.frame_start
