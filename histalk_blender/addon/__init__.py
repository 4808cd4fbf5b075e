"""The add-on: what Blender shows of HiSTalk."""

from __future__ import annotations

import atexit

import bpy

from ..bake import aud_decoder  # noqa: F401  (it registers itself with audio.conversion)
from ..runtime.process_exit import exit_if_busy
from . import command, mapping_operators, operators, panel, preferences, properties, session, upgrade

CLASSES = (*properties.CLASSES, *preferences.CLASSES, *operators.CLASSES, *mapping_operators.CLASSES, *panel.CLASSES)


def _menu(self, context) -> None:
    self.layout.operator("histalk.add_head", text="HiSTalk Head", icon="USER")


# Stays after `unregister`: Blender disables add-ons before it exits.
atexit.register(exit_if_busy)


def register() -> None:
    """Add classes, properties, menu entry, handlers, command and session."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Object.histalk = bpy.props.PointerProperty(type=properties.HiSTalkSettings)
    bpy.types.VIEW3D_MT_mesh_add.append(_menu)
    bpy.app.handlers.load_pre.append(session.before_load)
    upgrade.register()
    opened = session.open_session()
    opened.cli_command = bpy.utils.register_cli_command("histalk", command.run)
    opened.start_watching()


def unregister() -> None:
    """The exact inverse; running jobs are stopped first."""
    bpy.utils.unregister_cli_command(session.get_session().cli_command)
    session.close_session()
    upgrade.unregister()
    bpy.app.handlers.load_pre.remove(session.before_load)
    bpy.types.VIEW3D_MT_mesh_add.remove(_menu)
    del bpy.types.Object.histalk
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
