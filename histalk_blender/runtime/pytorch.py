"""Where torch and transformers come from, as Blender has neither: a folder we fill, or an environment the user has."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread

from ..errors import HiSTalkError
from .pins import PINS, TORCH, TRANSFORMERS
from .pip_child import find_pip, start_install, start_trial, user_settings
from .survey import (
    INSTALL,
    MARKER,
    flaw_in,
    invalidate,
    leftovers,
    missing,
    record,
    site_packages,
    traces,
    versions,
    why_unfit,
)

__all__ = [
    "BUILDS",
    "INSTALL",
    "MARKER",
    "Installation",
    "activate",
    "deactivate",
    "find_pip",
    "in_use",
    "invalidate",
    "missing",
    "record",
    "remove",
    "requirements",
    "site_packages",
    "sources",
    "traces",
    "versions",
    "why_unfit",
]


@dataclass(frozen=True)
class Build:
    """One way to get torch: PyTorch's own index, its version tag there, and GB to download and to have free."""

    index: str
    tag: str
    download: float
    free: float


BUILDS = {
    "CPU": Build("https://download.pytorch.org/whl/cpu", "+cpu", 0.25, 2),
    "CUDA": Build("https://download.pytorch.org/whl/cu130", "+cu130", 2.4, 10),
    "PIP": Build("", "", 0.25, 2),
}


def requirements(build: str, platform: str = sys.platform) -> list[str]:
    """pip's arguments for one of `BUILDS`.

    Only PyTorch's own index has versions with a tag, so the tag decides the build while all else still comes from
    PyPI, which is why the index is an extra one. macOS has one build only, and PyPI has it. `PINS` are the versions of
    what these bring along.
    """
    import numpy

    chosen = BUILDS["PIP" if platform == "darwin" else build]
    index = ["--extra-index-url", chosen.index] if chosen.index else []
    return [*index, f"torch=={TORCH}{chosen.tag}", f"transformers=={TRANSFORMERS}", f"numpy=={numpy.__version__}"]


def sources(build: str, platform: str = sys.platform) -> str:
    """One sentence on which package indexes one of `BUILDS` trusts."""
    rest = "pip's own package index, or from the one that your pip is set to"
    chosen = BUILDS["PIP" if platform == "darwin" else build]
    if not chosen.index:
        return f"All packages come from {rest}; only the versions of PyTorch, transformers and NumPy are fixed."
    return (
        f"PyTorch comes from {chosen.index.split('/')[2]}, all else from {rest}; versions are fixed, files are not checked "
        "by hash."
    )


def activate(folder: Path) -> None:
    """Let imports find what is in `folder`, after all that Blender and other add-ons have."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        invalidate()


def deactivate(folder: Path) -> None:
    """The inverse; what is already imported stays so."""
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
        invalidate()


def in_use(folder: Path) -> bool:
    """Whether torch has been imported from `folder`, whose files must then stay."""
    origin = getattr(sys.modules.get("torch"), "__file__", None)
    return bool(origin) and Path(origin).is_relative_to(folder)


def remove(folder: Path) -> None:
    """Delete an installed folder and whatever an unfinished install left beside it.

    Raises:
        HiSTalkError: torch is in use, or a file cannot be deleted.
    """
    if in_use(folder):
        raise HiSTalkError("PyTorch is in use: restart Blender, then press Remove PyTorch again.")
    deactivate(folder)
    part, old, cache = leftovers(folder)
    try:
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.replace(old)  # at once, so that a remove that is cut off leaves no folder that looks whole
        for leftover in (old, part, cache):
            if leftover.exists():
                shutil.rmtree(leftover)
    except OSError as error:
        raise HiSTalkError(f"PyTorch cannot be removed ({error}): close what uses it, then try again.") from error
    finally:
        invalidate()


class Installation:
    """torch and transformers going into a folder in the background: start, poll, cancel.

    pip fills FOLDER.part, which becomes FOLDER by a rename only when all is there. Downloads stay in FOLDER.cache until
    then, so an install that was cut off goes on with what it has, and nothing is left anywhere else.
    """

    def __init__(self, folder: Path, build: str = "CPU"):
        self.folder = Path(folder)
        self.build = build
        self.lines: deque[str] = deque(maxlen=200)  # pip's last output
        self.message = ""  # one sentence at the end
        self._state = "running"
        self._part, self._old, self._cache = leftovers(self.folder)
        self._lock = Lock()
        self._process: subprocess.Popen | None = None
        self._cancelled = False
        self._downloaded, self._file, self._share = 0.0, 0.0, 0.0  # GB of whole files and of the present one, its share

    def start(self) -> None:
        """Check what can be checked and begin.

        Raises:
            HiSTalkError: There is no pip, too little disk space, or torch is in use from the same folder.
        """
        pip = find_pip()
        home = next(path for path in self.folder.absolute().parents if path.exists())
        free, needed = shutil.disk_usage(home).free / 1e9, BUILDS[self.build].free
        if free < needed:
            raise HiSTalkError(f"PyTorch needs {needed} GB, but {home} has {free:.1f} GB: make room and try again.")
        if in_use(self.folder):
            raise HiSTalkError("PyTorch is in use: restart Blender, then press Install PyTorch again.")
        self._thread = Thread(target=self._run, args=(pip, requirements(self.build)), name="HiSTalk pip", daemon=True)
        self._thread.start()

    def poll(self) -> str:
        """running, done, failed or cancelled."""
        return self._state

    def cancel(self, wait: float = 0.0) -> None:
        """Kill pip and all that it started; then wait up to so many seconds until nothing half-done is left."""
        with self._lock:
            self._cancelled = True
            if self._process and self._process.poll() is None:
                _kill(self._process)
        self._thread.join(wait)

    @property
    def progress(self) -> float:
        """From 0 to 1, by what is downloaded of what the build usually takes."""
        if self._state == "done":
            return 1.0
        return min((self._downloaded + self._file * self._share) / BUILDS[self.build].download, 1.0) * 0.9

    def _run(self, pip: Path, arguments: list[str]) -> None:
        outcome, scratch = "failed", None
        try:
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)
            # Not inside ours on Windows, whose 260 characters a path have no room for pip's folders within folders.
            scratch = Path(tempfile.mkdtemp(prefix="histalk-", dir=None if os.name == "nt" else self._part))
            succeeded = self._follow(pip, arguments, scratch)
            shutil.rmtree(scratch)
            flaw = self._flaw() if succeeded else ""
            if self._cancelled:
                outcome, self.message = "cancelled", f"The install was cancelled: {INSTALL} to go on with it."
            elif not succeeded:
                self.message = self._failure()
            elif flaw:
                self.message = f"What pip installed does not work ({flaw}): fix that, then {INSTALL} again."
            else:
                self._put_in_place()
                outcome, self.message = "done", "PyTorch is installed."
        except OSError as error:
            self.message = f"PyTorch cannot be put into {self.folder} ({error}): fix that, then {INSTALL} again."
        except Exception as error:
            traceback.print_exc()
            self.message = f"The install ended by an error of HiSTalk's own ({error!r}): the console has the details."
        finally:
            for leftover in (self._part, scratch):
                if leftover:
                    shutil.rmtree(leftover, ignore_errors=True)
            invalidate()
            self._state = outcome

    def _follow(self, pip: Path, arguments: list[str], scratch: Path) -> bool:
        """Let pip install. Returns whether it ended well."""
        arguments = [*user_settings(pip, scratch), *arguments]
        if BUILDS[self.build].index:
            pins = scratch / "pins.txt"
            pins.write_text(PINS)
            arguments += ["--constraint", str(pins)]
        return self._wait(lambda: start_install(pip, arguments, self._part, self._cache, scratch))

    def _wait(self, start: Callable[[], subprocess.Popen]) -> bool:
        """Start a child that `cancel` can kill, and read what it says. Returns whether it ended well."""
        with self._lock:
            if self._cancelled:
                return False
            self._process = start()
        for line in self._process.stdout:
            self._read(line.strip())
        return self._process.wait() == 0

    def _read(self, line: str) -> None:
        if share := re.fullmatch(r"Progress (\d+) of (\d+)", line):
            self._share = int(share[1]) / max(int(share[2]), 1)
            return
        if size := re.search(r"(?:Downloading|Using cached) \S+ \(([\d.]+) (kB|MB|GB)\)", line):
            self._downloaded += self._file
            self._file, self._share = float(size[1]) / {"kB": 1e6, "MB": 1e3, "GB": 1}[size[2]], 0.0
        if line:
            self.lines.append(line)

    def _failure(self) -> str:
        last = ([line for line in self.lines if line.startswith("ERROR: ")] or [*self.lines] or ["no output"])[-1]
        if "No matching distribution" in last and any("Retrying" in line for line in self.lines):
            return f"The package index cannot be reached: check the connection, then {INSTALL} again."
        return f"pip could not install PyTorch ({last.removeprefix('ERROR: ')}): mend that, then {INSTALL} again."

    def _flaw(self) -> str:
        """What keeps the new folder from being used, though pip ended well."""
        # Blender's numpy is the one to use. pip's metadata stays: Blender for Linux ships none, and transformers asks.
        for unwanted in ("numpy", "numpy.libs", "bin"):
            shutil.rmtree(self._part / unwanted, ignore_errors=True)
        invalidate()
        flaw = flaw_in(self._part)
        if not flaw and not self._wait(lambda: start_trial(self._part)):
            flaw = self.lines[-1] if self.lines else "Python ended at once"
        return flaw

    def _put_in_place(self) -> None:
        from importlib import metadata

        found = {dist.name: dist.version for dist in metadata.distributions(path=[str(self._part)])}
        size = sum(path.stat().st_size for path in self._part.rglob("*") if path.is_file())
        note = {"build": self.build, "python": sys.version.split()[0], "bytes": size, "versions": found}
        draft = self._part / f"{MARKER}.draft"
        draft.write_text(json.dumps(note, indent=1))
        draft.replace(self._part / MARKER)
        shutil.rmtree(self._old, ignore_errors=True)
        if self.folder.exists():
            self.folder.replace(self._old)
        try:
            self._part.replace(self.folder)
        except OSError:
            if self._old.exists():
                self._old.replace(self.folder)
            raise
        for leftover in (self._old, self._cache):
            shutil.rmtree(leftover, ignore_errors=True)


def _kill(process: subprocess.Popen) -> None:
    if os.name == "nt":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW)
    else:
        os.killpg(process.pid, signal.SIGKILL)
