"""What an animator can do: each reads the settings, calls one function and reports."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..bake import add_head, remove_bake
from ..bake.kinds import ArkitCurves
from ..bake.mapping import read_mapping, write_mapping
from ..bake.ownership import changed_by_hand, edits_sentence, has_bake
from ..bake.targets import check_object
from ..bake.wording import listed
from ..errors import HiSTalkError
from ..head.head import load_head
from .bake_job import find_object
from .bake_request import blocking_reason, build_request
from .session import get_session
from .ui import DisabledReasonMixin, redraw

TICK = 0.03  # seconds between two looks at the worker


def _discard_edits():
    """The property of operators that take a bake away; never remembered from one call to the next."""
    return BoolProperty(
        name="Discard Edits",
        options={"SKIP_SAVE"},
        description="Go on though curves or keys of the bake were changed by hand since, which loses those changes",
    )


def _ask(operator, context, event, changed: str, button: str) -> set[str]:
    """A dialog that names what would be lost; its button goes on with `execute`."""
    operator.discard_edits = True
    return context.window_manager.invoke_confirm(
        operator,
        event,
        title="Discard What Was Changed by Hand?",
        confirm_text=button,
        icon="WARNING",
        message=edits_sentence(context.object, changed),
    )


def _why_no_head(obj) -> str:
    try:
        check_object(obj)
    except HiSTalkError as error:
        return str(error)
    return ""


class HISTALK_OT_add_head(DisabledReasonMixin, bpy.types.Operator):
    """Add the bundled head at the 3D cursor, ready to speak"""

    bl_idname = "histalk.add_head"
    bl_label = "Add HiSTalk Head"
    bl_options = {"REGISTER", "UNDO"}

    units: BoolProperty(
        name="ARKit Shape Keys", description="Give it its 52 ARKit units as shape keys, for ARKit curves"
    )

    @classmethod
    def disabled_reason(cls, context) -> str:
        """Only object mode can take a new object."""
        return "" if context.mode == "OBJECT" else "A head is added in Object Mode: press Tab to leave this mode."

    def execute(self, context) -> set[str]:
        """Add it, selected and active."""
        for other in context.selected_objects:
            other.select_set(False)
        obj = add_head(load_head(), self.units)
        obj.location = context.scene.cursor.location
        if self.units:
            obj.histalk.kind = ArkitCurves.name
        return {"FINISHED"}


class HISTALK_OT_bake(DisabledReasonMixin, bpy.types.Operator):
    """Let the selected head speak the chosen sound; replaces its earlier bake"""

    bl_idname = "histalk.bake"
    bl_label = "Bake"
    bl_options = {"REGISTER", "UNDO"}

    discard_edits: _discard_edits()
    _asked = False

    @classmethod
    def disabled_reason(cls, context) -> str:
        """All that must be right before it can start."""
        if get_session().job is not None:
            return "A bake is running: wait for it, or cancel it."
        return (
            _why_no_head(context.object)
            or blocking_reason(context, context.object)
            or get_session().environment.blocking_reason(context)
        )

    def invoke(self, context, event) -> set[str]:
        """In a window: work in the background."""
        if bpy.app.background:
            return self.execute(context)
        changed = "" if self.discard_edits else changed_by_hand(context.object)
        if changed:
            self._asked = True
            return _ask(self, context, event, changed, "Bake")
        if not self._begin(context):
            return {"CANCELLED"}
        try:
            self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
            context.window_manager.modal_handler_add(self)
            redraw()
            return {"RUNNING_MODAL"}
        except Exception as error:
            return self._leave(context, error)

    def modal(self, context, event) -> set[str]:
        """One look at the job a tick; while the scene is written, no other event may change it."""
        try:
            writing = self._job.state == "applying"
            if writing and event.type == "ESC":
                self._job.cancel()
            if event.type != "TIMER":
                return {"RUNNING_MODAL"} if writing else {"PASS_THROUGH"}
            self._job.advance()
            redraw()
            return self._leave(context) if self._job.ended else {"PASS_THROUGH"}
        except Exception as error:
            return self._leave(context, error)

    def execute(self, context) -> set[str]:
        """Without a window: wait for the end. After the dialog: as in a window."""
        if self._asked:
            bpy.ops.histalk.bake("INVOKE_DEFAULT", discard_edits=True)
            return {"CANCELLED"}  # it has its own step of undo
        if not self._begin(context):
            return {"CANCELLED"}
        try:
            while not self._job.ended:
                self._job.advance()
                time.sleep(TICK / 10)
            return self._leave(context)
        finally:  # Ctrl-C
            self.cancel(context)

    def cancel(self, context) -> None:
        """The window or the file was closed."""
        if get_session().job is self._job:
            get_session().stop_bake()
        timer, self._timer = self._timer, None
        if timer is not None:
            context.window_manager.event_timer_remove(timer)

    def _begin(self, context) -> bool:
        self._timer = self._job = None
        try:
            request = build_request(context, context.object, self.discard_edits)
            get_session().environment.activate(context)
            self._job = get_session().start_bake(request)
            return True
        except Exception as error:
            self.report_error(error)
            return False

    def _leave(self, context, error: Exception | None = None) -> set[str]:
        """The one way out: nothing runs and no timer ticks after it, and the animator is told how it ended."""
        try:
            if error is not None:
                self._job.fail(error)
            if get_session().job is not self._job:  # cancelled, another file was opened, or the extension switched off
                return {"CANCELLED"}
            obj = find_object(self._job.request.uid)
            sentence = get_session().finish_bake(obj)
            redraw()
            if self._job.state != "done":
                self.report({"ERROR"} if self._job.error else {"INFO"}, sentence)
                return {"CANCELLED"}
            for warning in (*self._job.performance.remarks, *self._job.report.warnings):
                self.report({"WARNING"}, warning)
            self.report({"INFO"}, f"'{obj.name}' speaks: {sentence}.")
            return {"FINISHED"}
        except Exception as found:
            return self.report_error(found)
        finally:
            self.cancel(context)


class HISTALK_OT_cancel_bake(DisabledReasonMixin, bpy.types.Operator):
    """Stop the bake that runs and leave the scene as it was"""

    bl_idname = "histalk.cancel_bake"
    bl_label = "Cancel Bake"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """There must be one."""
        return "" if get_session().job is not None else "No bake is running."

    def execute(self, context) -> set[str]:
        """End it here, so that the way is free though nothing should drive the job any more."""
        job = get_session().job
        get_session().stop_bake()
        redraw()
        self.report({"WARNING"} if job.error else {"INFO"}, job.error or "Bake cancelled; the scene is as it was.")
        return {"FINISHED"}


class HISTALK_OT_remove_bake(DisabledReasonMixin, bpy.types.Operator):
    """Take away the shape keys, curves and modifier that HiSTalk made on this head; a cache file stays on disk"""

    bl_idname = "histalk.remove_bake"
    bl_label = "Remove Bake"
    bl_options = {"REGISTER", "UNDO"}

    discard_edits: _discard_edits()

    @classmethod
    def disabled_reason(cls, context) -> str:
        """There must be one, and none in the making."""
        if get_session().job is not None:
            return "A bake is running: wait for it, or cancel it."
        obj = context.object
        emptied = obj is not None and obj.type == "MESH" and not len(obj.data.vertices) and has_bake(obj)
        reason = "" if emptied else _why_no_head(obj)
        return reason or ("" if has_bake(obj) else f"'{obj.name}' carries no bake of HiSTalk.")

    def invoke(self, context, event) -> set[str]:
        """In a window: ask where curves were changed by hand."""
        changed = "" if self.discard_edits or bpy.app.background else changed_by_hand(context.object, removing=True)
        return _ask(self, context, event, changed, "Remove") if changed else self.execute(context)

    def execute(self, context) -> set[str]:
        """The exact inverse of Bake."""
        obj = context.object
        try:
            sculpted = remove_bake(obj, self.discard_edits)
        except Exception as error:
            return self.report_error(error)
        if sculpted:
            self.report(
                {"WARNING"}, f"{listed(sculpted, 3)} were sculpted since the bake, so they stay as keys of yours."
            )
        get_session().requests.pop(obj.session_uid, None)
        obj.histalk.report = obj.histalk.warnings = ""
        redraw()
        return {"FINISHED"}


class HISTALK_OT_map_units(DisabledReasonMixin, bpy.types.Operator):
    """List the 52 units with the shape keys that show them, to mend where names differ"""

    bl_idname = "histalk.map_units"
    bl_label = "Map Shape Keys"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context) -> str:
        """A mesh with shape keys."""
        reason = _why_no_head(context.object)
        if reason:
            return reason
        return "" if context.object.data.shape_keys else f"'{context.object.name}' has no shape keys: add them first."

    def execute(self, context) -> set[str]:
        """What the animator mapped before stays."""
        settings = context.object.histalk
        settings.set_mapping(settings.mapping())
        return {"FINISHED"}


class HISTALK_OT_clear_map(DisabledReasonMixin, bpy.types.Operator):
    """Forget the mapping and go by the shape keys' names"""

    bl_idname = "histalk.clear_map"
    bl_label = "Clear Mapping"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def disabled_reason(cls, context) -> str:
        """There must be one."""
        reason = _why_no_head(context.object)
        return reason or ("" if len(context.object.histalk.unit_keys) else "There is no mapping.")

    def execute(self, context) -> set[str]:
        """Forget it."""
        context.object.histalk.unit_keys.clear()
        return {"FINISHED"}


class HISTALK_OT_save_map(DisabledReasonMixin, ExportHelper, bpy.types.Operator):
    """Save the mapping of units to shape keys as JSON, for other heads"""

    bl_idname = "histalk.save_map"
    bl_label = "Save Mapping"
    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    disabled_reason = HISTALK_OT_clear_map.disabled_reason

    def execute(self, context) -> set[str]:
        """Write it."""
        try:
            write_mapping(Path(self.filepath), context.object.histalk.mapping())
        except OSError as error:
            self.report({"ERROR"}, f"'{self.filepath}' cannot be written ({error.strerror}): choose another place.")
            return {"CANCELLED"}
        return {"FINISHED"}


class HISTALK_OT_load_map(DisabledReasonMixin, ImportHelper, bpy.types.Operator):
    """Load a mapping of units to shape keys from JSON"""

    bl_idname = "histalk.load_map"
    bl_label = "Load Mapping"
    bl_options = {"REGISTER", "UNDO"}
    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    disabled_reason = HISTALK_OT_map_units.disabled_reason

    def execute(self, context) -> set[str]:
        """Read it, all or nothing."""
        try:
            mapping = read_mapping(Path(self.filepath))
        except HiSTalkError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.object.histalk.set_mapping(mapping)
        return {"FINISHED"}


CLASSES = (
    HISTALK_OT_add_head,
    HISTALK_OT_bake,
    HISTALK_OT_cancel_bake,
    HISTALK_OT_remove_bake,
    HISTALK_OT_map_units,
    HISTALK_OT_clear_map,
    HISTALK_OT_save_map,
    HISTALK_OT_load_map,
)
