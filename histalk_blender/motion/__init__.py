"""Motion in time, how style changes it, and what other programs take it as."""

from .motion import Motion
from .style import Style

__all__ = ["Motion", "Style"]
