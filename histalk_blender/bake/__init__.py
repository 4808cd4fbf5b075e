"""Motion into Blender: mesh cache, shape keys, a few editable basis keys, or curves on ARKit keys.

Names are imported when they are first used, so that `bake.kinds` can be read where there is no Blender.
"""

from __future__ import annotations

from importlib import import_module

_MODULES = {
    "BakeReport": "bakes",
    "Made": "make",
    "Plan": "make",
    "add_head": "scene",
    "apply": "bakes",
    "bake": "bakes",
    "build_scene": "scene",
    "compute_bake": "make",
    "export": "exporters",
    "plan_bake": "plan",
    "remove_bake": "edits",
    "render_preview": "film",
    "save_blend": "scene",
}

__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
