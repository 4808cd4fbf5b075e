"""Whatever kind of bake an object carries: whether there is one, what was changed by hand, and its removal."""

from __future__ import annotations

from ..errors import HiSTalkError
from . import kinds
from .storage import BakeStorage


def storages() -> tuple[BakeStorage, ...]:
    """Where bakes of all kinds are kept, each once."""
    return tuple(dict.fromkeys(kind.storage for kind in kinds.KINDS))


def storages_on(obj) -> list[BakeStorage]:
    """Those that hold a bake of this object."""
    return [storage for storage in storages() if storage.is_on(obj)]


def has_bake(obj) -> bool:
    """Whether a bake left anything on this object; cheap enough for every redraw."""
    return any(storage.is_on(obj) for storage in storages())


def remove_other_bakes(obj, storage: BakeStorage) -> None:
    """Remove what bakes left elsewhere than in this storage."""
    for other in storages():
        if other is not storage:
            other.remove(obj)


def remove_bake(obj, discard_edits: bool = False) -> list[str]:
    """Remove what a bake made on this object: keys, F-curves, the modifier; cache files stay on the disk.

    Args:
        obj: the mesh object.
        discard_edits: also curves that were changed by hand since.

    Returns:
        Keys of ours that were sculpted since; they stay, with value 0.

    Raises:
        HiSTalkError: curves were changed by hand since the bake; nothing is changed.
    """
    check_edits(obj, discard_edits, removing=True)
    return [name for storage in storages() for name in storage.remove(obj)]


def changed_by_hand(obj, removing: bool = False) -> str:
    """What of its bake was changed since, as the end of a sentence, or "".

    Args:
        obj: a mesh object.
        removing: only what would be lost for good when the bake is removed.
    """
    if removing:
        return " and ".join(text for storage in storages_on(obj) for text in storage.lost_edits(obj))
    return ", ".join(text for storage in storages_on(obj) for text in storage.edits(obj))


def edits_sentence(obj, changed: str) -> str:
    """What `changed_by_hand` found as a whole sentence."""
    return f"The bake of '{obj.name}' was changed by hand since it was made ({changed})."


def check_edits(obj, discard: bool, removing: bool = False) -> None:
    """Refuse to lose what an animator changed.

    Args:
        obj: a mesh object.
        discard: the animator agreed that it may be lost.
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
