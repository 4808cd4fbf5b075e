"""Lists of names in messages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..head.arkit import ARKIT_BLENDSHAPES

NAMED = 16  # names in a warning before it is cut short


def listed(names: Iterable[str], most: int = NAMED) -> str:
    """Names in quotation marks, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more


def collapsed(units: Iterable[str]) -> str:
    """Units with both sides in one, and whole regions but the mouth: `brow*, eyeBlinkLeft/Right, tongueOut`."""
    units, said = list(units), []
    for unit in units:
        region, left = re.match("[a-z]+", unit)[0], re.sub("Right$", "Left", unit)
        whole = region != "mouth" and all(one in units for one in ARKIT_BLENDSHAPES if one.startswith(region))
        if whole and region not in ("jaw", "tongue"):
            said.append(f"{region}*")
        elif left == unit or left not in units:
            both = left == unit and re.sub("Left$", "Right", unit) in units and unit.endswith("Left")
            said.append(f"{unit}/Right" if both else unit)
    return ", ".join(dict.fromkeys(said))
