"""Which shape key plays which ARKit blendshape, as a JSON file that the panel saves. Needs no Blender."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import HiSTalkError
from ..files import atomic_write, open_regular
from ..head.arkit import ARKIT_BLENDSHAPES
from ..runtime.output import printable

LARGEST = 1 << 20  # bytes of a file


def read_mapping(path: Path) -> dict[str, str | None]:
    """Blendshape -> shape key, "" = the key of its name, None = speech leaves it alone.

    Raises:
        HiSTalkError: the file cannot be read, or is not a mapping.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError("it is larger than any mapping")
        mapping = json.loads(data.decode("utf-8-sig"))
        if not isinstance(mapping, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or printable(error, 120)
        raise HiSTalkError(f"'{printable(path)}' is not a mapping ({why}): choose one made by Save Mapping.") from error
    unknown = [printable(name, 40) for name in mapping if name not in ARKIT_BLENDSHAPES]
    if unknown:
        listed = ", ".join(unknown[:3])
        raise HiSTalkError(f"'{printable(path)}' has names that are not ARKit blendshapes ({listed}): fix it.")
    for name, key in mapping.items():
        if not isinstance(key, str | None) or printable(key, 400) != str(key):
            what = f"{printable(key, 40)}, which is not the name of a shape key"
            raise HiSTalkError(f"'{printable(path)}' maps {name} to {what}: fix it.")
    return mapping


def write_mapping(path: Path, mapping: Mapping[str, str | None]) -> None:
    """Save a mapping.

    Raises:
        OSError: it cannot be written.
    """
    atomic_write(Path(path), json.dumps(mapping, indent=1).encode())
