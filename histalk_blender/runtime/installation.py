"""Installing PyTorch and transformers into a folder with pip, in the background."""

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
from .pytorch import deactivate, in_use
from .survey import INSTALL, MARKER, invalidate, leftovers, misfit


@dataclass(frozen=True)
class Build:
    """A build of torch that the user can choose."""

    index: str  # PyTorch's package index; "" = only that of pip
    tag: str  # of the version in that index
    download: float  # GB
    free: float  # GB that must be free on the disk


BUILDS = {
    "CPU": Build("https://download.pytorch.org/whl/cpu", "+cpu", 0.25, 2),
    "CUDA": Build("https://download.pytorch.org/whl/cu130", "+cu130", 2.4, 10),
    "PIP": Build("", "", 0.25, 2),
}


def requirements(build: str, platform: str = sys.platform) -> list[str]:
    """The packages of one of `BUILDS`, as arguments of pip.

    Only PyTorch's own index has versions with a tag, so the tag selects the build; as the index is an extra one, all
    other packages still come from PyPI. macOS has a single build, which is on PyPI. `PINS` are the versions of their
    dependencies.
    """
    import numpy

    chosen = BUILDS["PIP" if platform == "darwin" else build]
    index = ["--extra-index-url", chosen.index] if chosen.index else []
    return [*index, f"torch=={TORCH}{chosen.tag}", f"transformers=={TRANSFORMERS}", f"numpy=={numpy.__version__}"]


def sources(build: str, platform: str = sys.platform) -> str:
    """One sentence on which package indexes one of `BUILDS` trusts."""
    rest = "pip's default package index, or the one set in your pip's configuration"
    chosen = BUILDS["PIP" if platform == "darwin" else build]
    if not chosen.index:
        return f"All packages come from {rest}. Only the versions of PyTorch, transformers and NumPy are fixed."
    return (
        f"PyTorch comes from {chosen.index.split('/')[2]}, all other packages from {rest}. Versions are fixed; "
        "files are not checked against hashes."
    )


def remove(folder: Path) -> None:
    """Delete an installed folder and what an unfinished installation left next to it.

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
            folder.replace(old)  # in one step, so that an interrupted removal leaves no folder that looks complete
        for leftover in (old, part, cache):
            if leftover.exists():
                shutil.rmtree(leftover)
    except OSError as error:
        raise HiSTalkError(
            f"PyTorch cannot be removed ({error}): close the programs that use it, then try again."
        ) from error
    finally:
        invalidate()


class Installation:
    """Installs torch and transformers into a folder in the background: start, poll, cancel.

    pip fills FOLDER.part, which is renamed to FOLDER once it is complete. Until then downloads stay in FOLDER.cache, so
    that an interrupted installation resumes. Nothing is written anywhere else.

    Args:
        folder: where the modules go.
        build: one of `BUILDS`.

    lines: pip's last lines of output.
    message: one sentence on the result, at the end.
    """

    def __init__(self, folder: Path, build: str = "CPU"):
        self.folder = Path(folder)
        self.build = build
        self.lines: deque[str] = deque(maxlen=200)
        self.message = ""
        self._state = "running"
        self._part, self._old, self._cache = leftovers(self.folder)
        self._lock = Lock()
        self._process: subprocess.Popen | None = None
        self._cancelled = False
        self._downloaded = 0.0  # GB of complete files
        self._file, self._share = 0.0, 0.0  # GB of the current file, and the share of it that is downloaded

    def start(self) -> None:
        """Check that it can succeed, and start pip.

        Raises:
            HiSTalkError: there is no pip, too little disk space, or torch is in use from the same folder.
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
        """ "running", "done", "failed" or "cancelled"."""
        return self._state

    def cancel(self, wait: float = 0.0) -> None:
        """Kill pip and its children, then wait up to `wait` seconds until unfinished files are deleted."""
        with self._lock:
            self._cancelled = True
            if self._process and self._process.poll() is None:
                _kill(self._process)
        self._thread.join(wait)

    @property
    def progress(self) -> float:
        """From 0 to 1, by the GB downloaded so far of those that the build usually takes."""
        if self._state == "done":
            return 1.0
        return min((self._downloaded + self._file * self._share) / BUILDS[self.build].download, 1.0) * 0.9

    def _run(self, pip: Path, arguments: list[str]) -> None:
        outcome, scratch = "failed", None
        try:
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)
            # Elsewhere on Windows, where paths end at 260 characters and pip nests its folders.
            scratch = Path(tempfile.mkdtemp(prefix="histalk-", dir=None if os.name == "nt" else self._part))
            succeeded = self._run_pip(pip, arguments, scratch)
            shutil.rmtree(scratch)
            flaw = self._check() if succeeded else ""
            if self._cancelled:
                outcome, self.message = "cancelled", f"The installation was cancelled: {INSTALL} to resume it."
            elif not succeeded:
                self.message = self._failure()
            elif flaw:
                self.message = f"What pip installed does not work ({flaw}): fix that, then {INSTALL} again."
            else:
                self._move_in_place()
                outcome, self.message = "done", "PyTorch is installed."
        except OSError as error:
            self.message = f"PyTorch cannot be written to {self.folder} ({error}): fix that, then {INSTALL} again."
        except Exception as error:
            traceback.print_exc()
            self.message = (
                f"The installation stopped with an unexpected error ({error!r}): the console has the details."
            )
        finally:
            for leftover in (self._part, scratch):
                if leftover:
                    shutil.rmtree(leftover, ignore_errors=True)
            invalidate()
            self._state = outcome

    def _run_pip(self, pip: Path, arguments: list[str], scratch: Path) -> bool:
        """Run pip. Returns whether it succeeded."""
        arguments = [*user_settings(pip, scratch), *arguments]
        if BUILDS[self.build].index:
            pins = scratch / "pins.txt"
            pins.write_text(PINS)
            arguments += ["--constraint", str(pins)]
        return self._finish(lambda: start_install(pip, arguments, self._part, self._cache, scratch))

    def _finish(self, start: Callable[[], subprocess.Popen]) -> bool:
        """Start a child process that `cancel` can kill, and read its output. Returns whether it succeeded."""
        with self._lock:
            if self._cancelled:
                return False
            self._process = start()
        for line in self._process.stdout or ():
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
        return f"pip could not install PyTorch ({last.removeprefix('ERROR: ')}): fix that, then {INSTALL} again."

    def _check(self) -> str:
        """Why the new folder cannot be used although pip succeeded, or ""."""
        # Blender's own numpy is used. The metadata stays, as transformers reads it and Blender for Linux ships none.
        for unwanted in ("numpy", "numpy.libs", "bin"):
            shutil.rmtree(self._part / unwanted, ignore_errors=True)
        invalidate()
        flaw = misfit(self._part)
        if not flaw and not self._finish(lambda: start_trial(self._part)):
            flaw = self.lines[-1] if self.lines else "Python ended without output"
        return flaw

    def _move_in_place(self) -> None:
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
