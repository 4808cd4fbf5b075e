"""Blender's face of HiSTalk."""

from __future__ import annotations

import bpy

from . import operators, panel, preferences, properties, restyle, running

CLASSES = (*properties.CLASSES, *preferences.CLASSES, *operators.CLASSES, *panel.CLASSES)


def _menu(self, context) -> None:
    self.layout.operator("histalk.add_head", text="HiSTalk Head", icon="USER")


def register() -> None:
    """Add our classes, properties, menu entry and handler."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Object.histalk = bpy.props.PointerProperty(type=properties.HiSTalkSettings)
    bpy.types.VIEW3D_MT_mesh_add.append(_menu)
    bpy.app.handlers.load_pre.append(running.before_load)


def unregister() -> None:
    """The exact inverse; what runs is ended first."""
    restyle.clean_up()
    running.clean_up()
    preferences.clean_up()
    bpy.app.handlers.load_pre.remove(running.before_load)
    bpy.types.VIEW3D_MT_mesh_add.remove(_menu)
    del bpy.types.Object.histalk
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
