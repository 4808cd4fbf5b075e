"""Operators for the mapping of ARKit blendshapes to the shape keys of a mesh."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..bake.mapping import read_mapping, write_mapping
from ..errors import HiSTalkError
from .bake_request import object_reason
from .ui import DisabledReasonMixin


class HISTALK_OT_map_blendshapes(DisabledReasonMixin, bpy.types.Operator):
    """List the 52 ARKit blendshapes and the shape keys that play them, to fix where names differ"""

    bl_idname = "histalk.map_blendshapes"
    bl_label = "Map Shape Keys"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context) -> str:
        """A mesh with shape keys."""
        reason = object_reason(context.object)
        if reason:
            return reason
        return "" if context.object.data.shape_keys else f"'{context.object.name}' has no shape keys: add them first."

    def execute(self, context) -> set[str]:
        """Rows that were set before keep their shape key."""
        settings = context.object.histalk
        settings.set_mapping(settings.mapping())
        return {"FINISHED"}


class HISTALK_OT_clear_map(DisabledReasonMixin, bpy.types.Operator):
    """Clear the mapping and match shape keys by their names"""

    bl_idname = "histalk.clear_map"
    bl_label = "Clear Mapping"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context) -> str:
        """There must be a mapping."""
        reason = object_reason(context.object)
        return reason or ("" if len(context.object.histalk.unit_keys) else "There is no mapping to clear or save.")

    def execute(self, context) -> set[str]:
        """Remove all rows."""
        context.object.histalk.unit_keys.clear()
        return {"FINISHED"}


class HISTALK_OT_save_map(DisabledReasonMixin, ExportHelper, bpy.types.Operator):
    """Save the mapping of ARKit blendshapes to shape keys as JSON, for other heads"""

    bl_idname = "histalk.save_map"
    bl_label = "Save Mapping"
    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    disabled_reason = HISTALK_OT_clear_map.disabled_reason

    def execute(self, context) -> set[str]:
        """Write the file."""
        try:
            write_mapping(Path(self.filepath), context.object.histalk.mapping())
        except OSError as error:
            self.report({"ERROR"}, f"'{self.filepath}' cannot be written ({error.strerror}): choose another place.")
            return {"CANCELLED"}
        return {"FINISHED"}


class HISTALK_OT_load_map(DisabledReasonMixin, ImportHelper, bpy.types.Operator):
    """Load a mapping of ARKit blendshapes to shape keys from JSON"""

    bl_idname = "histalk.load_map"
    bl_label = "Load Mapping"
    bl_options = {"REGISTER", "UNDO"}
    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    disabled_reason = HISTALK_OT_map_blendshapes.disabled_reason

    def execute(self, context) -> set[str]:
        """Read the file; a mapping with an error changes nothing."""
        try:
            mapping = read_mapping(Path(self.filepath))
        except HiSTalkError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.object.histalk.set_mapping(mapping)
        return {"FINISHED"}


CLASSES = (HISTALK_OT_map_blendshapes, HISTALK_OT_clear_map, HISTALK_OT_save_map, HISTALK_OT_load_map)
