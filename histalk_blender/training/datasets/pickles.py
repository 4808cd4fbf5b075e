"""Reading pickles of unknown origin without Python's unpickler, so that nothing in them is called or trusted.

A pickle is a program for a small stack machine. This is such a machine with the part that data need: numbers, text,
containers and NumPy's arrays of numbers. Classes and functions are only names here (`pickle_stand_ins`), whatever calls
for another one is refused, and what is made never outgrows the file.
"""

from __future__ import annotations

import codecs
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import HiSTalkError
from ...files import open_regular
from ...runtime.output import printable
from .pickle_stand_ins import CALLS, Args, Blank, Budget, Call, Damaged, Refused, StandIn, build, check_key

LARGEST = 1 << 30  # bytes of a file; VOCASET's largest is a sixth of it
MOST = 5_000_000  # steps of a pickle: each may make an empty container, two hundred times its size in the file
LONGEST = 16  # bytes of an integer
MARK = object()


def read_pickle(path: Path) -> dict:
    """A table of whatever numbers, arrays of numbers, text and containers a pickle of Python 2 or 3 holds.

    Text and arrays of Python 2, which come as bytes, are read as latin1. Arrays may be read-only.

    Raises:
        HiSTalkError: the file is missing, no pickle of a dictionary, or asks for any other class or function.
    """
    path = Path(path)
    if not path.is_file():
        raise HiSTalkError(f"'{path}' is missing: put the data set's own file there.")
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise Refused(f"more than {LARGEST >> 30} GiB")
            table = _Machine(file.read()).run()
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be read ({error.strerror}): check its permissions.") from error
    except Refused as error:
        raise HiSTalkError(
            f"'{path}' is refused, as it holds more than numbers and text ({error}): use the data set's own file."
        ) from error
    except Exception as error:  # a damaged pickle fails in whatever way its bytes happen to read
        raise HiSTalkError(
            f"'{path}' is no whole pickle ({printable(error, 120)}): copy or download it again."
        ) from error
    if not isinstance(table, dict):
        raise HiSTalkError(f"'{path}' holds a {type(table).__name__} and no dictionary: use the data set's own file.")
    return table


class _Machine:
    """A stack, a memo and one method for each step that is known."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0
        self.stack: list = []
        self.memo: dict[int, object] = {}
        self.budget = Budget(2 * len(data))  # an array of Python 3's protocol 2 is made twice: text, then bytes

    def run(self) -> object:
        """What the program leaves on the stack.

        Raises:
            Refused: it asks for what is no data.
            Damaged: it breaks off or is no program.
        """
        for _ in range(MOST):
            code = self.read(1)
            if code == b".":
                value = self.pop()
                if isinstance(value, StandIn):
                    raise Refused(value.called)
                return value
            if code in UNWANTED:
                raise Refused(UNWANTED[code])
            if code not in STEPS:
                raise Damaged(f"{code!r} is no step")
            STEPS[code](self)
        raise Refused(f"more than {MOST} steps")

    def read(self, count: int) -> bytes:
        """So many bytes."""
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise Damaged("it breaks off")
        self.at += count
        return found

    def number(self, form: str) -> Any:
        """One number as `struct` packs it."""
        return struct.unpack(form, self.read(struct.calcsize(form)))[0]

    def line(self, longest: int | None = None) -> bytes:
        """To the end of the line, which is passed over."""
        end = self.data.find(b"\n", self.at)
        if end < 0 or (longest and end - self.at > longest):
            raise Damaged("a line does not end" if end < 0 else "a number is too long")
        found = self.data[self.at : end]
        self.at = end + 1
        return found

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> object:
        """Take a value off the stack."""
        if not self.stack or self.stack[-1] is MARK:
            raise Damaged("the stack is empty")
        return self.stack.pop()

    def popped(self) -> list:
        """Take all off the stack down to the last mark, and the mark."""
        found: list = []
        while self.stack:
            value = self.stack.pop()
            if value is MARK:
                return found[::-1]
            found.append(value)
        raise Damaged("a mark is missing")

    def top(self, kind: type) -> Any:
        """What lies on top, which must be of a kind."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise Damaged(f"there is no {kind.__name__} to add to")
        return self.stack[-1]

    def extend(self, values: list) -> None:
        """Add to the list on top."""
        self.top(list).extend(map(_data, values))

    def update(self, values: list) -> None:
        """Add keys and values in turn to the dictionary on top."""
        table = self.top(dict)
        if len(values) % 2:
            raise Damaged("a key has no value")
        for key, value in zip(values[::2], values[1::2]):
            table[check_key(key)] = _data(value)

    def add(self, values: list) -> None:
        """Add to the set on top."""
        self.top(set).update(map(check_key, values))

    def group(self, values: list) -> None:
        """Push a tuple."""
        self.push(Args(values) if any(isinstance(value, StandIn) for value in values) else tuple(values))

    def store(self, place: int) -> None:
        """Remember what lies on top."""
        if not self.stack or self.stack[-1] is MARK:
            raise Damaged("the stack is empty")
        self.memo[place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Push what is remembered; an array that has been filled since is the array."""
        if place not in self.memo:
            raise Damaged(f"nothing is remembered as {place}")
        value = self.memo[place]
        self.push(value.made if isinstance(value, Blank) and value.made is not None else value)

    def find(self, module: object, name: object) -> None:
        """Push the stand-in of a class or a function."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Damaged("a name is no text")
        if (module, name) not in CALLS:
            raise Refused(printable(f"{module}.{name}", 120))
        self.push(Call(name, CALLS[module, name]))

    def call(self) -> None:
        """Call a stand-in."""
        args, function = self.pop(), self.pop()
        if not isinstance(function, Call) or not isinstance(args, (tuple, Args)):
            raise Refused("a call of what is no function")
        self.push(function.make(tuple(args), self.budget))

    def whole(self, size: int) -> None:
        """Push an integer of so many bytes."""
        if not 0 <= size <= LONGEST:
            raise Refused(f"an integer of {size} bytes")
        self.push(int.from_bytes(self.read(size), "little", signed=True))

    def text_whole(self) -> None:
        """Push an integer or a truth value that is written out."""
        text = self.line(40)
        self.push({b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text.rstrip(b"L")))

    def quoted(self) -> None:
        """Push Python 2's text as its source would have it."""
        text = self.line()
        if len(text) < 2 or text[:1] not in b"'\"" or text[-1:] != text[:1]:
            raise Damaged("text without quotes")
        self.push(codecs.escape_decode(text[1:-1])[0].decode("latin1"))

    def build(self) -> None:
        """Fill what lies below the state on top."""
        state = self.pop()
        self.push(build(self.pop(), state, self.budget))


def _data(value: object) -> object:
    """A value that may stand in a container."""
    if isinstance(value, StandIn):
        raise Refused(value.called)
    return value


STEPS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m.read(1),
    b"\x95": lambda m: m.read(8),  # protocol and frame: where bytes are, not what
    b"(": lambda m: m.push(MARK),
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.popped(),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _Machine.text_whole,
    b"L": _Machine.text_whole,
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"J": lambda m: m.push(m.number("<i")),
    b"\x8a": lambda m: m.whole(m.number("<B")),
    b"\x8b": lambda m: m.whole(m.number("<i")),
    b"F": lambda m: m.push(float(m.line(400))),
    b"G": lambda m: m.push(m.number(">d")),
    b"S": _Machine.quoted,
    b"V": lambda m: m.push(str(m.line(), "raw-unicode-escape")),
    b"U": lambda m: m.push(m.read(m.number("<B")).decode("latin1")),
    b"T": lambda m: m.push(m.read(m.number("<I")).decode("latin1")),
    b"\x8c": lambda m: m.push(str(m.read(m.number("<B")), "utf-8", "surrogatepass")),
    b"X": lambda m: m.push(str(m.read(m.number("<I")), "utf-8", "surrogatepass")),
    b"\x8d": lambda m: m.push(str(m.read(m.number("<Q")), "utf-8", "surrogatepass")),
    b"C": lambda m: m.push(m.read(m.number("<B"))),
    b"B": lambda m: m.push(m.read(m.number("<I"))),
    b"\x8e": lambda m: m.push(m.read(m.number("<Q"))),
    b"\x96": lambda m: m.push(bytearray(m.read(m.number("<Q")))),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b"\x8f": lambda m: m.push(set()),
    b")": lambda m: m.push(()),
    b"l": lambda m: m.push(list(map(_data, m.popped()))),
    b"d": lambda m: (lambda kept: (m.push({}), m.update(kept)))(m.popped()),
    b"\x91": lambda m: m.push(frozenset(map(check_key, m.popped()))),
    b"t": lambda m: m.group(m.popped()),
    b"\x85": lambda m: m.group([m.pop()]),
    b"\x86": lambda m: m.group([m.pop(), m.pop()][::-1]),
    b"\x87": lambda m: m.group([m.pop(), m.pop(), m.pop()][::-1]),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.popped()),
    b"s": lambda m: m.update([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.update(m.popped()),
    b"\x90": lambda m: m.add(m.popped()),
    b"p": lambda m: m.store(int(m.line(40))),
    b"q": lambda m: m.store(m.number("<B")),
    b"r": lambda m: m.store(m.number("<I")),
    b"\x94": lambda m: m.store(len(m.memo)),
    b"g": lambda m: m.recall(int(m.line(40))),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"c": lambda m: m.find(m.line(400).decode(), m.line(400).decode()),
    b"\x93": lambda m: (lambda name, module: m.find(module, name))(m.pop(), m.pop()),
    b"R": _Machine.call,
    b"b": _Machine.build,
}
UNWANTED = {
    b"P": "a reference to what is not in the file",
    b"Q": "a reference to what is not in the file",
    b"\x97": "a buffer that is not in the file",
    b"\x98": "a buffer that is not in the file",
    b"\x82": "a registered extension",
    b"\x83": "a registered extension",
    b"\x84": "a registered extension",
    b"\x81": "an object",
    b"\x92": "an object",
    b"i": "an object",
    b"o": "an object",
    b"2": "a copy",
}
