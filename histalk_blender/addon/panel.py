"""The sidebar in the 3D View and the Video Sequencer. Drawing only reads."""

from __future__ import annotations

from itertools import groupby

import bpy

from ..bake.arkit_rig import key_names
from ..bake.checks import time_stretch_warnings, visibility_warnings
from ..bake.geometry import recognised
from ..bake.kinds import kind_named
from ..bake.ownership import has_bake
from ..bake.targets import why_no_mesh
from ..errors import HiSTalkError
from ..head.arkit import ARKIT_BLENDSHAPES
from ..head.arkit_names import match_names
from ..motion.style import Style
from ..settings import settings_of
from .bake_request import chosen_strip, sound_scene
from .operators import HISTALK_OT_bake
from .session import get_session
from .ui import CATEGORY, draw_sentence


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class _Sidebar:
    """What all panels share."""

    bl_region_type = "UI"
    bl_category = CATEGORY


class _Settings(_Sidebar):
    """A sub-panel for the settings of the selected mesh."""

    bl_parent_id = "HISTALK_PT_main"

    @classmethod
    def poll(cls, context) -> bool:
        """A mesh that can keep settings."""
        obj = context.object
        return obj is not None and obj.type == "MESH" and not obj.library


class _Main(_Sidebar):
    bl_label = "HiSTalk"

    def draw(self, context) -> None:
        """The selected head and its topology."""
        layout, obj = self.layout, context.object
        reason = why_no_mesh(obj)
        if reason:
            draw_sentence(layout, context, reason, "INFO")
        else:
            row = layout.row()
            row.label(text=obj.name, icon="OUTLINER_OB_MESH")
            self._recognised(layout, context, obj)
        layout.operator("histalk.add_head", icon="ADD")

    def _recognised(self, layout, context, obj) -> None:
        column = layout.column(align=True)
        count = len(match_names(key_names(obj)))
        try:
            topology = recognised(obj)
        except HiSTalkError as error:
            draw_sentence(column, context, str(error), "ERROR")
            return
        if topology:
            column.label(text=f"{topology.label}, {topology.vertices} vertices", icon="CHECKMARK")
        if count:
            column.label(text=f"ARKit shape keys: {count} of {len(ARKIT_BLENDSHAPES)}", icon="CHECKMARK")
        if not topology and not count:
            draw_sentence(
                column, context, f"Not a known head: {len(obj.data.vertices)} vertices, no ARKit shape keys", "QUESTION"
            )


class _Audio(_Settings):
    bl_label = "Audio"

    def draw(self, context) -> None:
        """The sound to bake from."""
        layout, settings = self.layout, context.object.histalk
        layout.row().prop(settings, "audio", expand=True)
        column = layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        if settings.audio == "FILE":
            column.prop(settings, "file")
            column.prop(settings, "file_frame")
            self._channel(column, settings)
            return
        scene = sound_scene(context, settings)
        if settings.audio == "STRIP":
            strip = chosen_strip(context, settings)
            if scene.sequence_editor:
                column.prop_search(settings, "strip", scene.sequence_editor, "strips_all", icon="SEQ_SEQUENCER")
            if strip is not None:
                kind = "" if settings.strip else " (active)"
                column.label(text=f"{strip.name}{kind}", icon="SOUND")
        self._channel(column, settings)
        if len(bpy.data.scenes) > 1:
            column.prop(settings, "scene")

    def _channel(self, column, settings) -> None:
        column.prop(settings, "channel")
        if settings.channel == "number":
            column.prop(settings, "channel_number")


class _Style(_Settings):
    bl_label = "Style"

    def draw(self, context) -> None:
        """Sliders that take effect on a finished bake at once."""
        layout, settings = self.layout, context.object.histalk
        layout.use_property_split, layout.use_property_decorate = True, False
        for _, alike in groupby(settings_of(Style), key=lambda setting: setting.unit):
            column = layout.column(align=True)
            for setting in alike:
                column.prop(settings, setting.name)
        if has_bake(context.object) and context.object.session_uid not in get_session().requests:
            draw_sentence(layout, context, "Sliders take effect with the next Bake.", "INFO")


class _Output(_Settings):
    bl_label = "Bake As"

    def draw(self, context) -> None:
        """The kind of bake and its options."""
        layout, settings = self.layout, context.object.histalk
        layout.use_property_split, layout.use_property_decorate = True, False
        column = layout.column()
        column.prop(settings, "kind", text="Type")
        heading = column.column(heading="Frame Range")
        heading.prop(settings, "use_range", text="")
        if settings.use_range:
            pair = column.column(align=True)
            pair.prop(settings, "first")
            pair.prop(settings, "last")
        kind_named(settings.kind).draw(layout, settings, lambda rows, text: draw_sentence(rows, context, text, "INFO"))


class _Device(_Settings):
    bl_label = "Device"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header_preset(self, context) -> None:
        """The device in use, also while the panel is closed."""
        names = get_session().gpu.names
        cpu = context.object.histalk.device == "cpu" or names == []
        text = "CPU" if cpu else names[0] if names else "..."
        self.layout.label(text=text)

    def draw(self, context) -> None:
        """Where the network runs, and its weights."""
        layout, settings = self.layout, context.object.histalk
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(settings, "device")
        if settings.device == "cuda" and get_session().gpu.names == []:
            draw_sentence(layout, context, "The NVIDIA driver reports no GPU: choose CPU or Automatic.", "ERROR")
        layout.prop(settings, "weights")
        if not settings.weights:
            layout.label(text="Bundled: histalk-small", icon="FILE_TICK")


class _Bake(_Settings):
    bl_label = "Bake"
    bl_options = {"HIDE_HEADER"}

    def draw(self, context) -> None:
        """The button or the progress, and the result of the last bake."""
        layout, session = self.layout, get_session()
        if session.job is not None:
            self._draw_progress(layout, session.job)
        else:
            self._draw_button(layout, context, session)
        for warning in time_stretch_warnings(context.scene):
            draw_sentence(layout, context, warning, "ERROR")
        if session.failed_job is not None and session.failed_job.error:
            draw_sentence(layout, context, session.failed_job.error, "CANCEL")
        self._draw_result(layout, context)

    def _draw_progress(self, layout, job) -> None:
        left = job.seconds_left
        text = f"{job.stage} {job.share:.0%}" + ("" if left is None else f", {_clock(left)} left")
        row = layout.row(align=True)
        row.progress(factor=job.share, type="BAR", text=text)
        row.operator("histalk.cancel_bake", text="", icon="CANCEL")
        layout.label(text=f"'{job.request.plan.name}', {_clock(job.seconds)} elapsed", icon="TIME")

    def _draw_button(self, layout, context, session) -> None:
        button = layout.row()
        button.scale_y = 1.5
        button.operator("histalk.bake", icon="OUTLINER_DATA_SPEAKER")
        if reason := HISTALK_OT_bake.scene_reason(context):
            draw_sentence(layout, context, reason, "ERROR")
        if reason := session.environment.blocking_reason(context):
            draw_sentence(layout, context, reason, "ERROR")
            layout.operator("histalk.open_preferences", icon="PREFERENCES")

    def _draw_result(self, layout, context) -> None:
        settings = context.object.histalk
        if settings.report or has_bake(context.object):  # one that does not move has no report
            box = layout.box().column()
            if settings.report:
                draw_sentence(box, context, settings.report, "CHECKMARK")
            for warning in [*filter(None, settings.warnings.split("\n")), *visibility_warnings(context.object)]:
                draw_sentence(box, context, warning, "ERROR")
            box.operator("histalk.remove_bake", icon="TRASH")


def _for_space(panel: type, space: str, suffix: str) -> type:
    """One panel for the 3D View or the Video Sequencer."""
    name = f"HISTALK_PT_{panel.__name__.strip('_').lower()}{suffix}"
    members = {"bl_space_type": space, "bl_idname": name, "__doc__": panel.__doc__}
    if hasattr(panel, "bl_parent_id"):
        members["bl_parent_id"] = panel.bl_parent_id + suffix
    return type(name, (panel, bpy.types.Panel), members)


CLASSES = tuple(
    _for_space(panel, space, suffix)
    for space, suffix in (("VIEW_3D", ""), ("SEQUENCE_EDITOR", "_sequencer"))
    for panel in (_Main, _Audio, _Style, _Output, _Device, _Bake)
)
