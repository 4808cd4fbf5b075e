"""The operators for heads and bakes: each reads the settings, calls one function and reports."""

from __future__ import annotations

import time

import bpy
from bpy.props import BoolProperty

from ..bake import add_head, remove_bake
from ..bake.kinds import ArkitCurves
from ..bake.ownership import changed_by_hand, edits_sentence, has_bake
from ..bake.wording import listed
from ..head.head import load_head
from .bake_job import find_object
from .bake_request import blocking_reason, build_request, object_reason
from .session import get_session
from .ui import DisabledReasonMixin, redraw

TICK = 0.03  # seconds between two steps of a job


def _discard_edits():
    """The property of operators that replace or remove a bake; each call starts with its default."""
    return BoolProperty(
        name="Discard Edits",
        options={"SKIP_SAVE"},
        description="Continue although curves or keys of the bake were edited by hand since; those edits are lost",
    )


def _ask(operator, context, event, changed: str, button: str) -> set[str]:
    """Show a dialog with the edits that would be lost; its button runs `execute`."""
    operator.discard_edits = True
    return context.window_manager.invoke_confirm(
        operator,
        event,
        title="Discard Manual Edits?",
        confirm_text=button,
        icon="WARNING",
        message=edits_sentence(context.object, changed),
    )


class HISTALK_OT_add_head(DisabledReasonMixin, bpy.types.Operator):
    """Add the bundled head at the 3D cursor"""

    bl_idname = "histalk.add_head"
    bl_label = "Add HiSTalk Head"
    bl_options = {"REGISTER", "UNDO"}

    units: BoolProperty(
        name="ARKit Shape Keys", description="Add the 52 ARKit blendshapes as shape keys, to bake as ARKit curves"
    )

    @classmethod
    def disabled_reason(cls, context) -> str:
        """Objects are added in object mode."""
        return (
            "" if context.mode == "OBJECT" else "A head can only be added in Object Mode: press Tab to leave this mode."
        )

    def execute(self, context) -> set[str]:
        """Add it, as the selected and active object."""
        for other in context.selected_objects:
            other.select_set(False)
        obj = add_head(load_head(), self.units)
        obj.location = context.scene.cursor.location
        if self.units:
            obj.histalk.kind = ArkitCurves.name
        return {"FINISHED"}


class HISTALK_OT_bake(DisabledReasonMixin, bpy.types.Operator):
    """Animate the selected head from the chosen sound; replaces its earlier bake"""

    bl_idname = "histalk.bake"
    bl_label = "Bake"
    bl_options = {"REGISTER", "UNDO"}

    discard_edits: _discard_edits()
    _asked = False

    @classmethod
    def scene_reason(cls, context) -> str:
        """What of the scene must be fixed first, or ""."""
        return object_reason(context.object) or blocking_reason(context, context.object)

    @classmethod
    def disabled_reason(cls, context) -> str:
        """All that must be right before it can start."""
        if get_session().job is not None:
            return "A bake is running: wait for it, or cancel it."
        return cls.scene_reason(context) or get_session().environment.blocking_reason(context)

    def invoke(self, context, event) -> set[str]:
        """In a window: bake in the background."""
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
        """One step of the job at each timer event; while the scene is written, no other event may change it."""
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
        """Without a window: bake and wait. After the dialog: start again, as in a window."""
        if self._asked:
            bpy.ops.histalk.bake("INVOKE_DEFAULT", discard_edits=True)
            return {"CANCELLED"}  # that call has an undo step of its own
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
        """The one way out: stop the job and its timer, and report how it ended."""
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
            self.report({"INFO"}, f"Baked '{obj.name}': {sentence}.")
            return {"FINISHED"}
        except Exception as found:
            return self.report_error(found)
        finally:
            self.cancel(context)


class HISTALK_OT_cancel_bake(DisabledReasonMixin, bpy.types.Operator):
    """Stop the running bake and leave the scene as it was"""

    bl_idname = "histalk.cancel_bake"
    bl_label = "Cancel Bake"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """A bake must be running."""
        return "" if get_session().job is not None else "No bake is running."

    def execute(self, context) -> set[str]:
        """End it here, so that the next bake can start even if nothing drives this job any more."""
        job = get_session().job
        get_session().stop_bake()
        redraw()
        self.report({"WARNING"} if job.error else {"INFO"}, job.error or "Bake cancelled; the scene is as it was.")
        return {"FINISHED"}


class HISTALK_OT_remove_bake(DisabledReasonMixin, bpy.types.Operator):
    """Remove the shape keys, curves and modifier that HiSTalk added to this head; a cache file stays on disk"""

    bl_idname = "histalk.remove_bake"
    bl_label = "Remove Bake"
    bl_options = {"REGISTER", "UNDO"}

    discard_edits: _discard_edits()

    @classmethod
    def disabled_reason(cls, context) -> str:
        """There must be a bake, and none running."""
        if get_session().job is not None:
            return "A bake is running: wait for it, or cancel it."
        obj = context.object
        emptied = obj is not None and obj.type == "MESH" and not len(obj.data.vertices) and has_bake(obj)
        reason = "" if emptied else object_reason(obj)
        return reason or ("" if has_bake(obj) else f"'{obj.name}' has no HiSTalk bake.")

    def invoke(self, context, event) -> set[str]:
        """In a window: ask if curves were edited by hand."""
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
                {"WARNING"}, f"{listed(sculpted, 3)} were sculpted since the bake, so they are kept as your own keys."
            )
        get_session().requests.pop(obj.session_uid, None)
        obj.histalk.report = obj.histalk.warnings = ""
        redraw()
        return {"FINISHED"}


CLASSES = (HISTALK_OT_add_head, HISTALK_OT_bake, HISTALK_OT_cancel_bake, HISTALK_OT_remove_bake)
