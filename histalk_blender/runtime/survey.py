"""What of torch and transformers a folder holds, told without importing either."""

from __future__ import annotations

import importlib
import json
import re
import sys
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

# At least, and below. transformers 5 wants torch 2.6; up to its 5.14 the layers of wav2vec 2.0 gave tuples.
FITTING = {"torch": ("2.6", "3"), "transformers": ("5.16", "6")}
MARKER = "histalk.json"
INSTALL = "press Install PyTorch in HiSTalk's preferences"


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
    flaw = flaw_in(place)
    return f"{flaw}: choose another environment in HiSTalk's preferences." if flaw else ""


def flaw_in(place: Path) -> str:
    """What torch and transformers in one folder of modules lack to be imported, or ""."""
    return _survey((str(place),), _stamp(place))[0]


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
        version = found[name] = version_of(name, place)
        flaw = _foreign(place) if name == "torch" else ""
        if not flaw and not numbers(least) <= numbers(version) < numbers(below):
            flaw = f"{name} {version} in {place} is not from {least} up to below {below}"
        if flaw:
            return flaw, found
    return "", found


def version_of(name: str, place: Path) -> str:
    """The version that a package's metadata in this folder tells; "0" where there is none."""
    from importlib import metadata  # slow to import, and registering needs none of it

    return next((found.version for found in metadata.distributions(name=name, path=[str(place)])), "0")


def numbers(version: str) -> list[int]:
    """A version as numbers to compare."""
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


def record(folder: Path | None) -> dict:
    """What `Installation` noted in `folder` when it was done: build, python, versions, bytes; empty before."""
    try:
        return json.loads((folder / MARKER).read_text()) if folder else {}
    except (OSError, ValueError):
        return {}


def traces(folder: Path) -> bool:
    """Whether an install, whole or not, has left anything to remove."""
    return any(path.is_dir() and any(path.iterdir()) for path in (folder, *leftovers(folder)))


def leftovers(folder: Path) -> list[Path]:
    """Where an install of `folder` keeps what is not whole, the one before it, and downloads."""
    return [folder.with_name(folder.name + ending) for ending in (".part", ".old", ".cache")]
