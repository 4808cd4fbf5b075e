"""The extension's preferences: where PyTorch comes from, and the buttons that install and remove it."""

from __future__ import annotations

import time
from pathlib import Path

import bpy

from ..errors import HiSTalkError
from ..runtime import installation, pytorch, survey
from .environment import ROOT, install_folder, preferences
from .session import get_session
from .ui import DisabledReasonMixin, draw_sentence


def _look_again(settings, context) -> None:
    survey.invalidate()


class HiSTalkPreferences(bpy.types.AddonPreferences):
    """HiSTalk's section in Blender's preferences."""

    bl_idname = ROOT

    source: bpy.props.EnumProperty(
        name="PyTorch",
        items=[
            ("INSTALLED", "Managed Install", "Let HiSTalk install PyTorch into its own folder"),
            ("FOLDER", "Existing Environment", "Use the PyTorch of a virtual environment or site-packages folder"),
        ],
        update=_look_again,
    )
    folder: bpy.props.StringProperty(
        name="Environment",
        description="A virtual environment or site-packages folder of Blender's Python version",
        subtype="DIR_PATH",
        update=_look_again,
    )
    build: bpy.props.EnumProperty(
        name="Build",
        items=[
            ("CPU", "CPU", "Runs on every computer; downloads 0.3 GB, takes 0.9 GB on disk"),
            ("CUDA", "CUDA", "For NVIDIA GPUs; downloads 2.5 GB, takes 5 GB on disk"),
            ("PIP", "Pip Default", "The build that your pip's configured package index provides"),
        ],
    )

    preload_model: bpy.props.BoolProperty(
        name="Preload Model",
        description="Load PyTorch and the weights as soon as a head is selected with the HiSTalk tab open, so that the "
        "first bake starts at once; uses 0.4 GB of memory",
        default=True,
    )

    @property
    def place(self) -> Path | None:
        """The folder to put on sys.path."""
        if self.source == "INSTALLED":
            return install_folder()
        return survey.site_packages(bpy.path.abspath(self.folder)) if self.folder else None

    def draw(self, context) -> None:
        """What was found or is missing, then the source of PyTorch with its buttons."""
        layout, environment = self.layout, get_session().environment
        reason = environment.blocking_reason(context)
        if not environment.installing:
            found = " and ".join(f"{name} {version}" for name, version in survey.versions(self.place).items())
            draw_sentence(layout, context, reason or f"{found} are ready.", "ERROR" if reason else "CHECKMARK")
        layout.row().prop(self, "source", expand=True)
        column = layout.column()
        column.use_property_split = True
        if self.source == "FOLDER":
            column.prop(self, "folder")
        else:
            column.enabled = not environment.installing
            column.prop(self, "build")
            self._draw_install(context)
        layout.prop(self, "preload_model")

    def _draw_install(self, context) -> None:
        row, environment = self.layout.row(), get_session().environment
        job = environment.installation
        if environment.installing:
            row.progress(factor=job.progress, text="Installing PyTorch")
            row.operator(HISTALK_OT_cancel_install.bl_idname, icon="X")
        else:
            row.operator(HISTALK_OT_install_pytorch.bl_idname, icon="IMPORT")
            size = survey.record(install_folder()).get("bytes")
            label = "Remove PyTorch" + (f" ({size / 1e9:.1f} GB)" if size else "")
            row.operator(HISTALK_OT_remove_pytorch.bl_idname, text=label, icon="TRASH")
            draw_sentence(self.layout, context, installation.sources(self.build), "WORLD")
            if reason := HISTALK_OT_install_pytorch.disabled_reason(context):
                draw_sentence(self.layout, context, reason, "INFO")
            if not (bpy.app.online_access or bpy.app.online_access_override):
                self.layout.prop(context.preferences.system, "use_online_access")
        if job and job.poll() != "done":
            box = self.layout.box().column(align=True)
            if job.message:
                draw_sentence(box, context, job.message, "INFO" if job.poll() == "cancelled" else "ERROR")
            for line in list(job.lines)[-8:]:
                box.label(text=line)


class HISTALK_OT_install_pytorch(DisabledReasonMixin, bpy.types.Operator):
    """Download PyTorch and transformers into HiSTalk's own folder, in the background"""

    bl_idname = "histalk.install_pytorch"
    bl_label = "Install PyTorch"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """It needs the network, and permission to use it."""
        if preferences(context) is None:
            return "HiSTalk is not installed as an extension: install its zip in Preferences › Get Extensions."
        if get_session().environment.installing:
            return "PyTorch is already being installed: wait, or press Cancel."
        if not bpy.app.online_access:
            if bpy.app.online_access_override:
                return "Blender was started offline: start it without --offline-mode."
            return "Online access is off: tick Allow Online Access below, or in Preferences › System › Network."
        if pytorch.in_use(install_folder()):
            return "PyTorch is in use: restart Blender first."
        return ""

    def execute(self, context) -> set[str]:
        """Start it; without a window, wait until it has finished."""
        job = installation.Installation(install_folder(), preferences(context).build)
        try:
            job.start()
        except HiSTalkError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        get_session().environment.installation = job
        if bpy.app.background:
            while get_session().environment.installing:
                time.sleep(0.05)
            return self._finish()
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event) -> set[str]:
        """Redraw the progress; all events pass through."""
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                if area.type in {"PREFERENCES", "VIEW_3D"}:
                    area.tag_redraw()
        if get_session().environment.installing:
            return {"PASS_THROUGH"}
        self.cancel(context)
        return self._finish()

    def cancel(self, context) -> None:
        """The window was closed: the installation continues, and the preferences show it when opened again."""
        context.window_manager.event_timer_remove(self._timer)

    def _finish(self) -> set[str]:
        job = get_session().environment.installation
        outcome = job.poll()
        self.report({"ERROR"} if outcome == "failed" else {"INFO"}, job.message)
        return {"FINISHED"} if outcome == "done" else {"CANCELLED"}


class HISTALK_OT_cancel_install(DisabledReasonMixin, bpy.types.Operator):
    """Stop the installation; downloads are kept for the next attempt"""

    bl_idname = "histalk.cancel_install"
    bl_label = "Cancel"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """There must be one."""
        return "" if get_session().environment.installing else "No installation is running."

    def execute(self, context) -> set[str]:
        """Stop pip; its files are deleted in the background."""
        get_session().environment.installation.cancel()
        return {"FINISHED"}


class HISTALK_OT_remove_pytorch(DisabledReasonMixin, bpy.types.Operator):
    """Delete the PyTorch that HiSTalk installed, and its downloads"""

    bl_idname = "histalk.remove_pytorch"
    bl_label = "Remove PyTorch"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """Only HiSTalk's own folder, and only while it is not used."""
        if preferences(context) is None or not survey.has_leftovers(install_folder()):
            return "HiSTalk has not installed PyTorch."
        if get_session().environment.installing:
            return "PyTorch is being installed: press Cancel first."
        if pytorch.in_use(install_folder()):
            return "PyTorch is in use: restart Blender first."
        return ""

    def execute(self, context) -> set[str]:
        """Remove the folder and what an installation left next to it."""
        get_session().environment.installation = None
        try:
            installation.remove(install_folder())
        except HiSTalkError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, "PyTorch is removed.")
        return {"FINISHED"}


class HISTALK_OT_open_preferences(DisabledReasonMixin, bpy.types.Operator):
    """Open HiSTalk's preferences, where PyTorch is installed"""

    bl_idname = "histalk.open_preferences"
    bl_label = "HiSTalk Preferences"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """They need a window, and exist only for extensions."""
        if bpy.app.background:
            return "Blender has no window."
        if preferences(context) is None:
            return "HiSTalk is not installed as an extension: install its zip in Preferences › Get Extensions."
        return ""

    def execute(self, context) -> set[str]:
        """Show them, expanded."""
        return bpy.ops.preferences.addon_show(module=ROOT)


CLASSES = (
    HiSTalkPreferences,
    HISTALK_OT_install_pytorch,
    HISTALK_OT_cancel_install,
    HISTALK_OT_remove_pytorch,
    HISTALK_OT_open_preferences,
)
