"""What an animator changed by hand since a bake, so that it is said before another bake takes its place."""

from __future__ import annotations

from ..errors import HiSTalkError
from .actions import places
from .arkit_rig import listed
from .ownership import CACHE_START, Owned, has_baked_keys, our_modifier, owned, take_away


def mark_cache(obj) -> None:
    """Remember where our cache begins."""
    obj[CACHE_START] = our_modifier(obj).frame_start


def changed_by_hand(obj, removing: bool = False) -> str:
    """What of its bake was changed since, as the end of a sentence, or "".

    Bakes of versions that kept no fingerprints cannot be compared, so nothing is said of them.

    Args:
        obj: a mesh object.
        removing: only what would be lost for good when the bake is removed: sculpted keys stay then, a curve that is
            gone stays gone, and a cache begins nowhere.
    """
    keys, modifier = obj.data.shape_keys, our_modifier(obj)
    ours = owned(keys) if has_baked_keys(keys) else Owned()
    found = [f"the curves of {listed(ours.edited, 3)}"] if ours.edited else []
    if removing:
        return " and ".join(found)
    if ours.cleared:
        found.append(f"curves of {listed(ours.cleared, 3)} were deleted")
    if ours.sculpted:
        found.append(f"the shapes of {listed(ours.sculpted, 3)}")
    moved = _moved_strips(keys, ours)
    if moved:
        found.append(f"the place of NLA strip {listed(moved, 3)}")
    if modifier is not None and abs(obj.get(CACHE_START, modifier.frame_start) - modifier.frame_start) > 1e-3:
        found.append(f"the start frame of modifier '{modifier.name}'")
    return ", ".join(found)


def edits_sentence(obj, changed: str) -> str:
    """What `changed_by_hand` found as a whole sentence."""
    return f"The bake of '{obj.name}' was changed by hand since it was made ({changed})."


def check_edits(obj, discard: bool, removing: bool = False) -> None:
    """Refuse to lose what an animator changed.

    Args:
        obj: a mesh object.
        discard: the animator said that it may go.
        removing: as for `changed_by_hand`.

    Raises:
        HiSTalkError: the bake was changed by hand.
    """
    changed = "" if discard else changed_by_hand(obj, removing)
    if changed:
        raise HiSTalkError(
            f"{edits_sentence(obj, changed)[:-1]}, and that would be lost: keep a copy of its action and take "
            "discard_edits=True (--discard-edits on the command line) to go on."
        )


def remove_bake(obj, discard_edits: bool = False) -> list[str]:
    """Take away what `bake` made on this object: keys, F-curves, the modifier; cache files stay on disk.

    Args:
        obj: the mesh object.
        discard_edits: also curves that were changed by hand since.

    Returns:
        Keys of ours that were sculpted since; they stay, at rest.

    Raises:
        HiSTalkError: curves were changed by hand since the bake; nothing is touched.
    """
    check_edits(obj, discard_edits, removing=True)
    return take_away(obj).sculpted


def in_nla(obj) -> bool:
    """Whether our curves play through strips of the NLA."""
    keys = obj.data.shape_keys
    return has_baked_keys(keys) and any(place.strip is not None for place, _ in owned(keys).curves)


def _moved_strips(keys, ours: Owned) -> list[str]:
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
