"""What every Python child runs first: it finds modules where its parent did, and ends with it.

Run by its path and with `python -I`, see `children`: so nothing is imported here but Python's own library.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
ORPHANED = 3  # exit code of a child whose parent is gone


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent has: whose end closes the pipe that is our standard input.

    On Linux the kernel sees to it as well, even while a library holds the interpreter for minutes.
    """
    leash = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    threading.Thread(target=_watch, args=(leash,), name="parent watch", daemon=True).start()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            _end()


def _watch(leash: int) -> None:
    try:
        while os.read(leash, 1):
            pass
    except OSError:
        pass
    _end()


def _end() -> None:
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with what it started
    os._exit(ORPHANED)


def _find_modules(paths: list[str]) -> None:
    """Search the parent's paths after Python's own library, which nothing in them may stand in for."""
    libraries = [i for i, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages"))]
    first = libraries[0] if libraries else len(sys.path)
    sys.path[first:first] = [path for path in paths if path not in sys.path]


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    import json
    import runpy

    told = json.loads(sys.argv[1])
    end_with_parent(told["parent"])
    _find_modules(told["paths"])
    target, sys.argv = sys.argv[2], sys.argv[2:]
    if told["package"]:
        _load_package(told["package"], told["folder"])
        runpy.run_module(f"{told['package']}.{target}", run_name="__main__")
    else:
        runpy.run_path(target, run_name="__main__")


def _load_package(name: str, folder: str) -> None:
    """Load our package by its place, so that what lies beside it is not found, under its name in the parent."""
    import importlib.util
    import types

    above = name.split(".")[:-1]
    for count in range(1, len(above) + 1):  # of an extension: bl_ext.REPOSITORY.ID
        around = sys.modules[".".join(above[:count])] = types.ModuleType(".".join(above[:count]))
        around.__path__ = []
    init = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[folder])
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _main()
