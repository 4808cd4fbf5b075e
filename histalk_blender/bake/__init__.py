"""Displacements into Blender: mesh cache, shape keys or a few editable basis keys."""

from .bakes import BakeReport, bake
from .ownership import remove_bake
from .scene import build_scene, render_preview, save_blend

__all__ = ["BakeReport", "bake", "build_scene", "remove_bake", "render_preview", "save_blend"]
