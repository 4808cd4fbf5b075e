"""The extension's preferences: where PyTorch comes from, and the buttons that install and remove it."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import bpy

from ..errors import HiSTalkError
from ..runtime import pytorch
from .ui import Explained

# Blender knows the extension as bl_ext.REPO.histalk_blender; only under that name are there preferences.
ROOT = __package__.removesuffix(".histalk_blender.addon")

_job: pytorch.Installation | None = None  # the running install, or the last one of this session
_activated: set[Path] = set()


def preferences(context) -> HiSTalkPreferences | None:
    """The extension's preferences, or None where HiSTalk is not loaded as an extension."""
    addon = context.preferences.addons.get(ROOT)
    return addon.preferences if addon else None


def why_no_pytorch(context) -> str:
    """What keeps a bake from running: a sentence with the next click, or "". Cheap enough to draw."""
    if _running():
        return "PyTorch is being installed: wait for its end in HiSTalk's preferences."
    settings = preferences(context)
    if settings is None:
        return pytorch.missing()
    if settings.source == "INSTALLED":
        return pytorch.missing(settings.place, installed=True)
    if not settings.folder:
        return pytorch.missing() and "No environment is chosen: choose its folder in HiSTalk's preferences."
    return pytorch.why_unfit(settings.place) or pytorch.missing(settings.place)


def prepare_environment(context) -> None:
    """Let torch be found by the imports to come. Call it on the main thread before a job; it imports nothing.

    Raises:
        HiSTalkError: What `why_no_pytorch` says.
    """
    reason = why_no_pytorch(context)
    if reason:
        raise HiSTalkError(reason)
    settings = preferences(context)
    if settings and settings.place:
        pytorch.activate(settings.place)
        _activated.add(settings.place)


def clean_up() -> None:
    """Leave no install running and no folder of ours on sys.path; call it when unregistering."""
    if _running():
        _job.cancel(wait=5)
    while _activated:
        pytorch.deactivate(_activated.pop())


def _running() -> bool:
    return _job is not None and _job.poll() == "running"


def _install_folder() -> Path:
    return Path(bpy.utils.extension_path_user(ROOT, path="pytorch"))


def _sentence(layout, context, text: str, icon: str) -> None:
    """A label of as many lines as the window needs: Blender cuts off what is too long."""
    width = int(context.region.width / context.preferences.system.ui_scale / 7) - 8
    for number, line in enumerate(textwrap.wrap(text, max(width, 40))):
        layout.label(text=line, icon="BLANK1" if number else icon)


def _look_again(settings, context) -> None:
    pytorch.invalidate()


class HiSTalkPreferences(bpy.types.AddonPreferences):
    """What the user set for HiSTalk in Blender's preferences."""

    bl_idname = ROOT

    source: bpy.props.EnumProperty(
        name="PyTorch",
        items=[
            ("INSTALLED", "Install Here", "Let HiSTalk install PyTorch into a folder of its own"),
            ("FOLDER", "An Environment I Have", "Use the PyTorch of a virtual environment or site-packages folder"),
        ],
        update=_look_again,
    )
    folder: bpy.props.StringProperty(
        name="Environment",
        description="A virtual environment or a site-packages folder of the same Python version as Blender's",
        subtype="DIR_PATH",
        update=_look_again,
    )
    build: bpy.props.EnumProperty(
        name="Build",
        items=[
            ("CPU", "CPU", "Runs everywhere: 0.3 GB to download, 0.9 GB on disk"),
            ("CUDA", "CUDA", "For NVIDIA graphics cards: 2.5 GB to download, 5 GB on disk"),
            ("PIP", "As Pip Is Set Up", "Whatever your pip's own package index gives"),
        ],
    )

    warm_up: bpy.props.BoolProperty(
        name="Get Ready Early",
        description="Load PyTorch and the weights as soon as a head is selected in the HiSTalk tab, so that the first "
        "bake begins at once; takes 0.4 GB of memory",
        default=True,
    )

    @property
    def place(self) -> Path | None:
        """The folder that would be put on sys.path."""
        if self.source == "INSTALLED":
            return _install_folder()
        return pytorch.site_packages(bpy.path.abspath(self.folder)) if self.folder else None

    def draw(self, context) -> None:
        """What is found or missing, then the choice, then the buttons of that choice."""
        layout = self.layout
        reason = why_no_pytorch(context)
        if not _running():
            found = " and ".join(f"{name} {version}" for name, version in pytorch.versions(self.place).items())
            _sentence(layout, context, reason or f"{found} are ready.", "ERROR" if reason else "CHECKMARK")
        layout.row().prop(self, "source", expand=True)
        column = layout.column()
        column.use_property_split = True
        if self.source == "FOLDER":
            column.prop(self, "folder")
        else:
            column.enabled = not _running()
            column.prop(self, "build")
            self._draw_install(context)
        layout.prop(self, "warm_up")

    def _draw_install(self, context) -> None:
        row = self.layout.row()
        if _running():
            row.progress(factor=_job.progress, text="Installing PyTorch")
            row.operator(HISTALK_OT_cancel_install.bl_idname, icon="X")
        else:
            row.operator(HISTALK_OT_install_pytorch.bl_idname, icon="IMPORT")
            size = pytorch.record(_install_folder()).get("bytes")
            label = "Remove PyTorch" + (f" ({size / 1e9:.1f} GB)" if size else "")
            row.operator(HISTALK_OT_remove_pytorch.bl_idname, text=label, icon="TRASH")
            _sentence(self.layout, context, pytorch.sources(self.build), "WORLD")
            if reason := HISTALK_OT_install_pytorch.disabled_reason(context):
                _sentence(self.layout, context, reason, "INFO")
            if not (bpy.app.online_access or bpy.app.online_access_override):
                self.layout.prop(context.preferences.system, "use_online_access")
        if _job and _job.poll() != "done":
            box = self.layout.box().column(align=True)
            if _job.message:
                _sentence(box, context, _job.message, "INFO" if _job.poll() == "cancelled" else "ERROR")
            for line in list(_job.lines)[-8:]:
                box.label(text=line)


class HISTALK_OT_install_pytorch(Explained, bpy.types.Operator):
    """Download PyTorch and transformers into a folder of HiSTalk's own, in the background"""

    bl_idname = "histalk.install_pytorch"
    bl_label = "Install PyTorch"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """It needs the network, and the user's leave to use it."""
        if preferences(context) is None:
            return "HiSTalk is not installed as an extension: install its zip in Preferences › Get Extensions."
        if _running():
            return "PyTorch is being installed already: wait, or press Cancel."
        if not bpy.app.online_access:
            if bpy.app.online_access_override:
                return "Blender was started offline: start it without --offline-mode."
            return "Blender may not go online: tick Allow Online Access below, or in Preferences › System › Network."
        if pytorch.in_use(_install_folder()):
            return "PyTorch is in use: restart Blender first."
        return ""

    def execute(self, context) -> set[str]:
        """Start it; without a window also wait for its end."""
        global _job
        job = pytorch.Installation(_install_folder(), preferences(context).build)
        try:
            job.start()
        except HiSTalkError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _job = job
        if bpy.app.background:
            while _running():
                time.sleep(0.05)
            return self._finish()
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event) -> set[str]:
        """Show what pip says, and never keep an event from anyone else."""
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                if area.type in {"PREFERENCES", "VIEW_3D"}:
                    area.tag_redraw()
        if _running():
            return {"PASS_THROUGH"}
        self.cancel(context)
        return self._finish()

    def cancel(self, context) -> None:
        """The window was closed: the install goes on, and the preferences show it when they are opened again."""
        context.window_manager.event_timer_remove(self._timer)

    def _finish(self) -> set[str]:
        outcome = _job.poll()
        self.report({"ERROR"} if outcome == "failed" else {"INFO"}, _job.message)
        return {"FINISHED"} if outcome == "done" else {"CANCELLED"}


class HISTALK_OT_cancel_install(Explained, bpy.types.Operator):
    """Stop the install; what is downloaded is kept for the next try"""

    bl_idname = "histalk.cancel_install"
    bl_label = "Cancel"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """There must be one."""
        return "" if _running() else "No install is running."

    def execute(self, context) -> set[str]:
        """Stop pip; its files are cleared away in the background."""
        _job.cancel()
        return {"FINISHED"}


class HISTALK_OT_remove_pytorch(Explained, bpy.types.Operator):
    """Delete the PyTorch that HiSTalk installed, and its downloads"""

    bl_idname = "histalk.remove_pytorch"
    bl_label = "Remove PyTorch"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """Only our own folder, and only at rest."""
        if preferences(context) is None or not pytorch.traces(_install_folder()):
            return "HiSTalk has not installed PyTorch."
        if _running():
            return "PyTorch is being installed: press Cancel first."
        if pytorch.in_use(_install_folder()):
            return "PyTorch is in use: restart Blender first."
        return ""

    def execute(self, context) -> set[str]:
        """Remove the folder and what lies beside it."""
        global _job
        _job = None
        try:
            pytorch.remove(_install_folder())
        except HiSTalkError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, "PyTorch is removed.")
        return {"FINISHED"}


class HISTALK_OT_open_preferences(Explained, bpy.types.Operator):
    """Open HiSTalk's preferences, where PyTorch is installed"""

    bl_idname = "histalk.open_preferences"
    bl_label = "HiSTalk Preferences"

    @classmethod
    def disabled_reason(cls, context) -> str:
        """They need a window, and exist for extensions only."""
        if bpy.app.background:
            return "Blender has no window."
        if preferences(context) is None:
            return "HiSTalk is not installed as an extension: install its zip in Preferences › Get Extensions."
        return ""

    def execute(self, context) -> set[str]:
        """Show them, opened."""
        return bpy.ops.preferences.addon_show(module=ROOT)


CLASSES = (
    HiSTalkPreferences,
    HISTALK_OT_install_pytorch,
    HISTALK_OT_cancel_install,
    HISTALK_OT_remove_pytorch,
    HISTALK_OT_open_preferences,
)
