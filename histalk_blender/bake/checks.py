"""What must hold before a bake, and what would keep a finished one from being seen."""

from __future__ import annotations

import bpy
import numpy as np

from .. import flame
from ..errors import HiSTalkError
from ..head import load_head
from .ownership import MARK, drives_our_keys, our_keys


def check_object(obj) -> None:
    """Refuse what cannot be baked on, before anything is touched.

    Raises:
        HiSTalkError: no object, no mesh, a linked one, or edit mode.
    """
    if obj is None:
        raise HiSTalkError("No object is selected: select the head to bake on.")
    if obj.type != "MESH":
        raise HiSTalkError(f"'{obj.name}' is a {obj.type.lower()}, not a mesh: select the head.")
    if obj.library or obj.data.library:
        raise HiSTalkError(f"'{obj.name}' is linked from another file: make it local or an override, then bake.")
    if obj.mode == "EDIT":
        raise HiSTalkError(f"'{obj.name}' is in edit mode: press Tab to leave it, then bake.")


def fitted(obj, displacements: np.ndarray) -> np.ndarray:
    """The motion for the object's own topology: a FLAME head takes what was made for the bundled head.

    Args:
        displacements: [T, V, 3] metres.

    Raises:
        HiSTalkError: the vertices are not those of the motion, nor FLAME's in FLAME's order.
    """
    count, bundled = len(obj.data.vertices), load_head()
    if count == flame.VERTICES and displacements.shape[1] == len(bundled.vertices):
        rest = np.empty(count * 3, np.float32)
        obj.data.vertices.foreach_get("co", rest)
        return flame.carry(displacements, rest.reshape(-1, 3), bundled)
    if count != displacements.shape[1]:
        raise HiSTalkError(
            f"'{obj.name}' has {count} vertices where the motion has {displacements.shape[1]}: select a head of its "
            "topology, or a FLAME head."
        )
    return displacements


def scene_fps(scene) -> float:
    """Frames a second of a scene, 23.976 and its kin included."""
    return scene.render.fps / scene.render.fps_base


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
