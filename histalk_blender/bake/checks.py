"""What would keep a finished bake from being seen."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from .ownership import MARK, curve_bags, drives_our_keys, has_baked_keys, is_our_curve, our_keys, our_modifier


def why_nothing_moves(obj) -> list[str]:
    """Sentences for whatever hides the bake though it was written; cheap enough for every redraw."""
    cache, in_keys = our_modifier(obj), has_baked_keys(obj.data.shape_keys)
    if cache is None and not in_keys:
        return []
    reasons = _why_keys_rest(obj) if in_keys else []
    after = list(obj.modifiers)
    if cache is not None:
        after = after[after.index(cache) + 1 :]
        path = Path(bpy.path.abspath(cache.filepath))
        if not (cache.show_viewport and cache.show_render):
            reasons.append(f"Modifier '{cache.name}' is switched off.")
        if not path.is_file():
            reasons.append(f"The cache '{path}' is missing: bring the file back, or bake again.")
    for modifier in after:
        if modifier.type == "MESH_CACHE" and modifier.show_viewport and modifier.deform_mode == "OVERWRITE":
            reasons.append(f"Modifier '{modifier.name}' plays another cache over the bake: switch it off.")
    return reasons


def _why_keys_rest(obj) -> list[str]:
    reasons, keys = [], obj.data.shape_keys
    muted = np.zeros(len(keys.key_blocks), bool)
    keys.key_blocks.foreach_get("mute", muted)
    if muted.any():
        reasons += [f"Shape key '{key.name}' is muted." for key in our_keys(keys) if key.mute]
    if obj.show_only_shape_key:
        reasons.append("'Solo active shape key' is on, so other keys do not play.")
    if not keys.use_relative:
        reasons.append("The shape keys are absolute, so no curve moves them: tick Relative.")
    animation = keys.animation_data
    if not drives_our_keys(animation):
        return [*reasons, "Another action, or none, plays on the shape keys: assign the one named HiSTalk."]
    for bag in curve_bags(animation):
        if any(group.mute for group in bag.groups if group.name == MARK):
            reasons.append(f"The group of curves '{MARK}' is muted: tick it in the Graph Editor.")
        elif any(curve.mute for curve in bag.fcurves if is_our_curve(curve)):
            reasons.append("Curves of the bake are muted: tick them in the Graph Editor.")
    if animation.use_nla and any(not track.mute for track in animation.nla_tracks):
        reasons.append("NLA tracks play on the shape keys and may override the bake.")
    return reasons


def refresh(obj) -> None:
    """Tell the dependency graph that the mesh or its keys changed."""
    obj.data.update()
    obj.update_tag()
    bpy.context.view_layer.update()
