"""Reading other people's pickles: numbers, text and containers are let in, all else is refused before it runs."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path

import numpy as np

from ...errors import HiSTalkError


def _bytes_of(text: str, encoding: str) -> bytes:
    """What Python 3 writes for bytes in protocol 2; no other codec is needed, and some (zlib) are dangerous."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec '{encoding}'")
    return text.encode("latin1")


def _numpy() -> dict:
    # numpy 2 moved its core; Python 2's numpy wrote the old names. What they rebuild holds numbers, or objects that
    # come through this same list.
    found = {
        ("multiarray", "_reconstruct"): np.zeros(1).__reduce__()[0],
        ("multiarray", "scalar"): np.float64(0).__reduce__()[0],
        ("numeric", "_frombuffer"): np.zeros(1).__reduce_ex__(5)[0],
    }
    allowed = {(f"numpy.{core}.{m}", name): value for (m, name), value in found.items() for core in ("core", "_core")}
    return allowed | {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}


ALLOWED = (
    {
        (module, name): value
        for module in ("builtins", "__builtin__")
        for name, value in {
            "set": set, "frozenset": frozenset, "list": list, "dict": dict, "tuple": tuple, "bytearray": bytearray,
            "complex": complex, "int": int, "float": float, "bool": bool, "str": str,
        }.items()
    }
    | {("collections", "OrderedDict"): collections.OrderedDict, ("collections", "defaultdict"): collections.defaultdict}
    | {("_codecs", "encode"): _bytes_of}
    | _numpy()
)  # fmt: skip


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return ALLOWED[module, name]


def read_pickle(path: Path) -> dict:
    """A table of whatever numbers, arrays, text and containers a pickle of Python 2 or 3 holds.

    Raises:
        HiSTalkError: the file is missing, no pickle of a dictionary, or asks for any other class or function.
    """
    path = Path(path)
    if not path.is_file():
        raise HiSTalkError(f"'{path}' is missing: put the data set's own file there.")
    try:
        with path.open("rb") as file:
            table = _Reader(file, encoding="latin1").load()  # Python 2's text and arrays come as bytes in latin1
    except pickle.UnpicklingError as error:
        raise HiSTalkError(
            f"'{path}' is refused, as it holds more than numbers and text ({error}): use the data set's own file."
        ) from error
    except Exception as error:  # a damaged pickle fails in whatever way its bytes happen to read
        raise HiSTalkError(f"'{path}' is no whole pickle ({error}): copy or download it again.") from error
    if not isinstance(table, dict):
        raise HiSTalkError(f"'{path}' holds a {type(table).__name__} and no dictionary: use the data set's own file.")
    return table
