"""Which torch and transformers a folder holds, found without importing them."""

from __future__ import annotations

import importlib
import json
import re
import sys
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

# From, and below. transformers 5 needs torch 2.6; until 5.14 its layers of wav2vec 2.0 returned tuples.
SUPPORTED = {"torch": ("2.6", "3"), "transformers": ("5.16", "6")}
MARKER = "histalk.json"
INSTALL = "press Install PyTorch in HiSTalk's preferences"


def site_packages(folder: str | Path) -> Path:
    """The folder with the modules of a virtual environment, or `folder` itself where it is one."""
    folder = Path(folder).expanduser()
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    inside = [folder / "Lib" / "site-packages", *sorted(folder.glob("lib/python3*/site-packages"))]
    inside.sort(key=lambda path: path.parent.name != ours)
    return next((path for path in inside if path.is_dir()), folder)


def unfit_reason(folder: str | Path) -> str:
    """One sentence on why torch and transformers in `folder` cannot be used, or ""."""
    place = site_packages(folder)
    if not place.is_dir():
        return f"The folder {place} does not exist: choose a virtual environment or its site-packages folder."
    flaw = misfit(place)
    return f"{flaw}: choose another environment in HiSTalk's preferences." if flaw else ""


def misfit(place: Path) -> str:
    """Why torch and transformers in one folder of modules cannot be imported, or ""; the start of a sentence."""
    return _survey((str(place),), _stamp(place))[0]


def missing_reason(folder: Path | None = None, installed: bool = False) -> str:
    """One sentence on why torch and transformers cannot be imported, or "". Cheap enough to draw.

    Args:
        folder: searched after sys.path.
        installed: `Installation` fills the folder, which counts only once that has finished.
    """
    unfinished = installed and not record(folder)
    paths = (*sys.path, str(folder)) if folder and not unfinished and str(folder) not in sys.path else tuple(sys.path)
    flaw = _survey(paths, _stamp(folder))[0]
    if flaw and unfinished and folder and has_leftovers(folder):
        return f"The last installation of PyTorch was interrupted: {INSTALL} to finish it."
    return f"{flaw}: {INSTALL}, or choose an existing environment there." if flaw else ""


def versions(folder: Path | None = None) -> dict[str, str]:
    """The versions of torch and transformers that would be imported from sys.path and then `folder`."""
    return _survey((*sys.path, *([str(folder)] if folder else [])), _stamp(folder))[1]


def invalidate() -> None:
    """Forget what was found: folders may have changed."""
    importlib.invalidate_caches()
    _survey.cache_clear()


def _stamp(folder: Path | None) -> int:
    return folder.stat().st_mtime_ns if folder and folder.exists() else 0


@lru_cache(maxsize=16)
def _survey(paths: tuple[str, ...], stamp: int) -> tuple[str, dict[str, str]]:
    """The first misfit and the versions found; `stamp` only makes a changed folder another key of the cache."""
    found = {}
    for name, (least, below) in SUPPORTED.items():
        spec = PathFinder.find_spec(name, list(paths))
        if spec is None or spec.origin is None:
            where = f" in {paths[0]}" if len(paths) == 1 else ""
            return f"The Python package {name} is not installed{where}", found
        place = Path(spec.origin).parents[1]
        version = found[name] = version_of(name, place)
        flaw = _foreign(place) if name == "torch" else ""
        if not flaw and not numbers(least) <= numbers(version) < numbers(below):
            flaw = f"{place} has {name} {version}, but HiSTalk needs {least} or later, below {below}"
        if flaw:
            return flaw, found
    return "", found


def version_of(name: str, place: Path) -> str:
    """The version in a package's metadata in this folder; "0" where there is none."""
    from importlib import metadata  # slow to import, and not needed to register the add-on

    return next((found.version for found in metadata.distributions(name=name, path=[str(place)])), "0")


def numbers(version: str) -> list[int]:
    """A version as numbers to compare."""
    return [int(number) for number in re.findall(r"\d+", version.split("+")[0])]


def _foreign(place: Path) -> str:
    """Why torch's compiled module cannot be loaded here, or "": Python decides by the file's name."""
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
    """What `Installation` wrote into `folder` at its end: build, python, versions, bytes; empty before."""
    try:
        return json.loads((folder / MARKER).read_text()) if folder else {}
    except (OSError, ValueError):
        return {}


def has_leftovers(folder: Path) -> bool:
    """Whether an installation, complete or not, left anything to remove."""
    return any(path.is_dir() and any(path.iterdir()) for path in (folder, *leftovers(folder)))


def leftovers(folder: Path) -> list[Path]:
    """Where an installation of `folder` keeps its unfinished modules, the folder it replaces, and downloads."""
    return [folder.with_name(folder.name + ending) for ending in (".part", ".old", ".cache")]
