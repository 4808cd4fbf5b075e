"""Curves on the mesh's own ARKit shape keys."""

from __future__ import annotations

from dataclasses import replace

from ...head.arkit import ARKIT_BLENDSHAPES
from ...head.arkit_names import match_names
from ...motion.motion import Motion
from .in_shape_keys import InShapeKeys


class ArkitCurves(InShapeKeys):
    """An F-curve on each ARKit shape key that moves; the mesh is any that has such keys.

    The plan's target is an `ArkitRig`; the motion's weights [T, 52] are those of ARKit's blendshapes, and it has no
    vertices.
    """

    name = "arkit"
    label = "ARKit Curves"
    description = "F-curves on the mesh's own shape keys with ARKit names, whatever its topology"
    number = 3
    needs_topology = False
    needs_arkit_keys = True
    exports_morphs = True
    adds = "curves on its shape keys"

    def draw(self, layout, settings, note) -> None:
        """Which key plays which blendshape, and which of them speech leaves alone."""
        from ..arkit_rig import key_names
        from ..wording import collapsed

        row = layout.row(align=True)
        row.operator("histalk.map_blendshapes", icon="SHAPEKEY_DATA")
        row.operator("histalk.load_map", text="", icon="FILEBROWSER")
        row.operator("histalk.save_map", text="", icon="FILE_TICK")
        row.operator("histalk.clear_map", text="", icon="X")
        keys = settings.id_data.data.shape_keys
        if not keys:
            return
        found = match_names(key_names(settings.id_data))
        missing = [unit for unit in ARKIT_BLENDSHAPES if unit not in found and unit not in settings.mapping()]
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

    def check_target(self, obj, settings) -> None:
        from ..arkit_rig import read_rig

        super().check_target(obj, settings)
        read_rig(obj, settings.mapping)

    def read_target(self, obj, settings):
        """The rig."""
        from ..arkit_rig import read_rig, with_own_shapes

        return with_own_shapes(obj, read_rig(obj, settings.mapping))

    def resolve(self, settings, target):
        return replace(settings, mapping=target.mapping)

    def retarget(self, plan, performance):
        motion, residual = performance.arkit_motion(plan.settings.style, plan.target.limits, plan.target.head)
        return motion, float(residual.max()) * 1000

    def apply(self, obj, data):
        from ..key_writer import write_curves

        return write_curves(obj, data.start_frame, self._values(data))

    def expected_motion(self, obj, data) -> Motion:
        from ..arkit_rig import key_shapes

        moving = _moving(data)
        columns = [ARKIT_BLENDSHAPES.index(unit) for unit in moving]
        return Motion(data.motion.weights[:, columns], key_shapes(obj, moving.values()), data.motion.fps)

    def warnings(self, obj, data) -> list[str]:
        from ..arkit_rig import rig_warnings

        most = dict(zip(ARKIT_BLENDSHAPES, data.motion.weights.max(0, initial=0.0), strict=True))
        played = {key: most[unit] for unit, key in _moving(data).items()}
        return [*rig_warnings(obj, data.plan.target, played), *super().warnings(obj, data)]

    def key_count(self, data) -> int:
        return len(data.plan.target.keys)

    def content(self, data) -> str:
        return f"curves on {len(_moving(data))} of {self.key_count(data)} ARKit keys"

    def accuracy(self, data) -> str:
        return f"{data.max_error_mm:.2f} mm root mean square off in the worst frame"

    def _values(self, data) -> dict:
        """Shape key -> its values, of those that move."""
        weights = data.motion.weights
        return {key: weights[:, ARKIT_BLENDSHAPES.index(unit)] for unit, key in _moving(data).items()}


def _moving(data) -> dict[str, str]:
    """Blendshape -> shape key that gets a curve."""
    moves = data.motion.weights.any(0)
    return {unit: key for unit, key in data.plan.target.keys.items() if moves[ARKIT_BLENDSHAPES.index(unit)]}
