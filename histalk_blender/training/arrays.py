"""Arrays of numbers from files of unknown origin: no larger than the file, finite where it counts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from ..files import open_regular
from ..runtime.output import printable

MOST = 10_000_000  # numbers of a list: a face has seventy thousand


def read_npy(path: Path) -> np.ndarray:
    """A .npy file's array of numbers, memory-mapped.

    Raises:
        HiSTalkError: it cannot be read, or is no whole array of numbers.
    """
    try:
        with open_regular(path) as file:
            shape, fortran, dtype = _header(file)
            start, size = file.tell(), file.seek(0, 2)
            if dtype.kind not in "biufc" or dtype.shape:
                raise ValueError(f"it holds {dtype}")
            if any(type(count) is not int or count < 0 for count in shape) or not math.prod(shape):
                raise ValueError(f"its shape is {shape}")
            if max(shape, default=1) > size or start + math.prod(shape) * dtype.itemsize > size:
                raise ValueError("it breaks off")
            return np.memmap(file, dtype, "r", start, shape, "F" if fortran else "C")
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be read ({error.strerror or error}): check the path.") from error
    except Exception as error:  # a header is Python's text, whose reading fails in many ways
        raise HiSTalkError(
            f"'{path}' is no array of numbers ({printable(error, 120)}): copy or convert it again."
        ) from error


def _header(file) -> tuple[tuple, bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"its version is {version[0]}.{version[1]}")
    return read[version](file)


def array_of(value: object, called: str) -> np.ndarray:
    """What a pickle holds where an array is due: the array, or a list of numbers or of rows of numbers as one.

    Raises:
        HiSTalkError: it is anything else.
    """
    if isinstance(value, np.ndarray):
        return value
    items, width = value if isinstance(value, (list, tuple)) else (), 0
    if items and all(isinstance(row, (list, tuple)) or np.ndim(row) == 1 for row in items):
        width = len(items[0])
        if any(len(row) != width for row in items) or width * len(items) > MOST:
            raise HiSTalkError(f"'{called}' holds rows that make no array: use the data set's own file.")
        items = [item for row in items for item in row]
    if not items or not all(type(item) in (int, float) or isinstance(item, np.number) for item in items):
        raise HiSTalkError(f"'{called}' holds no array of numbers: use the data set's own file.")
    found = np.array(items)
    return found.reshape(-1, width) if width else found


def check_finite(array: np.ndarray, called: str) -> None:
    """Raises:
    HiSTalkError: the array holds NaN or infinities, or no numbers.
    """
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise HiSTalkError(
            f"'{called}' holds what are no numbers (NaN, infinite or of another kind): copy or convert it again."
        )
