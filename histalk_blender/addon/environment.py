"""The PyTorch that Blender uses, as the preferences choose it: whether it is there, and its folder on sys.path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ..errors import HiSTalkError
from ..runtime import pytorch, survey
from ..runtime.installation import Installation

if TYPE_CHECKING:
    from .preferences import HiSTalkPreferences

# Blender knows the extension as bl_ext.REPO.histalk_blender; only under that name are there preferences.
ROOT = __package__.removesuffix(".histalk_blender.addon")


def preferences(context) -> HiSTalkPreferences | None:
    """The extension's preferences, or None where HiSTalk is not loaded as an extension."""
    addon = context.preferences.addons.get(ROOT)
    return addon.preferences if addon else None


def install_folder() -> Path:
    """Where HiSTalk installs PyTorch: in the extension's own folder of user data."""
    return Path(bpy.utils.extension_path_user(ROOT, path="pytorch"))


class Environment:
    """Part of the session.

    installation: the running installation of PyTorch, or the last one since the add-on was enabled.
    """

    def __init__(self) -> None:
        self.installation: Installation | None = None
        self._activated: set[Path] = set()
        survey.invalidate()  # what an earlier session found may have changed

    @property
    def installing(self) -> bool:
        """Whether an installation is running."""
        return self.installation is not None and self.installation.poll() == "running"

    def blocking_reason(self, context) -> str:
        """Why PyTorch cannot be used, with the next click, or "". Cheap enough to draw."""
        if self.installing:
            return "PyTorch is being installed: HiSTalk's preferences show the progress."
        settings = preferences(context)
        if settings is None:
            return survey.missing_reason()
        if settings.source == "INSTALLED":
            return survey.missing_reason(settings.place, installed=True)
        if not settings.folder:
            return survey.missing_reason() and "No environment is chosen: choose its folder in HiSTalk's preferences."
        return survey.unfit_reason(settings.place) or survey.missing_reason(settings.place)

    def activate(self, context) -> None:
        """Put the chosen folder on sys.path. Call it on the main thread before a job; it imports nothing.

        Raises:
            HiSTalkError: there is a `blocking_reason`.
        """
        reason = self.blocking_reason(context)
        if reason:
            raise HiSTalkError(reason)
        settings = preferences(context)
        if settings and settings.place:
            pytorch.activate(settings.place)
            self._activated.add(settings.place)

    def close(self, wait: float) -> None:
        """Cancel a running installation, which has `wait` seconds to clean up, and restore sys.path."""
        if self.installing:
            self.installation.cancel(wait)
        while self._activated:
            pytorch.deactivate(self._activated.pop())
