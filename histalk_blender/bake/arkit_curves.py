"""F-curves on the ARKit shape keys that a mesh already has, whatever its topology."""

from __future__ import annotations

import numpy as np

from ..arkit import match_names
from ..errors import HiSTalkError
from ..units import ARKIT_UNITS
from .ownership import KEPT, curve_bags, is_our_curve, set_curve


def arkit_keys(obj) -> dict[str, str]:
    """Unit -> shape key of its name, all free to be animated by us.

    Raises:
        HiSTalkError: no key has an ARKit name, or one is animated by the user.
    """
    keys = obj.data.shape_keys
    found = match_names([key.name for key in keys.key_blocks[1:]]) if keys else {}
    if not found:
        raise HiSTalkError(f"'{obj.name}' has no shape keys with ARKit names (jawOpen, mouthClose ...): add them first.")
    animation = keys.animation_data
    curves = [curve for bag in curve_bags(animation) for curve in bag.fcurves if not is_our_curve(curve)]
    taken = {curve.data_path for curve in [*curves, *(animation.drivers if animation else ())]}
    for name in found.values():
        if keys.key_blocks[name].path_from_id("value") in taken:
            raise HiSTalkError(f"Shape key '{name}' of '{obj.name}' is animated already: clear its curve or driver first.")
    return found


def bake_units(obj, weights: np.ndarray, start_frame: float) -> int:
    """Key the 52 units' weights [T, 52] on the keys of their names. Returns how many there were."""
    keys, found = obj.data.shape_keys, arkit_keys(obj)
    keys[KEPT] = {name: keys.key_blocks[name].value for name in found.values()}
    for unit, name in found.items():
        points = np.stack([start_frame + np.arange(len(weights)), weights[:, ARKIT_UNITS.index(unit)]], 1)
        set_curve(obj, name, points)
    return len(found)
