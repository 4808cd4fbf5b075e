"""What to say where something else than a mesh is to speak: which head to select, and how to reach it."""

from __future__ import annotations

from collections.abc import Iterable

import bpy

from ..errors import HiSTalkError
from ..head.arkit_names import match_names
from ..head.topologies import topologies_with
from .arkit_rig import key_names
from .wording import listed

NAMED = 3  # heads in a sentence


def why_no_mesh(obj) -> str:
    """Why an object is none to bake on, and what to select in its place, or ""; cheap enough for every redraw."""
    if obj is None:
        heads = _others(None)
        return f"No object is selected: {_select(heads) if heads else 'select the head to bake on, or add one'}."
    if obj.type == "MESH":
        if len(obj.data.vertices) or obj.mode == "EDIT":
            return ""
        return f"'{obj.name}' is a mesh without vertices of its own: {_select(_others(obj))}."
    what = f"'{obj.name}' is {_kind(obj)}, not a mesh"
    if obj.instance_type == "COLLECTION" and obj.instance_collection:
        return f"{what}: {_shown_by(obj)}."
    return f"{what}: {_select(_moved_by(obj) or _others(obj))}."


def check_object(obj) -> None:
    """Refuse what cannot be baked on.

    Raises:
        HiSTalkError: no object, no mesh or one without vertices, a linked one, or edit mode.
    """
    if reason := why_no_mesh(obj):
        raise HiSTalkError(reason)
    if obj.library:
        raise HiSTalkError(
            f"'{obj.name}' is linked from another file: make it a library override (Object › Library Override › Make) "
            "and bake as a mesh cache, or make it local."
        )
    if obj.mode == "EDIT":
        raise HiSTalkError(f"'{obj.name}' is in edit mode: press Tab to leave it, then bake.")


def instances_of_heads(objects: Iterable) -> list:
    """Those of the objects that show a collection with a head in it."""
    instances, known = [obj for obj in objects if obj.instance_type == "COLLECTION"], {None: False}
    for obj in instances:
        if obj.instance_collection not in known:  # a forest shows few collections often
            known[obj.instance_collection] = bool(_inside(obj))
    return [obj for obj in instances if known[obj.instance_collection]]


def instance_with(name: str, objects: Iterable):
    """The one of the objects that shows a collection with an object of that name in it, or None."""
    return next((obj for obj in objects if any(one.name == name for one in _instanced(obj))), None)


def _looks_like_head(obj) -> bool:
    """By the number of vertices or the names of keys: no vertex is read."""
    if obj.type != "MESH":
        return False
    return bool(topologies_with(len(obj.data.vertices))) or bool(obj.data.shape_keys and match_names(key_names(obj)))


def _heads(objects: Iterable) -> list:
    return [obj for obj in objects if _looks_like_head(obj)]


def _select(heads: list) -> str:
    if not heads:
        return "select the head"
    names = listed((one.name for one in heads), NAMED)
    if heads[0].type != "MESH":
        return f"select {names}, which shows a head, for the way to it"
    return f"select {'the head ' if len(heads) == 1 else 'one of the heads '}{names}"


def _kind(obj) -> str:
    name = type(obj).bl_rna.properties["type"].enum_items[obj.type].name.lower()
    what = f"{name} object" if " " in name or obj.type == "FONT" else name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {what}"


def _others(obj) -> list:
    """Heads of the scene, or what shows one."""
    objects = [one for one in bpy.context.scene.objects if one != obj]
    return _heads(objects) or instances_of_heads(objects)


def _moved_by(obj) -> list:
    """Heads that hang on an object: as children, or by a modifier or constraint."""
    return [head for head in _heads(bpy.context.scene.objects) if _hangs_on(head, obj)]


def _hangs_on(head, obj) -> bool:
    above = head
    while above is not None:
        for one in above.constraints:
            targets = [one, *getattr(one, "targets", ())]  # an Armature constraint has several
            if any(getattr(target, "target", None) == obj for target in targets):
                return True
        above = above.parent
        if above == obj:
            return True
    return any(getattr(modifier, "object", None) == obj for modifier in head.modifiers)


def _shown_by(obj) -> str:
    """What to do about the heads that a collection instance shows."""
    collection, heads = obj.instance_collection, _inside(obj)
    if not heads:
        return f"it shows collection '{collection.name}', which holds no head: {_select(_others(obj))}"
    at_hand = [head for head in heads if not head.library and bpy.context.view_layer.objects.get(head.name) == head]
    what = f"it shows collection '{collection.name}' with {listed((head.name for head in heads), NAMED)}"
    if at_hand:
        return f"{what}: {_select(at_hand)} itself, and it speaks here too"
    if collection.library or obj.library:
        return (
            f"{what} of another file: make it a library override (Object › Library Override › Make), select that mesh "
            "and bake as a mesh cache"
        )
    return f"{what}: use Object › Apply › Make Instances Real, then select that mesh"


def _inside(obj) -> list:
    return _heads(_instanced(obj))


def _instanced(obj) -> list:
    """All objects of the collection that an object shows, and of those that these show."""
    found, seen, waiting = [], set(), [obj]
    while waiting:
        one = waiting.pop()
        collection = one.instance_collection if one.instance_type == "COLLECTION" else None
        if collection is not None and collection not in seen:
            seen.add(collection)
            objects = list(collection.all_objects)
            found += objects
            waiting += objects
    return found
