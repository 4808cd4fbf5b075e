"""What a face is: the bundled head, ARKit's blendshapes, FLAME's vertices."""

from .head import Head, lip_opening, load_head

__all__ = ["Head", "lip_opening", "load_head"]
