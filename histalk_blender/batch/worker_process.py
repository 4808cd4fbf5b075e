"""The process that a `WorkerPool` starts: it asks for groups of clips, makes them and sends the outcomes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Client
from pathlib import Path
from threading import Event, Lock

from ..errors import HiSTalkError
from ..runtime.process_exit import run_and_exit
from ..runtime.process_start import end_with_parent
from .worker import BatchAborted, ClipGroup, WorkerConfig, run_worker
from .worker_pool import CONNECTION_VARIABLE, blender_binary


def serve() -> None:
    """Work until the pool sends no more groups; the process ends with the one that started it.

    Raises:
        HiSTalkError: no pool started this process.
    """
    if CONNECTION_VARIABLE not in os.environ:
        raise HiSTalkError("A worker is started by `histalk batch --workers`, not by hand.")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    settings = json.loads(os.environ.pop(CONNECTION_VARIABLE))
    if blender_binary():  # a Python child has done so already
        end_with_parent(settings["parent"])
    connection, lock = Client(settings["address"], authkey=bytes.fromhex(settings["key"])), Lock()

    def send(kind: str, value: object = None) -> None:
        with lock:
            connection.send((kind, value))

    def groups() -> Iterator[ClipGroup]:
        while True:
            send("next")
            while not connection.poll(0.2):
                if stop.is_set():
                    return
            group = connection.recv()
            if group is None:
                return
            yield group

    stop = Event()
    weights = Path(settings["weights"]) if settings["weights"] else None
    config = WorkerConfig(Path(settings["folder"]), weights, settings["device"])
    try:
        for outcome in run_worker(config, groups(), lambda name: send("started", name), stop):
            send("ended", outcome)
    except BatchAborted as error:
        send("aborted", str(error))
    except (EOFError, OSError):
        pass  # the pool is gone
    finally:
        connection.close()


if __name__ == "__main__":
    run_and_exit(serve)
