"""The numbers that an animator sets. Each is described once; panel, command line and manifest are made from that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields

METADATA = "setting"  # key of a dataclass field's description


@dataclass(frozen=True)
class Setting:
    """A number of a style or of a kind of bake.

    name: of the panel's property and of the manifest's column.
    label: in the panel.
    description: tooltip and help.
    minimum, maximum: the range, ends included.
    usual: the range of the panel's slider; None = all of it.
    unit: "s" or "mm"; "" = a factor.
    """

    name: str
    default: float
    label: str
    description: str
    minimum: float
    maximum: float
    usual: tuple[float, float] | None = None
    unit: str = ""

    @property
    def flag(self) -> str:
        """On the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def label_with_unit(self) -> str:
        """For the panel, whose numbers have no unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def allowed(self) -> str:
        """The range in words."""
        return f"a number from {self.minimum:g} to {self.maximum:g} {self.unit}".rstrip()

    def read(self, value: object) -> float:
        """The number that a value or its text stands for.

        Raises:
            ValueError: it is not a number within the range; the message says what is allowed.
        """
        number = as_number(value)
        if not self.minimum <= number <= self.maximum:
            raise ValueError(self.allowed)
        return number


def as_number(value: object) -> float:
    """The number that a text, or a value from JSON, stands for; NaN if it stands for none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return math.nan


def setting(
    default: float,
    label: str,
    description: str,
    minimum: float,
    maximum: float,
    usual: tuple[float, float] | None = None,
    unit: str = "",
) -> float:
    """A field of a dataclass, described as a `Setting`."""
    description_of_field = (label, description, minimum, maximum, usual, unit)
    return field(default=default, metadata={METADATA: description_of_field})


def settings_of(described: type) -> tuple[Setting, ...]:
    """The settings among a dataclass's fields, in their order."""
    return tuple(
        Setting(item.name, item.default, *item.metadata[METADATA])
        for item in fields(described)
        if METADATA in item.metadata and item.default is not MISSING
    )


def chosen(settings: tuple[Setting, ...], values: Mapping[str, float]) -> dict[str, float]:
    """The values of these settings, checked; what is not given has its default.

    Raises:
        ValueError: one is out of range; the message names it.
    """
    found = {}
    for item in settings:
        try:
            found[item.name] = item.read(values.get(item.name, item.default))
        except ValueError as error:
            raise ValueError(f"{item.name} must be {error}") from None
    return found
