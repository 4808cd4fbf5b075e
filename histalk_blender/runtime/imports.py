"""PyTorch's first import in a worker thread, without a pause of Blender's window."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Largest first; a build without one of them is fine. Their own run paths lead to what they need.
LIBRARIES = ("libtorch_cpu", "libtorch_cuda", "libtorch_python")

import_lock = (
    threading.RLock()
)  # held while PyTorch is imported or weights are read: another thread waits for the result


def import_torch() -> None:
    """Import torch without a pause of more than a few milliseconds for other threads.

    Two things would hold the interpreter for 0.1 to 0.2 s each: the system's loader, which `import` calls with the
    interpreter locked, and garbage collections among the million objects that the imports create.
    """
    with gc_paused():
        if "torch" not in sys.modules:
            _preload_libraries()
        import torch  # noqa: F401


@contextmanager
def gc_paused() -> Iterator[None]:
    """Exempt what is imported within from garbage collection, now and later; one thread at a time."""
    with import_lock:
        before, enabled = len(sys.modules), gc.isenabled()
        gc.disable()
        try:
            yield
            if len(sys.modules) > before:
                gc.freeze()
                atexit.register(gc.unfreeze)  # bpy waits forever at exit for its own frozen objects
        finally:
            if enabled:
                gc.enable()


def _preload_libraries() -> None:
    """Load torch's libraries through ctypes, which unlocks the interpreter, before `import` needs them."""
    spec = importlib.util.find_spec("torch")
    if os.name != "posix" or spec is None or spec.origin is None:
        return  # Windows finds torch's libraries only by what torch's own import sets up
    loader = ctypes.CDLL(None).dlopen
    loader.restype, loader.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for name in LIBRARIES:
        for path in Path(spec.origin).parent.glob(f"lib/{name}.*"):
            loader(os.fsencode(path), os.RTLD_LAZY)
