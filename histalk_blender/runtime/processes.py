"""How HiSTalk starts other processes.

A child imports nothing from the current folder and ignores `PYTHON*` variables, as a folder of recordings may come from
anywhere. Every child ends with the process that started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = __name__.rsplit(".", 2)[0]  # in an extension: bl_ext.REPOSITORY.ID.histalk_blender
PACKAGE_FOLDER = Path(__file__).parents[1]
START_SCRIPT = Path(__file__).with_name("process_start.py")
NO_WINDOW = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package, such as "batch.worker_process", in a new Python."""
    return [*_python_command(PACKAGE, _module_paths()), module, *arguments]


def script_command(
    script: Path, *arguments: str, paths: Iterable[str | Path] = (), inherit_paths: bool = True
) -> list[str]:
    """The command that runs a script, or a folder's __main__.py, in a new Python.

    Args:
        script: its absolute path.
        arguments: of the script.
        paths: where it finds modules besides Python's standard library.
        inherit_paths: whether it also finds modules where this process does, after `paths`.
    """
    return [*_python_command("", [*paths, *(_module_paths() if inherit_paths else ())]), str(script), *arguments]


def _python_command(package: str, paths: Iterable[str | Path]) -> list[str]:
    start = {"parent": os.getpid(), "package": package, "folder": str(PACKAGE_FOLDER), "paths": [*map(str, paths)]}
    return [sys.executable, "-I", "-u", "-X", "utf8", str(START_SCRIPT), json.dumps(start)]


def _module_paths() -> list[str]:
    """sys.path without the current folder, and without Blender's scripts, which its module adds itself."""
    bpy = sys.modules.get("bpy")
    scripts = [Path(path) for path in bpy.utils.script_paths()] if bpy else []
    try:
        current = os.stat(".")
    except OSError:
        current = None
    found = []
    for path in sys.path:
        if not os.path.isabs(path) or any(Path(path).is_relative_to(folder) for folder in scripts):
            continue
        try:
            if current is None or not os.path.samestat(os.stat(path), current):
                found.append(path)
        except OSError:
            continue
    return found


def clean_environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """This process's environment without `PYTHON*` variables, and with `more`."""
    return {key: value for key, value in os.environ.items() if not key.upper().startswith("PYTHON")} | dict(more)


def start(command: list[str], **options) -> subprocess.Popen:
    """Start a child that ends with this process, if it calls `process_start.end_with_parent`, as Python children do.

    Keep the returned object for as long as the child shall live. The calling thread must outlive the child too.

    Args:
        command: program and arguments.
        options: of `subprocess.Popen`; folder and environment are safe ones unless given here.
    """
    return subprocess.Popen(command, stdin=subprocess.PIPE, **_defaults() | options)


def run(command: list[str], timeout: float | None = None, **options) -> subprocess.CompletedProcess:
    """Run a child to its end and capture its output; see `start`.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer than `timeout` seconds.
    """
    read_end, write_end = os.pipe()  # the child ends when the write end is closed, as it is if this process dies
    try:
        return subprocess.run(command, stdin=read_end, capture_output=True, timeout=timeout, **_defaults() | options)
    finally:
        os.close(read_end)
        os.close(write_end)


def _defaults() -> dict:
    return {"cwd": sys.prefix, "env": clean_environment()} | NO_WINDOW


def find_tool(name: str) -> str | None:
    """A program's absolute path from PATH, ignoring the current folder, which Windows would search first."""
    suffixes = os.environ.get("PATHEXT", ".EXE").split(os.pathsep) if os.name == "nt" else [""]
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for suffix in suffixes if os.path.isabs(folder) else ():
            path = os.path.join(folder, name + suffix)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return None


def run_tool(
    name: str, *arguments: str, text: bool = False, timeout: float | None = None
) -> subprocess.CompletedProcess:
    """Run a program that `find_tool` finds, and capture its output.

    Raises:
        OSError: it is not installed, or cannot be started.
        subprocess.TimeoutExpired: it took longer than `timeout` seconds.
    """
    tool = find_tool(name)
    if tool is None:
        raise FileNotFoundError(f"{name} is not installed.")
    options = {"text": True, "errors": "replace"} if text else {}
    return subprocess.run(
        [tool, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **_defaults() | options
    )
