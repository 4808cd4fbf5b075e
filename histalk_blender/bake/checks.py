"""What would keep a finished bake from being seen."""

from __future__ import annotations

import bpy

from .ownership import MARK, drives_our_keys, our_keys


def why_nothing_moves(obj) -> list[str]:
    """Sentences for whatever would hide the bake though it was written."""
    reasons = []
    keys = obj.data.shape_keys
    ours = our_keys(keys)
    for key in ours:
        if key.mute:
            reasons.append(f"Shape key '{key.name}' is muted.")
    if ours and obj.show_only_shape_key:
        reasons.append("'Solo active shape key' is on, so other keys do not play.")
    animation = keys.animation_data if ours else None
    if ours and not (animation and drives_our_keys(animation)):
        reasons.append("Another action, or none, plays on the shape keys: assign the one named HiSTalk.")
    if animation and animation.use_nla and any(not track.mute for track in animation.nla_tracks):
        reasons.append("NLA tracks play on the shape keys and may override the bake.")
    for modifier in obj.modifiers:
        if modifier.type == "MESH_CACHE" and modifier.name.startswith(MARK):
            if not (modifier.show_viewport and modifier.show_render):
                reasons.append(f"Modifier '{modifier.name}' is switched off.")
    return reasons


def refresh(obj) -> None:
    """Tell the dependency graph that the mesh or its keys changed."""
    obj.data.update()
    obj.update_tag()
    bpy.context.view_layer.update()
