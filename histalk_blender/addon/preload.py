"""The network made ready in the background while the animator still chooses: a first bake is mostly waiting for it."""

from __future__ import annotations

import threading
from pathlib import Path

import bpy

from ..synthesis.engine import warm_up
from .preferences import preferences, prepare_environment, why_no_pytorch

_begun: set[tuple[Path | None, str]] = set()
_thread: threading.Thread | None = None


def begin(context, settings) -> None:
    """Make ready what a bake with these settings would take, once; cheap enough to be called by every redraw.

    Args:
        settings: a `HiSTalkSettings`.
    """
    weights = Path(bpy.path.abspath(settings.weights)) if settings.weights else None
    chosen = preferences(context)
    if (weights, settings.device) in _begun or bpy.app.background or (chosen and not chosen.warm_up):
        return
    if why_no_pytorch(context):
        return
    prepare_environment(context)
    start(weights, settings.device)


def start(weights: Path | None, device: str) -> threading.Thread:
    """Begin in a thread of its own, after what was begun before it."""
    global _thread
    _begun.add((weights, device))
    before = _thread

    def work() -> None:
        if before is not None:
            before.join()
        try:
            warm_up(weights, device)
        except Exception:  # whatever it is, the bake runs into it as well, and tells
            pass

    _thread = threading.Thread(target=work, name="HiSTalk warm-up", daemon=True)
    _thread.start()
    return _thread


def clean_up() -> None:
    """For unregistering: wait a little for what cannot be stopped. Blender's end does not depend on it."""
    global _thread
    if _thread is not None:
        _thread.join(2.0)
    _thread = None
    _begun.clear()
