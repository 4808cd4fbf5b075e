"""How the cells of a manifest are read. The command line's flags of the same names are read in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..audio.channels import read_channel
from ..bake import kinds
from ..motion.style import Style
from ..settings import as_number, settings_of
from .output_kinds import read_outputs

MOST_FRAMES = 1_000_000  # from frame 0 in either direction; about Blender's limit
RATES = (1.0, 240.0)  # frames a second


def read_frame(cell: object) -> int:
    """A frame's number."""
    value = as_number(cell)
    if not (abs(value) <= MOST_FRAMES and value == round(value)):
        raise ValueError("a whole frame number")
    return int(value)


def read_frames(cell: object) -> tuple[int, int]:
    """The first and the last of some frames."""
    match = re.fullmatch(r"\s*(-?\d{1,7})\s*-\s*(-?\d{1,7})\s*", str(cell))
    first, last = (int(match[1]), int(match[2])) if match else (1, 0)
    if last < first:
        raise ValueError("the first and the last frame, as in 11-250")
    return first, last


def read_fps(cell: object) -> float:
    """Frames a second."""
    value = as_number(cell)
    if not RATES[0] <= value <= RATES[1]:
        raise ValueError(f"a number from {RATES[0]:g} to {RATES[1]:g} frames a second")
    return value


def read_kind(cell: object) -> str:
    """The name of a kind of bake."""
    names = [kind.name for kind in kinds.KINDS]
    if str(cell) not in names:
        raise ValueError(f"one of {', '.join(names)}")
    return str(cell)


# A reader takes a cell or a flag's text. Its ValueError says what is allowed, in words that follow "write".
COLUMNS: dict[str, Callable[[object], object]] = {
    "start": read_frame,
    "frames": read_frames,
    "fps": read_fps,
    "bake": read_kind,
    **{option.name: option.read for option in kinds.kind_options()},
    "outputs": read_outputs,
    "channel": read_channel,
    **{setting.name: setting.read for setting in settings_of(Style)},
}
TEXTS = ("audio", "name", "shot", "object", "mapping")
NAMES = (*TEXTS, *COLUMNS)
RENAMED = {"blend": "shot"}  # since 0.1.0
