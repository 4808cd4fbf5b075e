"""Items made by a thread before they are needed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable

AHEAD = 2  # items that wait to be used
POLL = 0.1  # seconds


def prefetch(items: Iterable, stop: threading.Event) -> Generator:
    """Iterate over `items` in a thread, a few items ahead; the thread has ended when this iterator has.

    An exception of `items` is raised again here.

    Args:
        items: anything iterable; a generator is closed at the end.
        stop: ends both early when it is set.
    """
    ready: queue.Queue = queue.Queue(AHEAD)
    closed = threading.Event()

    def wanted() -> bool:
        return not (stop.is_set() or closed.is_set())

    def put(kind: str, value: object) -> None:
        while wanted():
            try:
                ready.put((kind, value), timeout=POLL)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in items:
                put("item", item)
                if not wanted():
                    break
            put("end", None)
        except BaseException as error:
            put("error", error)
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=produce, name="HiSTalk batch", daemon=True)
    thread.start()
    try:
        while wanted():
            try:
                kind, value = ready.get(timeout=POLL)
            except queue.Empty:
                continue
            if kind == "item":
                yield value
            elif kind == "end":
                return
            else:
                raise value
    finally:
        closed.set()
        thread.join()
