"""Curves on the mesh's own ARKit shape keys."""

from __future__ import annotations

from ...head.arkit import ARKIT_UNITS
from ...head.arkit_names import match_names
from .base import BakeKind


class ArkitCurves(BakeKind):
    """An F-curve on each ARKit shape key that moves; the mesh is any that has such keys."""

    name = "arkit"
    label = "ARKit Curves"
    description = "F-curves on the mesh's own shape keys with ARKit names, whatever its topology"
    number = 3
    needs_topology = False
    needs_arkit_keys = True
    exports_morphs = True

    def draw(self, layout, settings, note) -> None:
        """Which key plays which blendshape, and which of them speech leaves alone."""
        from ..arkit_rig import collapsed, key_names

        row = layout.row(align=True)
        row.operator("histalk.map_units", icon="SHAPEKEY_DATA")
        row.operator("histalk.load_map", text="", icon="FILEBROWSER")
        row.operator("histalk.save_map", text="", icon="FILE_TICK")
        row.operator("histalk.clear_map", text="", icon="X")
        keys = settings.id_data.data.shape_keys
        if not keys:
            return
        found = match_names(key_names(settings.id_data))
        missing = [unit for unit in ARKIT_UNITS if unit not in found and unit not in settings.mapping()]
        if missing:
            note(layout, f"Missing: {collapsed(missing)}")
        column = layout.column(align=True)
        for item in settings.unit_keys:
            row = column.row(align=True)
            row.prop(item, "use", text="")
            row = row.row(align=True)
            row.active = item.use
            row.alert = bool(item.key) and item.key not in keys.key_blocks
            row.prop_search(item, "key", keys, "key_blocks", text=item.name)
            if not item.key:
                row.label(text="", icon="CHECKMARK" if item.name in found else "REMOVE")
