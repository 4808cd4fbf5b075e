"""A bake's new shape keys with their curves, and its curves on the animator's keys; an older bake goes at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from . import record
from .curves import curve_paths, key_path, play_curves, set_curve
from .key_removal import remove_keys, remove_unfinished, set_apart
from .key_storage import KEY_STORAGE
from .ownership import remove_other_bakes
from .record import OWNED_KEYS, SAVED_VALUES, Record, sketch
from .shape_keys import add_key
from .unfinished import guarded

SLICE = 16  # shape keys made before the window may draw again
# With more keys each renaming walks through too many curves, so they keep the ".001" of a second bake.
MOST_RENAMED = 1000


@dataclass(frozen=True, eq=False)
class NewKey:
    """A shape key to make.

    name: that it gets where it is free.
    offsets: [V, 3] from the rest.
    first_frame: scene frame of its first value.
    values: [n] one a frame.
    """

    name: str
    offsets: np.ndarray
    first_frame: float
    values: np.ndarray


def write_new_keys(
    obj, rest: np.ndarray, count: int, keys: Callable[[int, int], Iterator[NewKey]], slider_min: float
) -> Iterator[float]:
    """Make shape keys and animate them, in slices short enough to draw between them.

    Args:
        obj: the mesh object.
        rest: [V, 3] its positions without shape keys.
        count: how many keys.
        keys: gives those from a first to a last number, exclusive; all names begin with `MARK`.
        slider_min: of their values.

    Yields:
        The share done.
    """
    yield from guarded(obj, _new_keys(obj, rest, count, keys, slider_min), with_keys=True)


def write_curves(obj, first_frame: float, values: Mapping[str, np.ndarray]) -> Iterator[float]:
    """Animate shape keys of the animator's; see `write_new_keys`.

    Args:
        obj: the mesh object.
        first_frame: scene frame of the first value.
        values: key -> [n] one a frame.
    """
    yield from guarded(obj, _curves(obj, first_frame, values), with_keys=False)


def _new_keys(obj, rest, count, keys, slider_min) -> Iterator[float]:
    """All at value 0 until all are there."""
    had_keys = obj.data.shape_keys is not None
    began = not had_keys or (OWNED_KEYS in obj.data.shape_keys and record.read(obj.data.shape_keys).basis)
    restore = set_apart(obj, follow=False)
    # Curves that are not ours may lie at a name that no key has: of a deleted key, or of another mesh.
    taken = curve_paths(obj.data.shape_keys)
    new, curves, shapes = [], [], []
    try:
        for first in range(0, count, SLICE):
            for key in keys(first, min(first + SLICE, count)):
                shape = np.asarray(rest + key.offsets, np.float32)
                new.append(add_key(obj, _free_name(obj, key.name, taken), shape, slider_min).name)
                shapes.append(sketch(shape - rest))
                curves.append(set_curve(obj, new[-1], key.first_frame, key.values))
            yield len(new) / count
    except BaseException:
        remove_unfinished(obj, new, new)
        restore()
        if not had_keys:
            obj.shape_key_clear()
        raise
    remove_other_bakes(obj, KEY_STORAGE)
    remove_keys(obj, but=new)
    if not new:  # a face that rests throughout
        return
    play_curves(obj, new)
    if len(new) <= MOST_RENAMED:
        _rename(obj, new)
    obj.data.shape_keys[OWNED_KEYS] = "\n".join(new)
    centred = sketch(rest - rest.mean(0))
    written = Record(dict(zip(new, curves)), dict(zip(new, shapes)), centred, slider_min, began)
    record.write(obj.data.shape_keys, written)


def _curves(obj, first_frame, values) -> Iterator[float]:
    """Keys without a curve keep the value that they have without a bake."""
    keys, curves = obj.data.shape_keys, {}
    follow = SAVED_VALUES in keys  # curves on the same keys come in place of curves, so who plays them goes with them
    restore = set_apart(obj, follow)
    try:
        for done, (name, frames) in enumerate(values.items(), 1):
            curves[name] = set_curve(obj, name, first_frame, frames)
            yield done / len(values)
    except BaseException:
        remove_unfinished(obj, curves)
        restore()
        raise
    remove_other_bakes(obj, KEY_STORAGE)
    remove_keys(obj, follow=follow)
    keys[SAVED_VALUES] = {name: keys.key_blocks[name].value for name in values}
    record.write(keys, Record(curves))
    play_curves(obj, curves)


def _free_name(obj, name: str, taken: set[str]) -> str:
    """The name, or with a number behind it, so that it is neither a key's nor a curve's."""
    keys = obj.data.shape_keys.key_blocks if obj.data.shape_keys else {}
    numbered = (f"{name}.{i:03d}" for i in range(1, 10_000))
    return next(free for free in (name, *numbered) if free not in keys and key_path(free) not in taken)


def _rename(obj, new: list[str]) -> None:
    """Give new keys the names that the older bake's had, where nothing is left of them."""
    keys, taken = obj.data.shape_keys.key_blocks, curve_paths(obj.data.shape_keys)
    for i, name in enumerate(new):
        plain = name.partition(".")[0]
        if plain != name and plain not in keys and key_path(plain) not in taken:
            keys[name].name = new[i] = plain
