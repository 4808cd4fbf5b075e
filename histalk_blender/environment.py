"""Where torch and transformers come from, as Blender has neither: a folder we fill, or an environment the user has."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from threading import Lock, Thread

from .errors import HiSTalkError

# At least, and below. transformers 5 wants torch 2.6; up to its 5.14 the layers of wav2vec 2.0 gave tuples.
FITTING = {"torch": ("2.6", "3"), "transformers": ("5.16", "6")}
MARKER = "histalk.json"
INSTALL = "press Install PyTorch in HiSTalk's preferences"


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
    PyPI, which is why the index is an extra one. macOS has one build only, and PyPI has it.
    """
    import numpy

    chosen = BUILDS["PIP" if platform == "darwin" else build]
    index = ["--extra-index-url", chosen.index] if chosen.index else []
    return [*index, f"torch==2.13.0{chosen.tag}", "transformers==5.23.0", f"numpy=={numpy.__version__}"]


def site_packages(folder: str | Path) -> Path:
    """Where the modules of `folder` lie, which is a virtual environment or already a site-packages folder."""
    folder = Path(folder).expanduser()
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    inside = [folder / "Lib" / "site-packages", *sorted(folder.glob("lib/python3*/site-packages"))]
    inside.sort(key=lambda path: path.parent.name != ours)
    return next((path for path in inside if path.is_dir()), folder)


def why_unfit(folder: str | Path) -> str:
    """One sentence on what keeps torch and transformers in `folder` from being used, or ""."""
    place = site_packages(folder)
    if not place.is_dir():
        return f"There is no folder {place}: choose a virtual environment or its site-packages folder."
    flaw = _survey((str(place),), _stamp(place))[0]
    return f"{flaw}: choose another environment in HiSTalk's preferences." if flaw else ""


def missing(folder: Path | None = None, installed: bool = False) -> str:
    """One sentence on what torch and transformers lack to be imported, or "". Imports neither; cheap enough to draw.

    Args:
        folder: Where to look besides sys.path.
        installed: `folder` is one that `Installation` fills: it counts only when that came to its end.
    """
    unfinished = installed and not record(folder)
    paths = (*sys.path, str(folder)) if folder and not unfinished and str(folder) not in sys.path else tuple(sys.path)
    flaw = _survey(paths, _stamp(folder))[0]
    if flaw and unfinished and traces(folder):
        return f"The last install of PyTorch stopped half-way: {INSTALL} to finish it."
    return f"{flaw}: {INSTALL}, or choose an environment there." if flaw else ""


def versions(folder: Path | None = None) -> dict[str, str]:
    """The versions of torch and transformers that would be imported from sys.path and then `folder`."""
    return _survey((*sys.path, *([str(folder)] if folder else [])), _stamp(folder))[1]


def invalidate() -> None:
    """Look anew at the next question."""
    importlib.invalidate_caches()
    _survey.cache_clear()


def _stamp(folder: Path | None) -> int:
    return folder.stat().st_mtime_ns if folder and folder.exists() else 0


@lru_cache(maxsize=16)
def _survey(paths: tuple[str, ...], stamp: int) -> tuple[str, dict[str, str]]:
    """The first flaw and the versions found; `stamp` only makes a changed folder a new question."""
    found = {}
    for name, (least, below) in FITTING.items():
        spec = PathFinder.find_spec(name, list(paths))
        if spec is None or spec.origin is None:
            where = f" in {paths[0]}" if len(paths) == 1 else ""
            return f"There is no {name}{where}", found
        place = Path(spec.origin).parents[1]
        version = found[name] = _version(name, place)
        flaw = _foreign(place) if name == "torch" else ""
        if not flaw and not _numbers(least) <= _numbers(version) < _numbers(below):
            flaw = f"{name} {version} in {place} is not from {least} up to below {below}"
        if flaw:
            return flaw, found
    return "", found


def _version(name: str, place: Path) -> str:
    from importlib import metadata  # slow to import, and registering needs none of it

    return next((found.version for found in metadata.distributions(name=name, path=[str(place)])), "0")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.split("+")[0])]


def _foreign(place: Path) -> str:
    """Why the compiled part of torch does not load here, told by its file's name, which is Python's own rule."""
    names = [path.name for path in (place / "torch").glob("_C.*") if path.suffix in {".so", ".pyd"}]
    if any(f"_C{suffix}" in names for suffix in EXTENSION_SUFFIXES):
        return ""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in names:
        built = re.search(r"cp(?:ython-)?(\d)(\d+)", name)
        if built and ".".join(built.groups()) != ours:
            return f"torch in {place} was built for Python {'.'.join(built.groups())}, but this is Python {ours}"
    return f"torch in {place} was not built for this system"


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


def record(folder: Path | None) -> dict:
    """What `Installation` noted in `folder` when it was done: build, python, versions, bytes; empty before."""
    try:
        return json.loads((folder / MARKER).read_text()) if folder else {}
    except (OSError, ValueError):
        return {}


def traces(folder: Path) -> bool:
    """Whether an install, whole or not, has left anything to remove."""
    return any(path.is_dir() and any(path.iterdir()) for path in (folder, *_leftovers(folder)))


def remove(folder: Path) -> None:
    """Delete an installed folder and whatever an unfinished install left beside it.

    Raises:
        HiSTalkError: torch is in use, or a file cannot be deleted.
    """
    if in_use(folder):
        raise HiSTalkError("PyTorch is in use: restart Blender, then press Remove PyTorch again.")
    deactivate(folder)
    part, old, cache = _leftovers(folder)
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


def _leftovers(folder: Path) -> list[Path]:
    return [folder.with_name(folder.name + ending) for ending in (".part", ".old", ".cache")]


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
        self._part, self._old, self._cache = _leftovers(self.folder)
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
        self._thread = Thread(target=self._run, args=(pip, requirements(self.build)), daemon=True)
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
            if self._cancelled:
                outcome, self.message = "cancelled", f"The install was cancelled: {INSTALL} to go on with it."
            elif succeeded:
                self._put_in_place()
                outcome, self.message = "done", "PyTorch is installed."
            else:
                self.message = self._failure()
        except OSError as error:
            self.message = f"PyTorch cannot be put into {self.folder} ({error}): mend that, then {INSTALL} again."
        finally:
            for leftover in (self._part, scratch):
                if leftover:
                    shutil.rmtree(leftover, ignore_errors=True)
            invalidate()
            self._state = outcome

    def _follow(self, pip: Path, arguments: list[str], scratch: Path) -> bool:
        bar = "raw" if _numbers(_version("pip", pip.parent)) >= [24, 1] else "off"
        command = [sys.executable, "-I", "-u", "-X", "utf8", str(pip), "install", *arguments]
        command += ["--target", str(self._part), "--cache-dir", str(self._cache), "--progress-bar", bar]
        command += ["--only-binary", ":all:", "--no-input", "--no-compile", "--disable-pip-version-check"]
        # The user's proxy and index settings count, but not those that send packages elsewhere.
        env = {key: value for key, value in os.environ.items() if key not in {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}}
        env |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"} | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
        group = {"start_new_session": True}  # so that what pip starts is killed with it
        if os.name == "nt":
            group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        with self._lock:
            if self._cancelled:
                return False
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=env, cwd=self._part, text=True, encoding="utf-8", errors="replace", **group,
            )  # fmt: skip
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

    def _put_in_place(self) -> None:
        # Blender's numpy is the one to use. pip's metadata stays: Blender for Linux ships none, and transformers asks.
        for unwanted in ("numpy", "numpy.libs", "bin"):
            shutil.rmtree(self._part / unwanted, ignore_errors=True)
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
