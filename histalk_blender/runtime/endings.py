"""The end of a command's process: signals unwind it, what it printed is out, and its exit code says what happened.

A normal end of Python is not one for us: Blender's module may wait forever in it, and a thread inside PyTorch aborts
it. So once all is written and printed, the process leaves at once.
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
CODES = {name: 128 + getattr(signal, name) for name in SIGNALS if hasattr(signal, name)}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
PATIENCE = 3  # signals after which the process ends wherever it is
PATIENT_FOR = 1.0  # seconds that Blender's end waits for our threads

_received: list[int] = []  # exit codes of the signals so far
_listening = False
_held = 0


class Stopped(KeyboardInterrupt):
    """A signal asks the command to end; on its way out it takes away what is half done."""

    def __init__(self, code: int = CODES["SIGINT"]):
        super().__init__()
        self.code = code


def stop_if_asked() -> None:
    """For long work: raise again what a library's callback may have swallowed.

    Raises:
        Stopped: a signal came.
    """
    if _received:
        raise Stopped(_received[0])


@contextmanager
def signals_held() -> Iterator[None]:
    """Let no signal raise within, where a library would swallow it; `stop_if_asked` tells of it, also at the end.

    Raises:
        Stopped: a signal came.
    """
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    stop_if_asked()


def command_process(command: Callable[[], object]) -> NoReturn:
    """Run a command as this process's only purpose, and end the process with its exit code."""
    _open_standard_streams()
    listen_for_signals()
    leave(exit_code(command))


def exit_code(command: Callable[[], object]) -> int:
    """Run a command; what ends it becomes a sentence on stderr and a code.

    Returns:
        0 done; 1 some of it failed, or an error of ours with its traceback; 2 refused: the sentence says what to fix;
        128 + the signal's number where one stopped it, so 130 for Ctrl-C; or what the command itself exits with.
    """
    try:
        returned = command()
        return returned if isinstance(returned, int) else 0
    except HiSTalkError as error:
        _say(f"histalk: {error}")
        return REFUSED
    except KeyboardInterrupt as stop:
        _say(f"histalk: {str(stop) or 'stopped.'}")
        return getattr(stop, "code", CODES["SIGINT"])
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        _say(str(left.code))
        return FAILED
    except OSError as error:
        if error.errno not in NO_ROOM:
            traceback.print_exc()
            return FAILED
        where = f" of '{error.filename}'" if error.filename else ""
        _say(f"histalk: The disk{where} is full: make room and run the same command again.")
        return REFUSED
    except BaseException:
        traceback.print_exc()
        return FAILED


def leave_if_busy() -> None:
    """For the end of Blender: a thread of ours inside PyTorch would crash Python's own end, or keep it for ever."""
    end = time.monotonic() + PATIENT_FOR
    for thread in threading.enumerate():
        if thread.name.startswith("HiSTalk"):
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                leave(0)


def leave(code: int) -> NoReturn:
    """End the process: threads that write come to their end, what was printed goes out, temporary folders go."""
    for name in CODES:
        _set_handler(name, signal.SIG_IGN)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(10)
    bpy = sys.modules.get("bpy")
    if bpy is None:
        atexit._run_exitfuncs()
    else:
        if shared := sys.modules.get("multiprocessing.util"):
            shared._run_finalizers(0)  # the lock of tqdm's bars, or its keeper would complain that it is left
        scratch = Path(bpy.app.tempdir)
        if scratch.name.startswith("blender_"):
            shutil.rmtree(scratch, ignore_errors=True)  # which Blender itself would delete at its end
    try:
        sys.stdout.flush()
    except OSError as error:
        _say(f"histalk: What was to be printed could not be written ({error.strerror}).")
        code = code or REFUSED
    try:
        sys.stderr.flush()
    except OSError:
        pass
    os._exit(code)


def listen_for_signals() -> None:
    """Let Ctrl-C, a kill and a closed terminal raise `Stopped`, but for what this process was started deaf to."""
    global _listening
    _listening = True
    for name in CODES:
        if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            _set_handler(name, _on_signal)


def listen_again() -> None:
    """After a library has put handlers of its own in their place."""
    if _listening:
        listen_for_signals()


def _set_handler(name: str, handler: object) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(getattr(signal, name), handler)


def _on_signal(number: int, frame: object) -> None:
    _received.append(128 + number)
    if len(_received) == 1 and not _held:
        raise Stopped(_received[0])
    if len(_received) >= PATIENCE:
        os._exit(_received[0])


def _say(sentence: str) -> None:
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        pass


class _Piped:
    """A stream whose reader may leave, as `head` does: then the work goes on, and nobody is told."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            return self._lost(len(text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._lost(0)

    def _lost(self, count: int) -> int:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        return count

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _open_standard_streams() -> None:
    """All three are there, or the next file to be opened would take a closed one's place and what is printed to it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")
        setattr(sys, name, _Piped(stream))
