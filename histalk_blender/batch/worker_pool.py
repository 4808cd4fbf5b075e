"""Several workers, each a process with its own network; one that dies is replaced, and its clips run again."""

from __future__ import annotations

import concurrent.futures
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Client, Connection, Listener, wait

from ..errors import HiSTalkError
from ..runtime import processes
from .ledger import ATTEMPTS, Outcome
from .worker import BatchAborted, ClipGroup, WorkerConfig

CONNECTION_VARIABLE = "HISTALK_WORKER"  # environment variable with what a worker process needs to connect
CONNECT_TIMEOUT = 120.0  # seconds that a worker process may take to connect


@dataclass(eq=False)
class Worker:
    """One worker process, and the groups it was given and has not finished."""

    process: subprocess.Popen
    connection: Connection
    device: str
    groups: list[ClipGroup] = field(default_factory=list)
    idle: bool = False  # has asked for a group

    def finished(self, name: str) -> None:
        """One job has ended; groups with none left are dropped."""
        left = (replace(group, wanted=group.wanted - {name}) for group in self.groups)
        self.groups = [group for group in left if group.wanted]

    def close(self, kill: bool = True) -> None:
        """End the process and wait until it has ended."""
        self.connection.close()
        if kill:
            self.process.kill()
        self.process.wait()


class WorkerPool:
    """Runs groups of clips in one process for each device."""

    def __init__(
        self, config: WorkerConfig, devices: Sequence[str], groups: Iterable[ClipGroup], started: Callable[[str], None]
    ):
        """Args: as of `run_worker`, and a torch device for each worker."""
        self.config = config.absolute()
        self.devices = devices
        self.todo = deque(group.absolute() for group in groups)
        self.started = started
        self.workers: list[Worker] = []
        self.starts: Counter = Counter()  # how often each job was begun
        self.deaths = 0  # of workers, since a job was last finished
        self.key = secrets.token_bytes(32)

    def run(self) -> Iterator[Outcome]:
        """Make all groups; yield an outcome for each wanted job as it ends.

        Raises:
            BatchAborted: a worker found that nothing more can be written.
            HiSTalkError: no worker can be started.
        """
        with tempfile.TemporaryDirectory(prefix="histalk-") as scratch:
            address = None if os.name == "nt" else os.path.join(scratch, "pool")
            with Listener(address, "AF_PIPE" if os.name == "nt" else "AF_UNIX", authkey=self.key) as listener:
                try:
                    for device in self.devices:
                        self.spawn(listener, device)
                    while self.workers:
                        for connection in wait([worker.connection for worker in self.workers]):
                            worker = next(worker for worker in self.workers if worker.connection is connection)
                            yield from self._receive(worker, listener)
                        self.dispatch()
                finally:
                    for worker in self.workers:
                        worker.close()

    def _receive(self, worker: Worker, listener: Listener) -> Iterator[Outcome]:
        """Handle one message, or the end of the worker."""
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            yield from self.reap(worker)
            if self.todo or any(other.groups for other in self.workers):
                self.spawn(listener, worker.device)
            return
        if kind == "next":
            worker.idle = True
        elif kind == "started":
            self.starts[value] += 1
            self.started(value)
        elif kind == "ended":
            worker.finished(value.name)
            self.deaths = 0
            yield value
        else:
            raise BatchAborted(value)

    def dispatch(self) -> None:
        """Give a group to each idle worker; end those that are idle when no group is left that might come back."""
        for worker in [worker for worker in self.workers if worker.idle]:
            if self.todo:
                group = self.todo.popleft()
                worker.groups.append(group)
                worker.idle = False
                worker.connection.send(group)
            elif not any(other.groups for other in self.workers):
                worker.connection.send(None)
                worker.close(kill=False)
                self.workers.remove(worker)

    def reap(self, worker: Worker) -> Iterator[Outcome]:
        """Remove a dead worker; its clips go back to the queue, except those that were begun too often, which fail.

        Raises:
            HiSTalkError: workers die one after another without finishing a clip.
        """
        self.workers.remove(worker)
        worker.close()
        self.deaths += 1
        if self.deaths > ATTEMPTS * len(self.devices):
            raise HiSTalkError("Workers end before they have made anything: try --workers 1.")
        for group in reversed(worker.groups):
            failed = {name for name in group.wanted if self.starts[name] >= ATTEMPTS}
            for name in sorted(failed):
                yield Outcome(name, f"The process ended {ATTEMPTS} times while this was made: try it alone.")
            if group.wanted - failed:
                self.todo.appendleft(replace(group, wanted=group.wanted - failed))

    def spawn(self, listener: Listener, device: str) -> None:
        """Start a worker process and wait until it has connected.

        Raises:
            HiSTalkError: it ended before, or did not connect in time.
        """
        settings = {"address": listener.address, "key": self.key.hex(), "device": device, "parent": os.getpid()}
        settings |= {"folder": str(self.config.folder), "weights": str(self.config.weights or "")}
        threads = str(max(1, (os.cpu_count() or 1) // len(self.devices)))
        env = {"OMP_NUM_THREADS": threads} | processes.clean_environment({CONNECTION_VARIABLE: json.dumps(settings)})
        process = processes.start(worker_command(), env=env)
        with ThreadPoolExecutor(1) as executor:
            accepted, waited = executor.submit(listener.accept), 0.0
            try:
                while not accepted.done() and process.poll() is None and waited < CONNECT_TIMEOUT:
                    waited += 0.2
                    concurrent.futures.wait([accepted], 0.2)
                if not accepted.done():
                    raise HiSTalkError("A worker process did not start: its own message is printed above.")
                self.workers.append(Worker(process, accepted.result(), device))
            except BaseException:
                process.kill()
                process.wait()
                if not accepted.done():
                    Client(listener.address, authkey=self.key).close()  # else the executor would wait forever
                raise


def worker_command() -> list[str]:
    """What starts a worker: Blender again inside Blender, else Python."""
    if blender := blender_binary():
        return [blender, "--background", "--disable-autoexec", "--command", "histalk", "worker"]
    return processes.module_command("batch.worker_process")


def blender_binary() -> str:
    """The Blender that this process is, or ""."""
    bpy = sys.modules.get("bpy")
    return bpy.app.binary_path if bpy else ""
