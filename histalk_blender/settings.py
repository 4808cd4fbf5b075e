"""Numbers that an animator sets: one description each, from which panel, command line and manifest are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields

UNITS = {"": "", "s": " s", "mm": " mm"}
METADATA = "setting"


@dataclass(frozen=True)
class Setting:
    """A number of a style or of a bake kind.

    The panel's property and the manifest's column are called `name`; the flag is `name` with dashes. The default is
    that of the dataclass's field.
    """

    name: str
    default: float
    label: str  # in the panel
    description: str  # tooltip, help and documentation
    minimum: float
    maximum: float
    usual: tuple[float, float] | None = None  # range of the panel's slider; None = minimum to maximum
    unit: str = ""  # "" = a factor, "s" or "mm"

    @property
    def flag(self) -> str:
        """On the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def label_with_unit(self) -> str:
        """As the panel writes it beside a number without a unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        return f"a number from {self.minimum:g} to {self.maximum:g}{UNITS[self.unit]}"

    def read(self, value: object) -> float:
        """A number, or its text, within the range.

        Raises:
            ValueError: it is not; the message says what is allowed.
        """
        number = as_number(value)
        if not self.minimum <= number <= self.maximum:
            raise ValueError(self.allowed)
        return number


def as_number(value: object) -> float:
    """The number that a text, or a value out of JSON, stands for; NaN where it is none."""
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
    """A field of a dataclass that an animator sets; see `Setting`."""
    described = (label, description, minimum, maximum, usual, unit)
    return field(default=default, metadata={METADATA: described})


def settings_of(described: type) -> tuple[Setting, ...]:
    """The settings among a dataclass's fields, in its order."""
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
