"""What a bake reads of a mesh: its vertices without and with the animator's shape keys, and whose topology it has."""

from __future__ import annotations

import bpy
import numpy as np

from ..errors import HiSTalkError
from ..head.topologies import Topology, recognise, topologies_with, vertex_counts
from .owned_keys import values_at_rest


def target_geometry(obj) -> tuple[np.ndarray, np.ndarray, float]:
    """An object's `rest_positions` and `shown_positions` [V, 3], and the open scene's frames a second."""
    return rest_positions(obj), shown_positions(obj), scene_fps(bpy.context.scene)


def scene_fps(scene) -> float:
    """Frames a second of a scene, 23.976 and its kin included."""
    return scene.render.fps / scene.render.fps_base


def rest_positions(obj) -> np.ndarray:
    """[V, 3] without any shape key."""
    keys = obj.data.shape_keys
    rest = np.empty(len(obj.data.vertices) * 3, np.float32)
    (keys.reference_key.data if keys else obj.data.vertices).foreach_get("co", rest)
    return rest.reshape(-1, 3)


def shown_positions(obj) -> np.ndarray:
    """[V, 3] as the animator's own shape keys make the mesh now."""
    keys, rest = obj.data.shape_keys, rest_positions(obj)
    shown, own = rest.copy(), np.empty(rest.size, np.float32)
    values = values_at_rest(keys)
    for key in keys.key_blocks[1:] if keys else ():
        value = values.get(key.name, key.value)
        if value and not key.mute and not key.vertex_group:
            key.data.foreach_get("co", own)
            shown += (own.reshape(-1, 3) - rest) * value
    return shown


def recognised(obj) -> Topology | None:
    """The topology of a mesh, or None; where no topology has as many vertices, they are not read.

    Raises:
        HiSTalkError: the number of vertices is right and their order is not.
    """
    return recognise(rest_positions(obj)) if topologies_with(len(obj.data.vertices)) else None


def known_topology(obj) -> Topology:
    """As `recognised`, for a bake that needs it.

    Raises:
        HiSTalkError: it is no head whose vertices can be animated.
    """
    topology = recognised(obj)
    if not topology:
        raise HiSTalkError(
            f"'{obj.name}' has {len(obj.data.vertices)} vertices, {vertex_counts()}: choose one of those, or bake as "
            "ARKit curves."
        )
    return topology
