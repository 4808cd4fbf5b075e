"""Blender's face of HiSTalk."""

from __future__ import annotations

import bpy


class AddHead(bpy.types.Operator):
    """Add the bundled head, ready to speak"""

    bl_idname = "histalk.add_head"
    bl_label = "HiSTalk Head"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context) -> bool:
        """Only object mode can take a new object."""
        cls.poll_message_set("Leave the present mode: a head is added in Object Mode.")
        return context.mode == "OBJECT"

    def execute(self, context) -> set[str]:
        """Add it at the 3D cursor, selected and active."""
        from ..bake.scene import add_head
        from ..head import load_head

        for other in context.selected_objects:
            other.select_set(False)
        add_head(load_head()).location = context.scene.cursor.location
        return {"FINISHED"}


def _menu(self, context) -> None:
    self.layout.operator(AddHead.bl_idname, icon="USER")


def register() -> None:
    """Add our classes and menu entries."""
    bpy.utils.register_class(AddHead)
    bpy.types.VIEW3D_MT_mesh_add.append(_menu)


def unregister() -> None:
    """The exact inverse."""
    bpy.types.VIEW3D_MT_mesh_add.remove(_menu)
    bpy.utils.unregister_class(AddHead)
