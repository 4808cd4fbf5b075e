"""Several workers, each a process with a model of its own; who dies is replaced, and what it was at is done again."""

from __future__ import annotations

import concurrent.futures
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from threading import Event, Lock

from ..errors import HiSTalkError
from ..runtime import processes
from ..runtime.process_start import end_with_parent
from .ledger import ATTEMPTS, Outcome
from .worker import Group, Halt, Setup, work

ADDRESS = "HISTALK_CREW"  # variable that tells a child where to call and by which key
START = 120.0  # seconds that a child may take to call


@dataclass(eq=False)
class _Hand:
    """One child, and what it was given and has not answered for."""

    process: subprocess.Popen
    line: Connection
    device: str
    given: list[Group] = field(default_factory=list)
    waiting: bool = False  # for a group

    def answered(self, name: str) -> None:
        """One job has ended; groups of which all have are forgotten."""
        left = (replace(group, wanted=group.wanted - {name}) for group in self.given)
        self.given = [group for group in left if group.wanted]


def crew(
    setup: Setup, devices: list[str], groups: Iterable[Group], started: Callable[[str], None]
) -> Iterator[Outcome]:
    """As `work`, by a child for each of the devices.

    Raises:
        Halt: a child found that nothing more can be written.
        HiSTalkError: no child can be started.
    """
    setup = setup.absolute()
    todo, deaths, hands, fruitless = deque(group.absolute() for group in groups), Counter(), [], 0
    with tempfile.TemporaryDirectory(prefix="histalk-") as scratch:
        place = None if os.name == "nt" else os.path.join(scratch, "crew")
        key = secrets.token_bytes(32)
        with Listener(place, "AF_PIPE" if os.name == "nt" else "AF_UNIX", authkey=key) as listener:
            try:
                for device in devices:
                    hands.append(_hire(listener, key, setup, device, len(devices)))
                while hands:
                    for line in wait([hand.line for hand in hands]):
                        hand = next(hand for hand in hands if hand.line is line)
                        try:
                            kind, value = line.recv()
                        except (EOFError, OSError):
                            hands.remove(hand)
                            fruitless += 1
                            if fruitless > ATTEMPTS * len(devices):
                                raise HiSTalkError("Workers end before they have made anything: try --workers 1.")
                            yield from _bury(hand, todo, deaths)
                            if todo or any(other.given for other in hands):
                                hands.append(_hire(listener, key, setup, hand.device, len(devices)))
                            continue
                        if kind == "next":
                            hand.waiting = True
                        elif kind == "started":
                            deaths[value] += 1
                            started(value)
                        elif kind == "ended":
                            hand.answered(value.name)
                            fruitless = 0
                            yield value
                        else:
                            raise Halt(value)
                    _deal(hands, todo)
            finally:
                for hand in hands:
                    hand.line.close()
                    hand.process.kill()
                    hand.process.wait()


def _deal(hands: list[_Hand], todo: deque[Group]) -> None:
    """Give a group to whoever asks; let go who asks when nothing is left that might come back."""
    for hand in list(hands):
        if not hand.waiting:
            continue
        if todo:
            group = todo.popleft()
            hand.given.append(group)
            hand.waiting = False
            hand.line.send(group)
        elif not any(other.given for other in hands):
            hand.line.send(None)
            hand.line.close()
            hand.process.wait()
            hands.remove(hand)


def _bury(hand: _Hand, todo: deque[Group], deaths: Counter) -> Iterator[Outcome]:
    """What a dead child leaves goes to others, but for a job that was begun too often."""
    hand.line.close()
    hand.process.kill()
    hand.process.wait()
    for group in reversed(hand.given):
        deadly = {name for name in group.wanted if deaths[name] >= ATTEMPTS}
        for name in sorted(deadly):
            yield Outcome(name, f"The process ended {ATTEMPTS} times while this was made: try it alone.")
        if group.wanted - deadly:
            todo.appendleft(replace(group, wanted=group.wanted - deadly))


def _hire(listener: Listener, key: bytes, setup: Setup, device: str, count: int) -> _Hand:
    told = {"address": listener.address, "key": key.hex(), "device": device, "parent": os.getpid()}
    told |= {"folder": str(setup.folder), "weights": str(setup.weights or "")}
    threads = str(max(1, (os.cpu_count() or 1) // count))
    env = {"OMP_NUM_THREADS": threads} | processes.clean_environment({ADDRESS: json.dumps(told)})
    process = processes.start(_command(), env=env)
    with ThreadPoolExecutor(1) as pool:
        call, waited = pool.submit(listener.accept), 0.0
        try:
            while not call.done() and process.poll() is None and waited < START:
                waited += 0.2
                concurrent.futures.wait([call], 0.2)
            if not call.done():
                raise HiSTalkError("A worker ended before it began, or never did: its message stands above.")
            return _Hand(process, call.result(), device)
        except BaseException:
            process.kill()
            process.wait()
            if not call.done():
                Client(listener.address, authkey=key).close()  # or the pool would wait for the call for ever
            raise


def _command() -> list[str]:
    """What starts a worker: Blender again inside Blender, else Python."""
    if blender := _blender():
        return [blender, "--background", "--disable-autoexec", "--command", "histalk", "worker"]
    return processes.module_command("batch.pool_child")


def _blender() -> str:
    """The Blender that this process is, or ""."""
    bpy = sys.modules.get("bpy")
    return bpy.app.binary_path if bpy else ""


def serve() -> None:
    """A child's life: ask for groups, do them, answer; it ends with the one who started it.

    Raises:
        HiSTalkError: nobody started it.
    """
    if ADDRESS not in os.environ:
        raise HiSTalkError("A worker is started by `histalk batch --workers`, not by hand.")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started it
    told = json.loads(os.environ.pop(ADDRESS))
    if _blender():  # a Python child has seen to it already
        end_with_parent(told["parent"])
    line, mine = Client(told["address"], authkey=bytes.fromhex(told["key"])), Lock()

    def say(kind: str, value: object = None) -> None:
        with mine:
            line.send((kind, value))

    def groups() -> Iterator[Group]:
        while True:
            say("next")
            while not line.poll(0.2):
                if stop.is_set():
                    return
            group = line.recv()
            if group is None:
                return
            yield group

    stop = Event()
    setup = Setup(Path(told["folder"]), Path(told["weights"]) if told["weights"] else None, told["device"])
    try:
        for outcome in work(setup, groups(), lambda name: say("started", name), stop):
            say("ended", outcome)
    except Halt as halt:
        say("halt", str(halt))
    except (EOFError, OSError):
        pass  # the one who started it is gone
    finally:
        line.close()
