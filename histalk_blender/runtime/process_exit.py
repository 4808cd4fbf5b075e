"""How a command's process ends: signals unwind it, its output is flushed, and its exit code tells what happened.

Python's normal shutdown is skipped: with Blender's module loaded it may wait forever, and with a thread inside PyTorch
it aborts. Once everything is written and printed, the process exits at once.
"""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ..errors import HiSTalkError

FAILED, REFUSED = 1, 2
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SIGNAL_CODES = {name: 128 + getattr(signal, name) for name in SIGNALS if hasattr(signal, name)}
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
MOST_SIGNALS = 3  # after which the process exits wherever it is
THREAD_WAIT = 1.0  # seconds that Blender's exit waits for each of our threads

_received: list[int] = []  # exit codes of the signals so far
_handling = False
_deferred = 0


class Stopped(KeyboardInterrupt):
    """A signal asks the command to stop; on its way out it deletes what is incomplete."""

    def __init__(self, code: int = SIGNAL_CODES["SIGINT"]):
        super().__init__()
        self.code = code


def raise_if_stopped() -> None:
    """For long work: raise again what a library's callback may have swallowed.

    Raises:
        Stopped: a signal came.
    """
    if _received:
        raise Stopped(_received[0])


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let no signal raise inside the block, where a library would swallow it, but at its end.

    Raises:
        Stopped: a signal came.
    """
    global _deferred
    _deferred += 1
    try:
        yield
    finally:
        _deferred -= 1
    raise_if_stopped()


def run_and_exit(command: Callable[[], object]) -> NoReturn:
    """Run a command as this process's only purpose, then exit with its code."""
    _open_standard_streams()
    handle_signals()
    exit_process(exit_code_of(command))


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command; an error becomes a sentence on stderr and an exit code.

    Returns:
        0 done; 1 part of it failed, or an unexpected error, with its traceback; 2 refused: the sentence says what to
        fix; 128 + the signal's number if a signal stopped it, so 130 for Ctrl-C; or the command's own code.
    """
    try:
        returned = command()
        return returned if isinstance(returned, int) else 0
    except HiSTalkError as error:
        _print_error(f"histalk: {error}")
        return REFUSED
    except KeyboardInterrupt as stop:
        _print_error(f"histalk: {str(stop) or 'stopped.'}")
        return getattr(stop, "code", SIGNAL_CODES["SIGINT"])
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        _print_error(str(stop.code))
        return FAILED
    except OSError as error:
        if error.errno not in DISK_FULL:
            traceback.print_exc()
            return FAILED
        where = f" of '{error.filename}'" if error.filename else ""
        _print_error(f"histalk: The disk{where} is full: make room and run the same command again.")
        return REFUSED
    except BaseException:
        traceback.print_exc()
        return FAILED


def exit_if_busy() -> None:
    """When Blender exits: a thread of ours inside PyTorch would crash Python's shutdown or block it forever."""
    end = time.monotonic() + THREAD_WAIT
    for thread in threading.enumerate():
        if thread.name.startswith("HiSTalk"):
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                exit_process(0)


def exit_process(code: int) -> NoReturn:
    """Wait for threads that write, flush the output, delete temporary folders, and exit."""
    for name in SIGNAL_CODES:
        _set_handler(name, signal.SIG_IGN)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(10)
    bpy = sys.modules.get("bpy")
    if bpy is None:
        atexit._run_exitfuncs()
    else:
        if shared := sys.modules.get("multiprocessing.util"):
            shared._run_finalizers(0)  # else its resource tracker would report the lock of tqdm's bars as leaked
        scratch = Path(bpy.app.tempdir)
        if scratch.name.startswith("blender_"):
            shutil.rmtree(scratch, ignore_errors=True)  # as Blender's own exit would do
    try:
        sys.stdout.flush()
    except OSError as error:
        _print_error(f"histalk: Not all output could be printed ({error.strerror}).")
        code = code or REFUSED
    try:
        sys.stderr.flush()
    except OSError:
        pass
    os._exit(code)


def handle_signals() -> None:
    """Let Ctrl-C, a kill and a closed terminal raise `Stopped`, unless this process was started to ignore them."""
    global _handling
    _handling = True
    for name in SIGNAL_CODES:
        if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            _set_handler(name, _on_signal)


def restore_signal_handlers() -> None:
    """After a library has installed signal handlers of its own."""
    if _handling:
        handle_signals()


def _set_handler(name: str, handler: Callable | signal.Handlers) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(getattr(signal, name), handler)


def _on_signal(number: int, frame: object) -> None:
    _received.append(128 + number)
    if len(_received) == 1 and not _deferred:
        raise Stopped(_received[0])
    if len(_received) >= MOST_SIGNALS:
        os._exit(_received[0])


def _print_error(sentence: str) -> None:
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        pass


class _PipeStream:
    """A stream whose reader may close it, as `head` does; then the work goes on without a message."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            return self._discard_output(len(text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard_output(0)

    def _discard_output(self, count: int) -> int:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self._stream.fileno())
        os.close(devnull)
        return count

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _open_standard_streams() -> None:
    """Open those that are closed, or the next file to be opened would take a stream's number and receive its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")
        setattr(sys, name, _PipeStream(stream))
