"""Audio + model + head -> motion: whole clips, one or many at a time, or a stream as it arrives."""

from .clips import WEIGHTS, Cancelled, synthesize, synthesize_many
from .performance import Performance, save_motion
from .streaming import Stream

__all__ = ["WEIGHTS", "Cancelled", "Performance", "Stream", "save_motion", "synthesize", "synthesize_many"]
