"""The first code of every Python child: it finds modules where its parent does, and ends with it.

Run by path and with `python -I` (see `processes`), so it imports only Python's standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
ORPHANED = 3  # exit code of a child whose parent is gone


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent has ended.

    Standard input is a pipe from the parent, which closes with it. On Linux the kernel sends a signal as well, even
    while a library holds the interpreter for minutes.

    Args:
        parent: its process id.
    """
    pipe = os.dup(0)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    threading.Thread(target=_wait_for_close, args=(pipe,), name="parent watch", daemon=True).start()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            _end()


def _wait_for_close(pipe: int) -> None:
    try:
        while os.read(pipe, 1):
            pass
    except OSError:
        pass
    _end()


def _end() -> None:
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with everything it started
    os._exit(ORPHANED)


def _add_paths(paths: list[str]) -> None:
    """Search the parent's paths after Python's standard library, so that nothing in them can replace it."""
    libraries = [i for i, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages"))]
    first = libraries[0] if libraries else len(sys.path)
    sys.path[first:first] = [path for path in paths if path not in sys.path]


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    import json
    import runpy

    start = json.loads(sys.argv[1])  # as `processes` wrote it
    end_with_parent(start["parent"])
    _add_paths(start["paths"])
    target, sys.argv = sys.argv[2], sys.argv[2:]
    if start["package"]:
        _load_package(start["package"], start["folder"])
        runpy.run_module(f"{start['package']}.{target}", run_name="__main__")
    else:
        runpy.run_path(target, run_name="__main__")


def _load_package(name: str, folder: str) -> None:
    """Load this package from its folder under its name in the parent; what lies beside it is not put on the path."""
    import importlib.util
    import types

    above = name.split(".")[:-1]
    for count in range(1, len(above) + 1):  # in an extension: bl_ext.REPOSITORY.ID
        parent = sys.modules[".".join(above[:count])] = types.ModuleType(".".join(above[:count]))
        parent.__path__ = []
    init = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[folder])
    assert spec and spec.loader
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _main()
