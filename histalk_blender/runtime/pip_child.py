"""pip as a child process: of the user's configuration, only where packages come from counts."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
from pathlib import Path

from ..errors import HiSTalkError
from . import processes
from .survey import numbers, version_of

# Environment variables that pip needs to run and to reach an index. Others may redirect the installation.
KEPT = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "USERNAME",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMDATA",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "LANG",
    "LANGUAGE",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
}
# Options taken from pip's configuration files and PIP_ variables: where packages come from, and how they are reached.
SWITCHES = {"no-index"}
LISTS = {"extra-index-url", "find-links", "trusted-host"}
SETTINGS = {"index-url", "proxy", "cert", "client-cert", "timeout", "retries"} | LISTS | SWITCHES
PIPED = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace", "encoding": "utf-8"}
# A process group of its own, so that its children are killed with it.
if os.name == "nt":
    PIPED |= {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
else:
    PIPED |= {"start_new_session": True}
HERE = {"_PIP_RUNNING_IN_SUBPROCESS": "1"}  # or pip continues in the interpreter that its configuration may name


def find_pip() -> Path:
    """The path of a pip that Python can run: an installed one, else the wheel that ships with Python.

    Raises:
        HiSTalkError: there is none.
    """
    spec = importlib.util.find_spec("pip")
    if spec and spec.origin:
        return Path(spec.origin).parent
    spec = importlib.util.find_spec("ensurepip")
    wheels = sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl")) if spec and spec.origin else []
    if not wheels:
        raise HiSTalkError("This Blender's Python has no pip: choose an existing environment in HiSTalk's preferences.")
    return wheels[-1] / "pip"


def start_install(pip: Path, requirements: list[str], target: Path, cache: Path, scratch: Path) -> subprocess.Popen:
    """Start pip installing into `target`; its output and errors are the process's stdout.

    Args:
        pip: from `find_pip`.
        requirements: pip's arguments, with `user_settings`.
        cache: for downloads.
        scratch: for temporary files.

    Raises:
        OSError: it cannot be started.
    """
    bar = "raw" if numbers(version_of("pip", pip.parent)) >= [24, 1] else "off"
    command = ["install", "--isolated", *requirements]
    command += ["--target", str(target), "--cache-dir", str(cache), "--progress-bar", bar]
    command += ["--only-binary", ":all:", "--no-input", "--no-compile", "--disable-pip-version-check"]
    env = _environment(scratch) | HERE | {"PIP_CONFIG_FILE": os.devnull}
    return processes.start(processes.script_command(pip, *command, inherit_paths=False), cwd=target, env=env, **PIPED)


def user_settings(pip: Path, scratch: Path) -> list[str]:
    """Options for what the user has set of `SETTINGS`, in pip's configuration files or PIP_ variables."""
    names = {"PIP_" + name.upper().replace("-", "_") for name in SETTINGS} | {"PIP_CONFIG_FILE"}
    env = _environment(scratch) | HERE | {name: os.environ[name] for name in names if os.environ.get(name)}
    command = processes.script_command(pip, "config", "list", "--log", os.devnull, inherit_paths=False)
    try:
        output = processes.run(
            command, timeout=60, env=env, cwd=scratch, text=True, encoding="utf-8", errors="replace"
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # later ones override earlier ones
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(.+)$", output, re.MULTILINE):
            if name in SETTINGS:
                found[name] = ast.literal_eval(value)
    options = []
    for name, value in sorted(found.items()):
        if name in SWITCHES:
            options += [f"--{name}"] if value.strip().lower() in {"1", "true", "yes", "on", "y", "t"} else []
        else:
            options += [part for item in (value.split() if name in LISTS else [value]) for part in (f"--{name}", item)]
    return options


def _environment(scratch: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key.upper() in KEPT or key.upper().startswith("LC_")}
    return env | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))


def start_trial(folder: Path) -> subprocess.Popen:
    """Start a Python that imports the torch and transformers of `folder`; its last line of output says why it fails.

    Raises:
        OSError: it cannot be started.
    """
    command = processes.script_command(Path(__file__).with_name("try_pytorch.py"), str(folder), paths=[folder])
    return processes.start(command, **PIPED)
