"""Rules for the config's values, declared beside its fields; the config of a checkpoint is checked against them."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, Protocol


class Rule(Protocol):
    """What a value must be."""

    def holds(self, value: object) -> bool:
        """Whether it is."""
        ...

    def __str__(self) -> str:
        """The rule, as it follows "must be"."""
        ...


@dataclass(frozen=True)
class Whole:
    """A whole number in a range; booleans do not count."""

    low: int
    high: int

    def holds(self, value: object) -> bool:
        """See `Rule`."""
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}" if self.low < self.high else str(self.low)


@dataclass(frozen=True)
class Real:
    """A finite number in a range."""

    low: float
    high: float

    def holds(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class OneOf:
    """One of some values, of the same type."""

    values: tuple

    def holds(self, value: object) -> bool:
        """See `Rule`."""
        return any(type(value) is type(own) and value == own for own in self.values)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


@dataclass(frozen=True)
class Text:
    """Text that matches a pattern in full."""

    pattern: str
    said: str

    def holds(self, value: object) -> bool:
        """See `Rule`."""
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.said


@dataclass(frozen=True)
class Several:
    """A tuple of some length whose items follow one rule and, if asked for, all differ."""

    rule: Rule
    least: int
    most: int
    distinct: bool = False

    def holds(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, tuple) or not self.least <= len(value) <= self.most:
            return False
        return all(map(self.rule.holds, value)) and not (self.distinct and len(set(value)) < len(value))

    def __str__(self) -> str:
        count = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        return f"a list of {count}{', all different' if self.distinct else ''}, each {self.rule}"


@dataclass(frozen=True)
class Sized:
    """Pairs of a name and a number, all names different."""

    name: Text
    size: Whole
    most: int

    def holds(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, tuple) or not 0 < len(value) <= self.most:
            return False
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
            return False
        right = all(self.name.holds(name) and self.size.holds(size) for name, size in value)
        return right and len({name for name, _ in value}) == len(value)

    def __str__(self) -> str:
        return f"a list of 1 to {self.most} pairs of {self.name} and {self.size}"


SWITCH = OneOf((True, False))


def within(default: Any, rule: Rule) -> Any:
    """A dataclass field with its default and its rule."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def broken_rules(config: Any) -> list[str]:
    """Part of a sentence for each field of a dataclass that breaks its rule."""
    rows = ((field.name, getattr(config, field.name), field.metadata["rule"]) for field in dataclasses.fields(config))
    return [f"{name} must be {rule}" for name, value, rule in rows if not rule.holds(value)]
