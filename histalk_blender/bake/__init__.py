"""Motion into Blender: mesh cache, shape keys, a few editable basis keys, or curves on ARKit keys."""

from .bakes import BakeReport, apply, bake
from .edits import remove_bake
from .export import export
from .film import render_preview
from .make import KINDS, Made, Plan, compute_bake, make
from .plan import plan_bake
from .scene import add_head, build_scene, save_blend

__all__ = [
    "KINDS",
    "BakeReport",
    "Made",
    "Plan",
    "add_head",
    "apply",
    "bake",
    "build_scene",
    "compute_bake",
    "export",
    "make",
    "plan_bake",
    "remove_bake",
    "render_preview",
    "save_blend",
]
