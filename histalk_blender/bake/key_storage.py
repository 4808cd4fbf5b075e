"""Bakes that are kept in shape keys and F-curves on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .actions import MARK, own_bag, places
from .key_removal import remove_keys
from .owned_keys import OwnedKeys, bake_curves, baked_keys, has_baked_keys, is_ours, owned_shape_keys
from .record import recorded_names
from .storage import BakeStorage
from .wording import listed


class ShapeKeyStorage(BakeStorage):
    """Keys that a bake made, or curves on the animator's own."""

    def is_on(self, obj) -> bool:
        return has_baked_keys(obj.data.shape_keys)

    def remove(self, obj) -> list[str]:
        return remove_keys(obj).sculpted

    @contextmanager
    def muted(self, obj) -> Iterator[None]:
        blocks = obj.data.shape_keys.key_blocks
        keys = [blocks[name] for name in recorded_names(obj.data.shape_keys) if not blocks[name].mute]
        try:
            for key in keys:
                key.mute = True
            yield
        finally:
            for key in keys:
                key.mute = False

    def edits(self, obj) -> list[str]:
        """Bakes of versions that kept no fingerprints cannot be compared, so nothing is said of them."""
        keys = obj.data.shape_keys
        ours = owned_shape_keys(keys)
        found = _edited_curves(ours)
        if ours.cleared:
            found.append(f"curves of {listed(ours.cleared, 3)} were deleted")
        if ours.sculpted:
            found.append(f"the shapes of {listed(ours.sculpted, 3)}")
        if moved := _moved_strips(keys, ours):
            found.append(f"the place of NLA strip {listed(moved, 3)}")
        return found

    def lost_edits(self, obj) -> list[str]:
        """Sculpted keys stay, and a curve that is gone stays gone."""
        return _edited_curves(owned_shape_keys(obj.data.shape_keys))

    def visibility_warnings(self, obj) -> list[str]:
        reasons, keys = _muted_keys(obj), obj.data.shape_keys
        if obj.show_only_shape_key:
            reasons.append("'Solo active shape key' is on, so other keys do not play.")
        if not keys.use_relative:
            reasons.append("The shape keys are absolute, so no curve moves them: tick Relative.")
        curves = bake_curves(keys)
        if not curves:
            return [*reasons, "Another action, or none, plays on the shape keys: assign the one named HiSTalk."]
        if any(curve.group is not None and curve.group.mute and is_ours(curve) for curve in curves):
            reasons.append(f"The group of curves '{MARK}' is muted: tick it in the Graph Editor.")
        elif any(curve.mute for curve in curves):
            reasons.append("Curves of the bake are muted: tick them in the Graph Editor.")
        return [*reasons, *_hidden_by_nla(keys.animation_data, {curve.data_path for curve in curves})]


KEY_STORAGE = ShapeKeyStorage()


def in_nla(obj) -> bool:
    """Whether a bake's curves play through strips of the NLA."""
    keys = obj.data.shape_keys
    return has_baked_keys(keys) and any(place.strip is not None for place, _ in owned_shape_keys(keys).curves)


def _edited_curves(ours: OwnedKeys) -> list[str]:
    return [f"the curves of {listed(ours.edited, 3)}"] if ours.edited else []


def _moved_strips(keys, ours: OwnedKeys) -> list[str]:
    """NLA strips of our curves that do not play the action where it lies, once and whole."""
    actions = {place.action.session_uid for place, _ in ours.curves}
    strips = [place.strip for place in (places(keys.animation_data) if actions else ()) if place.strip is not None]
    return [
        strip.name
        for strip in strips
        if strip.action.session_uid in actions
        and (
            abs(strip.frame_start - strip.action_frame_start) > 0.5
            or abs(strip.scale - 1) > 1e-4
            or strip.repeat != 1
            or strip.blend_type != "REPLACE"
            or strip.use_reverse
            or strip.use_animated_influence
            or len(strip.modifiers)
        )
    ]


def _muted_keys(obj) -> list[str]:
    keys = obj.data.shape_keys
    muted = np.zeros(len(keys.key_blocks), bool)
    keys.key_blocks.foreach_get("mute", muted)
    names = [key.name for key in baked_keys(keys) if key.mute] if muted.any() else []
    one = len(names) == 1
    return [f"Shape key{'' if one else 's'} {listed(names, 3)} {'is' if one else 'are'} muted."] if names else []


def _hidden_by_nla(animation, paths: set[str]) -> list[str]:
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

    def silent(strip) -> bool:
        on = [track for track in tracks if strip in list(track.strips)]
        return strip.mute or any(track.mute or (solo and not track.is_solo) for track in on)

    strips = [place.strip for place in places(animation) if place.strip is not None and _plays(place, paths)]
    names = [strip.name for strip in strips if silent(strip)]
    return [f"NLA strip {listed(names, 3)} of the bake does not play: unmute it and its track."] if names else []


def _plays(place, paths: set[str]) -> bool:
    return any(curve.data_path in paths for bag in place.bags for curve in bag.fcurves)
