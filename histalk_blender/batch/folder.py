"""Which files of a folder are recordings for a batch, and which are left out and why."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..audio import conversion
from ..runtime.pins import BPY

SOUNDS = (
    ".wav",
    ".bwf",
    ".rf64",
    ".w64",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".mp2",
    ".aif",
    ".aiff",
    ".aifc",
    ".caf",
    ".au",
)
BLENDERS = (
    ".m4a",
    ".m4b",
    ".aac",
    ".mka",
    ".wma",
    ".ac3",
    ".amr",
    ".spx",
    ".wv",
    ".tta",
    ".weba",
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".wmv",
    ".3gp",
    ".flv",
    ".mts",
    ".m2ts",
    ".mpg",
)
SHOWN = 5  # names or suffixes that a sentence lists


@dataclass(frozen=True)
class Folder:
    """What is in a folder and below it.

    sounds: paths below it, sorted.
    left_out: sentences on files that are not among them.
    """

    sounds: list[str]
    left_out: list[str]


def search_folder(path: Path, out: Path | None = None) -> Folder:
    """Look for recordings by their suffixes, in subfolders too.

    Args:
        path: the folder.
        out: where a batch writes; it is not searched. A file that only Blender reads is left out if a recording of the
            same name lies beside it, as one was made from the other, or it is a film that a batch has made.
    """
    sounds, blenders, hidden, links, others, refused = [], [], [], [], Counter(), []
    own = os.path.realpath(out) if out else ""
    for folder, folders, files in os.walk(path, onerror=refused.append):
        links += [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(folder, name)) != own]
        for file in files:
            ending = Path(file).suffix.lower()
            name = Path(folder, file).relative_to(path).as_posix()
            if ending not in SOUNDS + BLENDERS:
                others[ending or "without an ending"] += 1
            elif file.startswith("."):
                hidden.append(name)
            else:
                (sounds if ending in SOUNDS else blenders).append(name)
    stems = {_stem(name) for name in sounds}
    twins = [name for name in blenders if _stem(name) in stems]
    blenders = [name for name in blenders if name not in set(twins)]
    left_out = []
    if blenders and not conversion.is_available():
        left_out.append(f"{_listed(blenders, 'sound')} that Blender reads: pip install bpy=={BPY}, or convert to wav")
        blenders = []
    if twins:
        left_out.append(f"{_listed(twins, 'file')} beside a sound of the same name")
    if hidden:
        left_out.append(f"{_listed(hidden, 'hidden file')}, which other systems leave beside recordings")
    if links:
        left_out.append(f"{_listed(links, 'linked folder')}: name it as a batch of its own")
    if others:
        endings = [
            f"{count} {ending}" for ending, count in sorted(others.items(), key=lambda item: (-item[1], item[0]))
        ]
        left_out.append(f"{_plural(others.total(), 'file')} of other kinds ({_cut(endings)})")
    left_out += [f"'{error.filename}', which cannot be read ({error.strerror})" for error in refused]
    return Folder(sorted(sounds + blenders), left_out)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")).casefold()


def _listed(names: list[str], what: str) -> str:
    return f"{_plural(len(names), what)} ({_cut(sorted(names))})"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _cut(words: list[str]) -> str:
    return ", ".join(words[:SHOWN]) + (", ..." if len(words) > SHOWN else "")
