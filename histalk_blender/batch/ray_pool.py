"""A Ray cluster's GPUs: Ray keeps an actor with one network on each, and retries; the ledger stays with the command."""

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
from .worker import BatchAborted, ClipGroup, WorkerConfig, run_worker

QUEUED = 2  # groups that an actor has been given, so that it never waits for the next
CORES = 2  # of an actor where there are no GPUs


class Actor:
    """One worker; Ray starts it again if it dies."""

    def __init__(self, config: WorkerConfig):
        self.config = config

    def run(self, group: ClipGroup) -> list[Outcome]:
        """A group's outcomes."""
        return list(run_worker(self.config, [group], lambda name: None))


def run_on_ray(
    config: WorkerConfig, address: str, groups: Iterable[ClipGroup], started: Callable[[str], None]
) -> Iterator[Outcome]:
    """As `run_worker`, by actors of a Ray cluster whose machines share recordings, .blend files and the output folder.

    Args:
        config: folder and weights; the device is the actors' own.
        address: of the cluster; "" = the one in RAY_ADDRESS, or a new one on this machine.
        groups: of clips.
        started: called with a job's name when an actor is given its group.

    Raises:
        BatchAborted: nothing more can be written.
        HiSTalkError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray would report each start to its makers
    try:
        import ray
    except ImportError as error:
        raise HiSTalkError(f"Ray is not installed ({error}): pip install 'histalk-blender[ray]'.") from error
    todo = deque(group.absolute() for group in groups)
    if not todo:
        return
    _check_address(address)
    connected_here = not ray.is_initialized()
    try:
        with chdir(sys.prefix):  # Ray lets its workers import from the current folder
            ray.init(address=address or None, ignore_reinit_error=True, log_to_driver=False, include_dashboard=False)
        restore_signal_handlers()
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise HiSTalkError(f"No Ray cluster at '{address}' ({error}): start one, or give --ray alone.") from error
    try:
        yield from _run_actors(ray, config.absolute(), todo, started)
    finally:
        if connected_here:
            ray.shutdown()


def _run_actors(ray, config: WorkerConfig, todo: deque[ClipGroup], started: Callable[[str], None]) -> Iterator[Outcome]:
    resources = ray.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    share = {"num_gpus": 1} if gpus else {"num_cpus": min(CORES, cores)}
    actor_class = ray.remote(max_restarts=-1, max_task_retries=ATTEMPTS - 1, **share)(Actor)
    config = replace(config, device="cuda" if gpus else "cpu")
    actors = [actor_class.remote(config) for _ in range(min(len(todo), gpus or max(1, cores // CORES)))]
    running: dict = {}

    def dispatch(actor) -> None:
        if todo:
            group = todo.popleft()
            for name in sorted(group.wanted):
                started(name)
            running[actor.run.remote(group)] = actor, group

    for actor in actors * QUEUED:
        dispatch(actor)
    while running:
        (ready,), _ = ray.wait(list(running))
        actor, group = running.pop(ready)
        try:
            yield from ray.get(ready)
        except BatchAborted as error:  # as Ray raises it, with the actor's traceback
            raise BatchAborted(str(getattr(error, "cause", error))) from error
        except ray.exceptions.RayActorError as error:
            reason = f"Its worker ended {ATTEMPTS} times while this was made ({type(error).__name__}): try it alone."
            yield from (Outcome(name, reason) for name in sorted(group.wanted))
        dispatch(actor)


def _check_address(address: str) -> None:
    """Ray itself would wait for two minutes and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not address or address == "auto":
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise HiSTalkError(
            f"No Ray cluster answers at '{address}' ({error}): start one, or give --ray alone."
        ) from error
