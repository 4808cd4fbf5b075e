"""Silence for what libraries written in C print by themselves."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager


@contextmanager
def quiet(descriptor: int):
    """Keep the lines of others off standard output (1) or error (2), which belong to what the command prints.

    For the command line alone: the descriptor is the whole process's, and in Blender other threads write to it.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        kept = os.dup(descriptor)
    except OSError:  # the caller has closed it
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
