"""A Ray cluster's GPUs: Ray schedules, retries and keeps an actor with one model on each; the ledger stays here."""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir
from dataclasses import replace

from ..errors import HiSTalkError
from ..runtime.process_exit import restore_signal_handlers
from .ledger import ATTEMPTS, Outcome
from .worker import Group, Halt, Setup, work

DEEP = 2  # groups that an actor has been given, so that it never waits for the next
CORES = 2  # of an actor where there are no GPUs


class Actor:
    """One worker; Ray starts it again where it dies."""

    def __init__(self, setup: Setup):
        self.setup = setup

    def do(self, group: Group) -> list[Outcome]:
        """A group's outcomes."""
        return list(work(self.setup, [group], lambda name: None))


def cluster(setup: Setup, address: str, groups: Iterable[Group], started: Callable[[str], None]) -> Iterator[Outcome]:
    """As `work`, by actors of a Ray cluster. Sounds, .blends and the output folder must be shared by its machines.

    Args:
        address: of the cluster; "" = the one that RAY_ADDRESS names, or one of this machine's own.

    Raises:
        Halt: nothing more can be written.
        HiSTalkError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of each start
    try:
        import ray
    except ImportError as error:
        raise HiSTalkError(f"Ray is not installed ({error}): pip install 'histalk-blender[ray]'.") from error
    todo = deque(group.absolute() for group in groups)
    if not todo:
        return
    _answers(address)
    ours = not ray.is_initialized()
    try:
        with chdir(sys.prefix):  # Ray lets its workers import from the folder that we are in
            ray.init(address=address or None, ignore_reinit_error=True, log_to_driver=False, include_dashboard=False)
        restore_signal_handlers()
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise HiSTalkError(f"No Ray cluster at '{address}' ({error}): start one, or give --ray alone.") from error
    try:
        has = ray.cluster_resources()
        gpus, cores = int(has.get("GPU", 0)), int(has.get("CPU", 1))
        share = {"num_gpus": 1} if gpus else {"num_cpus": min(CORES, cores)}
        hired = ray.remote(max_restarts=-1, max_task_retries=ATTEMPTS - 1, **share)(Actor)
        absolute = replace(setup.absolute(), device="cuda" if gpus else "cpu")
        actors = [hired.remote(absolute) for _ in range(min(len(todo), gpus or max(1, cores // CORES)))]
        given: dict = {}

        def give(actor) -> None:
            if todo:
                group = todo.popleft()
                for name in sorted(group.wanted):
                    started(name)
                given[actor.do.remote(group)] = actor, group

        for actor in actors * DEEP:
            give(actor)
        while given:
            (ready,), _ = ray.wait(list(given))
            actor, group = given.pop(ready)
            try:
                yield from ray.get(ready)
            except Halt as error:  # as Ray brings it, with the actor's traceback
                raise Halt(str(getattr(error, "cause", error))) from error
            except ray.exceptions.RayActorError as error:
                sentence = (
                    f"Its worker ended {ATTEMPTS} times while this was made ({type(error).__name__}): try it alone."
                )
                yield from (Outcome(name, sentence) for name in sorted(group.wanted))
            give(actor)
    finally:
        if ours:
            ray.shutdown()


def _answers(address: str) -> None:
    """Ray itself waits for two minutes and then ends the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not address or address == "auto":
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise HiSTalkError(
            f"No Ray cluster answers at '{address}' ({error}): start one, or give --ray alone."
        ) from error
