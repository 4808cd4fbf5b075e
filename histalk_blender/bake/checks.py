"""What would keep a finished bake from being seen."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from .actions import MARK, own_bag, places
from .arkit_rig import listed
from .ownership import bake_curves, baked_keys, has_baked_keys, is_ours, our_modifier


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
    over = [
        modifier.name
        for modifier in after
        if modifier.type == "MESH_CACHE" and modifier.show_viewport and modifier.deform_mode == "OVERWRITE"
    ]
    if over:
        reasons.append(f"Modifier {listed(over, 3)} plays another cache over the bake: switch it off.")
    return reasons


def _why_keys_rest(obj) -> list[str]:
    reasons, keys = [], obj.data.shape_keys
    muted = np.zeros(len(keys.key_blocks), bool)
    keys.key_blocks.foreach_get("mute", muted)
    names = [key.name for key in baked_keys(keys) if key.mute] if muted.any() else []
    if names:
        one = len(names) == 1
        reasons.append(f"Shape key{'' if one else 's'} {listed(names, 3)} {'is' if one else 'are'} muted.")
    if obj.show_only_shape_key:
        reasons.append("'Solo active shape key' is on, so other keys do not play.")
    if not keys.use_relative:
        reasons.append("The shape keys are absolute, so no curve moves them: tick Relative.")
    animation, curves = keys.animation_data, bake_curves(keys)
    if not curves:
        return [*reasons, "Another action, or none, plays on the shape keys: assign the one named HiSTalk."]
    if any(curve.group is not None and curve.group.mute and is_ours(curve) for curve in curves):
        reasons.append(f"The group of curves '{MARK}' is muted: tick it in the Graph Editor.")
    elif any(curve.mute for curve in curves):
        reasons.append("Curves of the bake are muted: tick them in the Graph Editor.")
    return [*reasons, *_why_nla_hides(animation, {curve.data_path for curve in curves})]


def _why_nla_hides(animation, paths: set[str]) -> list[str]:
    """What of the NLA is in the way of curves with these data paths, in the action or in strips."""
    own = own_bag(animation)
    in_action = own is not None and any(curve.data_path in paths for curve in own.fcurves)
    tracks = list(animation.nla_tracks)
    if in_action:
        if animation.use_nla and any(not track.mute and track.strips for track in tracks):
            return ["NLA tracks play on the shape keys and may override the bake."]
        return []
    if not animation.use_nla:
        return ["The bake lies in the NLA, which is switched off for the shape keys: tick it in the NLA editor."]
    solo = any(track.is_solo for track in tracks)
    silent = [
        place.strip.name
        for place in places(animation)
        if place.strip is not None
        and _plays(place, paths)
        and (
            place.strip.mute
            or any(
                place.strip in list(track.strips) and (track.mute or (solo and not track.is_solo)) for track in tracks
            )
        )
    ]
    return [f"NLA strip {listed(silent, 3)} of the bake does not play: unmute it and its track."] if silent else []


def _plays(place, paths: set[str]) -> bool:
    return any(curve.data_path in paths for bag in place.bags for curve in bag.fcurves)


def what_drifts(scene) -> list[str]:
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
