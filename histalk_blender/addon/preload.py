"""PyTorch and the weights loaded in the background while the animator still chooses: a first bake starts sooner."""

from __future__ import annotations

import threading
from pathlib import Path

import bpy

from ..bake.arkit_rig import key_names
from ..bake.geometry import recognised
from ..errors import HiSTalkError
from ..head.arkit_names import match_names
from ..synthesis.engine import preload_model
from .environment import Environment, preferences


class Preloader:
    """Loads each choice of weights and device once, one after the other.

    thread: the last one started, or None.
    """

    def __init__(self, environment: Environment):
        self.thread: threading.Thread | None = None
        self._environment = environment
        self._started: set[tuple[Path | None, str]] = set()

    def consider(self, context, obj) -> None:
        """Load what a bake of this object would need, where it is a head. Cheap enough to be called twice a second.

        Args:
            obj: any object, or None.
        """
        if obj is None or obj.type != "MESH":
            return
        settings, chosen = obj.histalk, preferences(context)
        weights = Path(bpy.path.abspath(settings.weights)) if settings.weights else None
        if (weights, settings.device) in self._started or (chosen and not chosen.preload_model):
            return
        if self._environment.blocking_reason(context) or not _is_head(obj):
            return
        self._environment.activate(context)
        self.start(weights, settings.device)

    def start(self, weights: Path | None, device: str) -> threading.Thread:
        """Load them in a thread, after those before."""
        self._started.add((weights, device))
        before = self.thread

        def work() -> None:
            if before is not None:
                before.join()
            try:
                preload_model(weights, device)
            except Exception:  # the bake will raise the same, and report it
                pass

        self.thread = threading.Thread(target=work, name="HiSTalk preload", daemon=True)
        self.thread.start()
        return self.thread

    def close(self) -> None:
        """Wait a little for what cannot be stopped. Blender's end does not depend on it."""
        if self.thread is not None:
            self.thread.join(2.0)


def _is_head(obj) -> bool:
    try:
        return bool(recognised(obj) or match_names(key_names(obj)))
    except HiSTalkError:
        return False
