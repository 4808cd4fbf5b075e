"""Motion into Blender: mesh cache, shape keys, a few editable basis keys, or curves on ARKit keys.

Names are imported when they are first used, so that `bake.kinds` can be read where there is no Blender.
"""

from __future__ import annotations

from importlib import import_module

_MODULES = {
    "BakeReport": "data",
    "BakeSettings": "settings",
    "add_head": "scene",
    "bake": "pipeline",
    "bake_performance": "pipeline",
    "build_scene": "scene",
    "check": "pipeline",
    "export": "exporters",
    "remove_bake": "ownership",
    "render_preview": "film",
    "save_blend": "scene",
    "target_geometry": "geometry",
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
