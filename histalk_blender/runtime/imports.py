"""PyTorch's first import in a worker, so that Blender's window never waits for it."""

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

# Largest first; those that a build lacks are passed over. What they need is found by their own run paths.
LIBRARIES = ("libtorch_cpu", "libtorch_cuda", "libtorch_python")

loading = threading.RLock()  # held by whoever imports PyTorch or reads weights; others wait for what comes of it


def load_network() -> None:
    """Import torch without a pause of more than a few milliseconds for other threads.

    Two things would hold the interpreter, 0.1 to 0.2 s each: the system's loader, which `import` calls with the
    interpreter locked, and collections of garbage among the million objects that the imports make.
    """
    with uncollected():
        if "torch" not in sys.modules:
            _map_libraries()
        import torch  # noqa: F401


@contextmanager
def uncollected() -> Iterator[None]:
    """Imports within are not looked through for garbage, now or later; one thread at a time."""
    with loading:
        before, collecting = len(sys.modules), gc.isenabled()
        gc.disable()
        try:
            yield
            if len(sys.modules) > before:
                gc.freeze()
                atexit.register(gc.unfreeze)  # bpy waits forever at exit for its own frozen objects
        finally:
            if collecting:
                gc.enable()


def _map_libraries() -> None:
    """Let the loader do its work with the interpreter unlocked, as a call through ctypes is; `import` finds it done."""
    spec = importlib.util.find_spec("torch")
    if os.name != "posix" or spec is None or spec.origin is None:
        return  # Windows finds torch's libraries only by what torch's own import sets up
    loader = ctypes.CDLL(None).dlopen
    loader.restype, loader.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for name in LIBRARIES:
        for path in Path(spec.origin).parent.glob(f"lib/{name}.*"):
            loader(os.fsencode(path), os.RTLD_LAZY)
