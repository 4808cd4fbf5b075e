"""pip as a child that installs what we name, where we name it; of the user's settings only the way to packages counts."""

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

# What pip needs to run and to reach an index. Anything else that is set may send packages elsewhere, or nowhere.
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
# Of the user's pip, its files and its PIP_ variables: where packages come from, and how they are reached.
SWITCHES = {"no-index"}
LISTS = {"extra-index-url", "find-links", "trusted-host"}
SETTINGS = {"index-url", "proxy", "cert", "client-cert", "timeout", "retries"} | LISTS | SWITCHES
SPOKEN = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "errors": "replace",
    "encoding": "utf-8",
}
# A group of its own, so that what it starts is killed with it.
if os.name == "nt":
    SPOKEN |= {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
else:
    SPOKEN |= {"start_new_session": True}
HERE = {"_PIP_RUNNING_IN_SUBPROCESS": "1"}  # or pip hands over to the interpreter that a setting may name


def find_pip() -> Path:
    """A pip that Python can run by its path: an installed one, else the wheel that ships with Python itself.

    Raises:
        HiSTalkError: There is none.
    """
    spec = importlib.util.find_spec("pip")
    if spec and spec.origin:
        return Path(spec.origin).parent
    spec = importlib.util.find_spec("ensurepip")
    wheels = sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl")) if spec and spec.origin else []
    if not wheels:
        raise HiSTalkError("This Blender's Python has no pip: choose an environment you have in HiSTalk's preferences.")
    return wheels[-1] / "pip"


def start_install(pip: Path, requirements: list[str], target: Path, cache: Path, scratch: Path) -> subprocess.Popen:
    """pip installing into `target`; its output, errors too, comes by the process's stdout.

    Args:
        requirements: pip's arguments, with `user_settings`.
        scratch: for its temporary files.

    Raises:
        OSError: it cannot be started.
    """
    bar = "raw" if numbers(version_of("pip", pip.parent)) >= [24, 1] else "off"
    command = ["install", "--isolated", *requirements]
    command += ["--target", str(target), "--cache-dir", str(cache), "--progress-bar", bar]
    command += ["--only-binary", ":all:", "--no-input", "--no-compile", "--disable-pip-version-check"]
    env = _environment(scratch) | HERE | {"PIP_CONFIG_FILE": os.devnull}
    return processes.start(processes.script_command(pip, *command, ours=False), cwd=target, env=env, **SPOKEN)


def user_settings(pip: Path, scratch: Path) -> list[str]:
    """Those of `SETTINGS` that the user has made, in pip's files or by PIP_ variables, as pip's options."""
    names = {"PIP_" + name.upper().replace("-", "_") for name in SETTINGS} | {"PIP_CONFIG_FILE"}
    env = _environment(scratch) | HERE | {name: os.environ[name] for name in names if os.environ.get(name)}
    command = processes.script_command(pip, "config", "list", "--log", os.devnull, ours=False)
    try:
        said = processes.run(
            command, timeout=60, env=env, cwd=scratch, text=True, encoding="utf-8", errors="replace"
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # each before what it gives way to
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(.+)$", said, re.MULTILINE):
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
    """A Python that imports the torch and transformers of `folder`; where that fails, its last line of output says why.

    Raises:
        OSError: it cannot be started.
    """
    command = processes.script_command(Path(__file__).with_name("try_pytorch.py"), str(folder), paths=[folder])
    return processes.start(command, **SPOKEN)
