"""What a pickle's names stand for in `pickles`: plain classes of ours, out of which arrays of numbers are made at last.

NumPy's own functions follow whatever a pickle tells them, pointers included, so none of them is ever handed out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

NUMBERS = {
    code: np.dtype(code)
    for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}  # NumPy's names of number types; objects, text, records and dates are not among them
AXES = 8  # of an array at the most
WIDEST = 16  # items of a tuple that is a key
SIMPLE = (str, bytes, int, float, complex, bool, type(None), np.generic)


class Refused(Exception):
    """What is asked for is no data."""


class Damaged(Exception):
    """The bytes make no sense."""


class Budget:
    """Bytes that may still be made out of others: what a few bytes of a pickle can repeat must not add up."""

    def __init__(self, left: int):
        self.left = left

    def spend(self, count: int) -> None:
        """Raises:
        Refused: that is more than is left.
        """
        self.left -= count
        if self.left < 0:
            raise Refused("more data than the file has bytes for")


class StandIn:
    """What is no data yet, and may stand in no container."""

    called = "a class"


class Args(StandIn, tuple):
    """A tuple that holds stand-ins, for a call or a state."""

    called = "a class in a tuple"


class Call(StandIn):
    """A class or a function."""

    def __init__(self, called: str, make: Callable[[tuple, Budget], object]):
        self.called, self.make = called, make


class Dtype(StandIn):
    """A `numpy.dtype` of numbers."""

    called = "numpy.dtype"

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype


class Blank(StandIn):
    """A `numpy.ndarray`, which its state fills."""

    called = "an array without numbers"
    made: np.ndarray | None = None


def check_key(key: object) -> object:
    """What may be a key or stand in a set: its hash and its comparison cost no more than its bytes.

    Raises:
        Refused: it is anything else.
    """
    flat = key if type(key) is tuple and len(key) <= WIDEST else (key,)
    if not all(isinstance(item, SIMPLE) for item in flat):
        raise Refused(f"a key that is a {type(key).__name__}")
    return key


def build(target: object, state: object, budget: Budget) -> object:
    """The target filled by a state, as NumPy's `__setstate__` would.

    Raises:
        Refused: the target is nothing that is filled, or the state is not of plain numbers.
    """
    if isinstance(target, Dtype):
        return _ordered(target, state)
    if not isinstance(target, Blank) or target.made is not None:
        raise Refused("an object with a state of its own")
    if not isinstance(state, Args) or len(state) != 5:
        raise Refused("an array of another kind")
    _, shape, dtype, fortran, data = state
    target.made = _array(shape, dtype, "F" if fortran is True or fortran == 1 else "C", data, budget)
    return target.made


def _array(shape: object, dtype: object, order: Literal["C", "F"], data: object, budget: Budget) -> np.ndarray:
    if not isinstance(dtype, Dtype):
        raise Refused("an array of what are no numbers")
    raw = _bytes(data, budget)
    if type(shape) is not tuple or len(shape) > AXES or not all(type(size) is int and size >= 0 for size in shape):
        raise Refused("an array of an impossible shape")
    if max(shape, default=0) >= 1 << 31 or math.prod(shape) * dtype.dtype.itemsize != len(raw):
        raise Refused("an array whose shape does not fit its bytes")
    budget.spend(len(raw))
    return np.frombuffer(raw, dtype.dtype).astype(dtype.dtype.newbyteorder("="), copy=False).reshape(shape, order=order)


def _bytes(data: object, budget: Budget) -> bytes:
    if isinstance(data, str):  # Python 2's bytes
        budget.spend(len(data))
        return data.encode("latin1")
    if isinstance(data, bytearray):
        budget.spend(len(data))
        return bytes(data)
    if not isinstance(data, bytes):
        raise Refused("an array of what are no numbers")
    return data


def _dtype(args: tuple, _: Budget) -> Dtype:
    code = args[0] if args and isinstance(args[0], str) else ""
    if code not in NUMBERS:
        raise Refused("an array of what are no numbers")
    return Dtype(NUMBERS[code])


def _ordered(target: Dtype, state: object) -> Dtype:
    """A dtype with its byte order; all else that a state could change makes it something other than a number."""
    if not isinstance(state, tuple) or isinstance(state, Args) or not 5 <= len(state) <= 9:
        raise Refused("numbers of another kind")
    _, order, base, names, fields, *rest = state
    metadata = rest[3] if len(rest) > 3 else None
    if order not in ("<", ">", "=", "|") or any(part is not None for part in (base, names, fields)) or metadata:
        raise Refused("an array of what are no numbers")
    target.dtype = target.dtype.newbyteorder(order)  # in place, as the memo holds it too
    return target


def _reconstruct(args: tuple, _: Budget) -> Blank:
    if not args or not isinstance(args[0], Call) or args[0].called != "ndarray":
        raise Refused("an array of another class")
    return Blank()


def _scalar(args: tuple, budget: Budget) -> Any:
    if len(args) != 2:
        raise Refused("a number without its bytes")
    return _array((), args[0], "C", args[1], budget)[()]


def _frombuffer(args: tuple, budget: Budget) -> np.ndarray:
    if len(args) != 4 or args[3] not in ("C", "F"):
        raise Refused("an array of another kind")
    data, dtype, shape, order = args
    return _array(shape, dtype, order, data, budget)


def _encoded(args: tuple, budget: Budget) -> bytes:
    """What Python 3 writes for bytes in protocol 2; no other codec is needed, and some (zlib) grow."""
    if len(args) != 2 or not isinstance(args[0], str):
        raise Refused("a codec")
    if args[1] not in ("latin1", "latin-1"):
        raise Refused("a codec other than latin1")
    budget.spend(len(args[0]))
    return args[0].encode("latin1")


def _bytearray(args: tuple, budget: Budget) -> bytearray:
    if len(args) == 2:
        args = (_encoded(args, budget),)
    if len(args) > 1 or not isinstance(args[0] if args else b"", bytes):
        raise Refused("a bytearray of other than bytes")
    budget.spend(len(args[0]) if args else 0)
    return bytearray(*args)


def _items(args: tuple, budget: Budget) -> list:
    """The one list that a container is made of."""
    if len(args) > 1 or (args and type(args[0]) not in (list, tuple)):
        raise Refused("a container of other than a list")
    found = list(args[0]) if args else []
    budget.spend(len(found))
    return found


def _table(args: tuple, budget: Budget) -> dict:
    pairs = _items(args, budget)
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise Refused("a dictionary of other than pairs")
    return {check_key(key): value for key, value in pairs}


def _defaults(args: tuple, _: Budget) -> dict:
    """A `defaultdict` without its default."""
    if len(args) > 1 or not all(arg is None or isinstance(arg, Call) for arg in args):
        raise Refused("a defaultdict of another kind")
    return {}


def _complex(args: tuple, _: Budget) -> complex:
    if len(args) != 2 or not all(type(arg) is float for arg in args):
        raise Refused("a complex number of other than two numbers")
    return complex(*args)


def _empty_bytes(args: tuple, _: Budget) -> bytes:
    if args:
        raise Refused("bytes of something else")
    return b""


def _never(args: tuple, _: Budget) -> None:
    """What is only ever named, as a `defaultdict`'s default or an array's class."""
    raise Refused("a call of a class")


def _calls() -> dict[tuple[str, str], Callable[[tuple, Budget], object]]:
    plain = {
        "set": lambda args, budget: set(map(check_key, _items(args, budget))),
        "frozenset": lambda args, budget: frozenset(map(check_key, _items(args, budget))),
        "bytearray": _bytearray,
        "complex": _complex,
        "bytes": _empty_bytes,
        "str": _empty_bytes,
    } | dict.fromkeys(("list", "dict", "tuple", "int", "float", "bool"), _never)
    found = {(module, name): call for module in ("builtins", "__builtin__") for name, call in plain.items()}
    for core in ("numpy.core", "numpy._core"):  # NumPy 2 moved it; Python 2's NumPy wrote the old names
        found[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        found[f"{core}.multiarray", "scalar"] = _scalar
        found[f"{core}.numeric", "_frombuffer"] = _frombuffer
    return found | {
        ("numpy", "ndarray"): _never,
        ("numpy", "dtype"): _dtype,
        ("_codecs", "encode"): _encoded,
        ("collections", "OrderedDict"): _table,
        ("collections", "defaultdict"): _defaults,
    }


CALLS = _calls()
