"""New shape keys, with every value that we rely on: what a key is born with differs between Blender's versions."""

from __future__ import annotations

import numpy as np


def add_key(obj, name: str, positions: np.ndarray, low: float = 0.0):
    """A shape key that rests, relative to the basis, which is made where there is none.

    Args:
        obj: a mesh object.
        name: Blender appends ".001" where it is taken.
        positions: [V, 3] the key's, in the mesh's space.
        low: the slider's lower end; its upper end is 1.

    Returns:
        The key.
    """
    if obj.data.shape_keys is None:
        obj.shape_key_add(name="Basis", from_mix=False)
        obj.data.shape_keys.use_relative = True
    key = obj.shape_key_add(name=name, from_mix=False)
    key.data.foreach_set("co", np.ascontiguousarray(positions, np.float32).ravel())
    key.relative_key = obj.data.shape_keys.reference_key
    key.slider_min, key.slider_max = low, 1.0
    key.value = 0.0  # 1 in Blender 5.2
    key.mute, key.vertex_group = False, ""
    return key
