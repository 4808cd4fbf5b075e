"""The one way in which we start other processes.

None of them runs what lies in the folder that the user works in, or what the environment names for Python: a folder of
sounds may come from anywhere. All end with the process that started them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[1]  # of the package
START = Path(__file__).with_name("child_start.py")
HIDDEN = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package, such as "batch.pool_child", in a Python of its own."""
    return [*_python(__package__.rpartition(".")[0], _module_paths()), module, *arguments]


def script_command(script: Path, *arguments: str, paths: Iterable[str | Path] = (), ours: bool = True) -> list[str]:
    """The command that runs a script, or a folder's __main__.py, in a Python of its own.

    Args:
        script: its absolute path.
        paths: where it finds modules besides those of Python itself.
        ours: after them, it also finds them where we do.
    """
    return [*_python("", [*paths, *(_module_paths() if ours else ())]), str(script), *arguments]


def _python(package: str, paths: Iterable[str | Path]) -> list[str]:
    told = {"parent": os.getpid(), "package": package, "folder": str(FOLDER), "paths": [*map(str, paths)]}
    return [sys.executable, "-I", "-u", "-X", "utf8", str(START), json.dumps(told)]


def _module_paths() -> list[str]:
    """Where we find modules, but for the folder we work in, and for Blender's scripts, which its module adds itself."""
    bpy = sys.modules.get("bpy")
    scripts = [Path(path) for path in bpy.utils.script_paths()] if bpy else []
    try:
        here = os.stat(".")
    except OSError:
        here = None
    found = []
    for path in sys.path:
        if not os.path.isabs(path) or any(Path(path).is_relative_to(folder) for folder in scripts):
            continue
        try:
            if here is None or not os.path.samestat(os.stat(path), here):
                found.append(path)
        except OSError:
            continue
    return found


def clean_environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """Ours, without what sends a Python elsewhere."""
    return {key: value for key, value in os.environ.items() if not key.upper().startswith("PYTHON")} | dict(more)


def start(command: list[str], **options) -> subprocess.Popen:
    """Start a child that ends with us, if it calls `child_start.end_with_parent`, as Python children do.

    Keep what is returned for as long as the child shall live. The thread that calls this must outlive it too.

    Args:
        options: of `subprocess.Popen`; its folder and environment are safe ones unless they are named here.
    """
    return subprocess.Popen(command, stdin=subprocess.PIPE, **_defaults() | options)


def run(command: list[str], timeout: float | None = None, **options) -> subprocess.CompletedProcess:
    """Wait for a child's end, and catch what it prints. As `start`.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer.
    """
    leash, held = os.pipe()
    try:
        return subprocess.run(command, stdin=leash, capture_output=True, timeout=timeout, **_defaults() | options)
    finally:
        os.close(leash)
        os.close(held)


def _defaults() -> dict:
    return {"cwd": sys.prefix, "env": clean_environment()} | HIDDEN


def find_tool(name: str) -> str | None:
    """A program's absolute path by PATH, in which the folder that we work in does not count, as on Windows it would."""
    endings = os.environ.get("PATHEXT", ".EXE").split(os.pathsep) if os.name == "nt" else [""]
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for ending in endings if os.path.isabs(folder) else ():
            path = os.path.join(folder, name + ending)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return None


def run_tool(
    name: str, *arguments: str, text: bool = False, timeout: float | None = None
) -> subprocess.CompletedProcess:
    """Run another program that `find_tool` finds, and catch what it prints.

    Raises:
        OSError: it is not installed, or cannot be started.
        subprocess.TimeoutExpired: it took longer.
    """
    tool = find_tool(name)
    if tool is None:
        raise FileNotFoundError(f"{name} is not installed.")
    options = {"text": True, "errors": "replace"} if text else {}
    return subprocess.run(
        [tool, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **_defaults() | options
    )
