"""Where the curves of a data-block lie: its action and the actions of its NLA strips, which others may play too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import bpy

MARK = "HiSTalk"  # keys, modifiers, actions and groups of curves of ours are called so at first


@dataclass(frozen=True, eq=False)
class Place:
    """One action slot that plays on a data-block: as its action, or through an NLA strip."""

    action: object
    slot: object
    strip: object = None  # of the NLA; None = the data-block's own action
    strips: object = None  # the collection that holds the strip

    @property
    def id(self) -> tuple[int, int]:
        """What tells one slot from another in this session."""
        return self.action.session_uid, self.slot.handle

    @property
    def bags(self) -> list:
        """The slot's channel bags, one a strip of the action's layers."""
        strips = [strip for layer in self.action.layers for strip in layer.strips]
        return [bag for bag in (strip.channelbag(self.slot) for strip in strips) if bag]


def places(animation) -> Iterator[Place]:
    """All that plays on a data-block: its own action first, then the strips of its NLA tracks, metas opened."""
    if animation is None:
        return
    if animation.action is not None and animation.action_slot is not None:
        yield Place(animation.action, animation.action_slot)
    for track in animation.nla_tracks:
        yield from _strips(track.strips)


def _strips(strips) -> Iterator[Place]:
    for strip in strips:
        if strip.type == "META":
            yield from _strips(strip.strips)
        elif strip.action is not None and strip.action_slot is not None:
            yield Place(strip.action, strip.action_slot, strip, strips)


def curve_bags(animation) -> Iterator:
    """The channel bags of all that plays on a data-block, each once."""
    for place in {place.id: place for place in places(animation)}.values():
        yield from place.bags


def own_bag(animation):
    """The channel bag of a data-block's own action, NLA strips aside; None where there is none."""
    if animation is None or animation.action is None or animation.action_slot is None:
        return None
    return next(iter(Place(animation.action, animation.action_slot).bags), None)


def is_kept(action) -> bool:
    """Whether the animator said that the action is to stay, whoever plays it."""
    return action.use_fake_user or action.asset_data is not None


def other_players(place: Place, keys) -> list:
    """The other data-blocks that the slot animates, also through their NLA."""
    return [user for user in place.slot.users() if user != keys]


def single_user(keys, chosen: Iterable[Place]) -> Callable[[], None]:
    """Give a data-block its own copies of actions that others need as they are. Returns what takes that back."""
    chosen, copies = list(chosen), {}
    for place in chosen:
        if place.action.session_uid not in copies:
            copy = place.action.copy()
            copy.use_fake_user, copy[MARK] = False, True  # this one is ours, whosever the other is
            if copy.asset_data is not None:
                copy.asset_clear()
            copies[place.action.session_uid] = copy
        _assign(place.strip or keys.animation_data, copies[place.action.session_uid], place.slot.handle)

    def restore() -> None:
        for place in chosen:
            _assign(place.strip or keys.animation_data, place.action, place.slot.handle)
        for copy in copies.values():
            bpy.data.actions.remove(copy)

    return restore


def _assign(player, action, handle: int) -> None:
    player.action = action
    player.action_slot = next(slot for slot in action.slots if slot.handle == handle)


def take_off(keys, place: Place) -> None:
    """Stop a data-block from playing a place: unlink its action, or remove the strip and a track left empty by that."""
    animation = keys.animation_data
    if place.strip is None:
        animation.action = None
    elif hasattr(place.strips, "remove"):  # a meta strip gives none of its strips away
        tracks = [track for track in animation.nla_tracks if place.strip in list(track.strips)]
        place.strips.remove(place.strip)
        for track in tracks:
            if not track.strips:
                animation.nla_tracks.remove(track)


def drop_empty(action, handle: int) -> None:
    """Delete a slot of an action of ours where it is empty and unused, and the action where nothing needs it.

    Slots of the animator's, markers and users, a fake one too, keep an action; an action that we did not make stays.
    """
    if not action.get(MARK):
        return
    slot = next((slot for slot in action.slots if slot.handle == handle), None)
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    if slot is not None and not slot.users() and not any(bag.fcurves for bag in bags if bag.slot_handle == handle):
        action.slots.remove(slot)
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    theirs = set(action.keys()) - {MARK}
    if not (any(bag.fcurves for bag in bags) or action.users or action.asset_data or action.pose_markers or theirs):
        bpy.data.actions.remove(action)
