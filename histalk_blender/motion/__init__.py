"""Motion in time: style and layers, retargeting, fitting to ARKit, point caches and files for other programs."""

from .motion import Motion
from .style import Style

__all__ = ["Motion", "Style"]
