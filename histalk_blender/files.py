"""Files that are complete when they have their name, and safe opening of files of unknown origin.

Writers use the first of these that fits: `atomic_write` for bytes, `atomic_open` for a stream, `atomic_path` for a
library that opens files itself, or `temp_path` with `commit_file` where writing and renaming are far apart.
"""

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
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}
# Machine, process and token; the final file's suffix follows.
TEMPORARY = re.compile(r"\.histalk-([0-9a-f]{8})-(\d+)-([0-9a-f]{16})\.part")
ABANDONED = 7 * 86400.0  # seconds without a change after which another machine's temporary file is a leftover
_writing: set[str] = set()  # tokens of this process's temporary files
_cleaned: set[str] = set()  # folders in which this process has deleted leftovers


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; a pipe would block forever, a device never end.

    Raises:
        OSError: it does not exist, is no regular file, or cannot be read; `strerror` says which.
    """
    try:
        _check_regular(os.stat(path), path)  # before opening, which alone has an effect on some devices
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL byte, or characters that no file name can hold
        raise OSError(errno.EINVAL, "no file can have such a name", str(path)) from error
    try:
        _check_regular(os.fstat(handle), path)  # again, as it may have been replaced in between
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_regular(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, KINDS.get(stat.S_IFMT(found.st_mode), "it is no regular file"), str(path))


def path_key(path: str) -> str:
    """Equal for paths that some file system takes for the same: case and the composition of accents are ignored."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def temp_path(path: Path) -> Path:
    """An unpredictable name beside `path`, with its suffix, for a file that is not complete yet.

    Leftovers of dead processes in the folder are deleted first. Finish with `commit_file` or `discard_file`.
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
    """Create a file for writing; never open an existing one or follow a link.

    Raises:
        OSError: it cannot be created, or exists.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return open(os.open(temporary, flags, 0o666), "wb")


def commit_file(temporary: Path, path: Path) -> None:
    """Rename a complete file to `path`, safely against power cuts; if that fails, the temporary file is deleted.

    If `path` is a link, the link is replaced and not its target.

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
    """Delete a temporary file, if it still has that name; never raises."""
    for path in (temporary, temporary.with_name(temporary.name + "@")):  # "@": Blender's own while it saves a .blend
        with suppress(OSError):
            path.unlink()
    if found := TEMPORARY.match(temporary.name):
        _writing.discard(found[3])


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path for a library that opens files itself; renamed to `path` if the block succeeds, else deleted.

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
    """A new file that becomes `path` if the block succeeds, and else is deleted.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        with create_file(temporary) as file:
            yield file


def atomic_write(path: Path, data: bytes) -> None:
    """Write all of a file; see `atomic_open`.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_open(path) as file:
        file.write(data)


@contextmanager
def restore_on_error(path: Path) -> Iterator[None]:
    """If the block fails, a file has its earlier content again, or does not exist if it did not."""
    kept = temp_path(path)
    existed = os.path.lexists(path)
    try:
        if existed:
            with suppress(OSError):  # the file system may have no hard links
                os.link(path, kept, follow_symlinks=False)
        yield
    except BaseException:
        with suppress(OSError):
            if os.path.lexists(kept):
                os.replace(kept, path)
            elif not existed:
                path.unlink()
        raise
    finally:
        discard_file(kept)


def has_room(folder: Path, size: int = 1 << 20) -> bool:
    """Whether `size` more bytes fit on a folder's disk; tested by writing, as the free space ignores quotas."""
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
    """Delete the temporary files of dead processes in a folder; those of running processes stay."""
    try:
        entries = [(entry, TEMPORARY.match(entry.name)) for entry in os.scandir(folder)]
    except OSError:
        return
    for entry, found in entries:
        with suppress(OSError):
            if found and _is_leftover(entry, *found.groups()):
                os.unlink(entry.path)


def _is_leftover(entry: os.DirEntry, machine: str, process: str, token: str) -> bool:
    if machine != _machine():  # whose processes are not visible here
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED
    if int(process) == os.getpid():  # an earlier process may have had this number, as the first one of each container
        return token not in _writing
    return not _is_alive(int(process))


@cache
def _machine() -> str:
    """Eight digits that identify the machine or container, within which process numbers are unique."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")  # containers may share a folder and a name, but no process numbers
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode("utf-8", "replace")).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle) or ctypes.windll.kernel32.GetLastError() == 5  # access denied: somebody else's
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    try:  # a zombie has ended
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return True
