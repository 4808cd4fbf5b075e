"""Text of strangers as one line that every terminal, file and database takes."""

from __future__ import annotations

import re
import sys

# Control characters, line separators, marks that turn the direction of what follows, and halves of characters, as which
# Python shows the bytes of a file name that is not UTF-8.
UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(value: object, most: int = 400) -> str:
    """The text of a value with `\\x1b` and the like for what cannot be shown, shortened in its middle."""
    try:
        text = str(value)
    except (ValueError, RecursionError):  # a number of too many digits, a list in too many others
        return f"({type(value).__name__} too large to show)"
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} … {text[-(most // 3) :]}"
    return UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def print_anything() -> None:
    """Let standard output and error escape what their encoding lacks, rather than end the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
