"""What would keep a finished bake from being seen."""

from __future__ import annotations

import bpy

from .cache_modifier import our_modifier
from .ownership import storages_on
from .wording import listed


def visibility_warnings(obj) -> list[str]:
    """Sentences for whatever hides the bake though it was written; cheap enough for every redraw."""
    on = storages_on(obj)
    return [*(text for storage in on for text in storage.visibility_warnings(obj)), *(_covered_by(obj) if on else ())]


def _covered_by(obj) -> list[str]:
    """Another cache that overwrites the vertices after the bake has moved them."""
    after, own = list(obj.modifiers), our_modifier(obj)
    if own is not None:
        after = after[after.index(own) + 1 :]
    names = [
        modifier.name
        for modifier in after
        if modifier.type == "MESH_CACHE" and modifier.show_viewport and modifier.deform_mode == "OVERWRITE"
    ]
    return [f"Modifier {listed(names, 3)} plays another cache over the bake: switch it off."] if names else []


def time_stretch_warnings(scene) -> list[str]:
    """Sentences for what moves a face away from its sound on this timeline."""
    old, new = scene.render.frame_map_old, scene.render.frame_map_new
    if old == new:
        return []
    return [
        f"Scene '{scene.name}' stretches time ({old} to {new} in Output › Frame Range › Time Stretching), which moves "
        "the face and not the sound: make both numbers equal."
    ]


def refresh(obj) -> None:
    """Tell the dependency graph that the mesh or its keys changed."""
    obj.data.update()
    obj.update_tag()
    bpy.context.view_layer.update()
