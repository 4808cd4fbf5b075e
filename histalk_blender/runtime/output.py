"""Text and silence on standard output and error."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Control characters, line separators, marks that change the direction of the text after them, and lone surrogates, as
# which Python shows the bytes of a file name that is not UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(value: object, most: int = 400) -> str:
    """A value as one line of text that every terminal, file and database takes.

    Args:
        value: of any type, maybe from a file of unknown origin.
        most: characters; longer text loses its middle.

    Returns:
        The text, with escapes such as `\\x1b` for what cannot be printed.
    """
    try:
        text = str(value)
    except (ValueError, RecursionError):  # a number of too many digits, or a list that contains itself
        return f"({type(value).__name__} too large to show)"
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} … {text[-(most // 3) :]}"
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escape_unencodable() -> None:
    """Let standard output and error escape characters that their encoding lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


@contextmanager
def silence_fd(descriptor: int) -> Iterator[None]:
    """Discard what libraries written in C print on standard output (1) or error (2) by themselves.

    For the command line alone: the descriptor belongs to the whole process, and in Blender other threads write to it.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        saved = os.dup(descriptor)
    except OSError:  # the caller has closed it
        yield
        return
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(saved, descriptor)
        os.close(saved)
        os.close(devnull)
