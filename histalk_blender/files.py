"""Files that are whole when they have their name, and the opening of strangers' files."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}
# A machine, a process and a token; the suffix of the file in the end follows.
TEMPORARY = re.compile(r"\.histalk-([0-9a-f]{8})-(\d+)-([0-9a-f]{16})\.part")
ABANDONED = 7 * 86400.0  # seconds without a change, after which also another machine's temporary file is a leftover
_writing: set[str] = set()  # tokens of the temporary files that this process works on
_cleaned: set[str] = set()  # folders in which it has looked for leftovers


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading if it is a regular one: a pipe would wait for ever, a device give for ever.

    Raises:
        OSError: it is not there, no regular file, or cannot be read; `strerror` says which.
    """
    try:
        _check_regular(os.stat(path), path)  # before opening, which alone sets some devices off
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL byte, or characters that no file name can hold
        raise OSError(errno.EINVAL, "no file can have such a name", str(path)) from error
    try:
        _check_regular(os.fstat(handle), path)  # again, as it may have been exchanged in between
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_regular(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, KINDS.get(stat.S_IFMT(found.st_mode), "it is no regular file"), str(path))


def key_of(path: str) -> str:
    """Equal for what any file system takes for the same name: capitals do not count, nor how accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def temp_path(path: Path) -> Path:
    """A name beside `path`, with its suffix, for what is not whole yet; nobody can foresee it or take it for another's.

    What processes that are gone left in the folder is taken away first. End with `commit_file` or `discard_file`.
    """
    folder = os.path.abspath(path.parent)
    if folder not in _cleaned:
        _cleaned.add(folder)
        clean_leftovers(path.parent)
    token = secrets.token_hex(8)
    _writing.add(token)
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= 16 else ""
    return path.with_name(f".histalk-{_machine()}-{os.getpid()}-{token}.part{suffix}")


def create_file(temporary: Path) -> BinaryIO:
    """Open a new file for writing, never one that is there, nor what a link of that name leads to.

    Raises:
        OSError: it cannot be made, or there is one.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return open(os.open(temporary, flags, 0o666), "wb")


def commit_file(temporary: Path, path: Path) -> None:
    """Give a finished file its name, so that not even a power cut leaves half of it there; if that fails, it is gone.

    Where `path` is a link, the link is replaced, not what it leads to.

    Raises:
        OSError: it cannot be written to the disk or renamed.
    """
    try:
        handle = os.open(temporary, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    finally:
        discard_file(temporary)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def discard_file(temporary: Path) -> None:
    """Take a temporary file away, where it still has that name; no longer being there is no error, nor is the rest."""
    for path in (temporary, temporary.with_name(temporary.name + "@")):  # Blender's own, of a .blend in the writing
        with suppress(OSError):
            path.unlink()
    if found := TEMPORARY.match(temporary.name):
        _writing.discard(found[3])


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path for a writer that opens files itself; renamed to `path` when the block ends well, else removed.

    Raises:
        OSError: nothing was written there, or it cannot be renamed.
    """
    temporary = temp_path(path)
    try:
        yield temporary
        commit_file(temporary, path)
    finally:
        discard_file(temporary)


@contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when the block ends well, and else is not there.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        with create_file(temporary) as file:
            yield file


def atomic_write(path: Path, data: bytes) -> None:
    """Write a small file at once; see `atomic_open`.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_open(path) as file:
        file.write(data)


@contextmanager
def put_back(path: Path) -> Iterator[None]:
    """Where a block fails, a file is again what it was before, whatever the block made of it; or not there, if it was not."""
    kept = temp_path(path)
    was_there = os.path.lexists(path)
    try:
        if was_there:
            with suppress(OSError):  # where a file system has no hard links
                os.link(path, kept, follow_symlinks=False)
        yield
    except BaseException:
        with suppress(OSError):
            if os.path.lexists(kept):
                os.replace(kept, path)
            elif not was_there:
                path.unlink()
        raise
    finally:
        discard_file(kept)


def has_room(folder: Path, size: int = 1 << 20) -> bool:
    """Whether so many bytes more fit on a folder's disk; asked by writing, as a quota does not say so."""
    probe = temp_path(folder / "room")
    try:
        with create_file(probe) as file:
            for _ in range(0, size, 1 << 20):
                file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
        return True
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    finally:
        discard_file(probe)


def clean_leftovers(folder: Path) -> None:
    """Take away the temporary files in a folder of processes that are gone; what a living one writes stays."""
    try:
        entries = [(entry, TEMPORARY.match(entry.name)) for entry in os.scandir(folder)]
    except OSError:
        return
    for entry, found in entries:
        with suppress(OSError):
            if found and _is_leftover(entry, *found.groups()):
                os.unlink(entry.path)


def _is_leftover(entry: os.DirEntry, machine: str, process: str, token: str) -> bool:
    if machine != _machine():  # whose processes cannot be asked for
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED
    if int(process) == os.getpid():  # or of an earlier process with this number, as the first of every container has
        return token not in _writing
    return not _is_alive(int(process))


@cache
def _machine() -> str:
    """Eight digits for where process numbers mean the same processes."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")  # containers share a folder, and maybe a name, but no numbers
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode("utf-8", "replace")).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle) or ctypes.windll.kernel32.GetLastError() == 5  # it may not be asked
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    try:  # killed, and nobody has asked how it ended
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return True
