"""Which channel of a recording is the voice."""

from __future__ import annotations

from ..errors import HiSTalkError

MIX = "mix"
MOST = 64  # channels; multitrack recorders end there


def read_channel(text: object) -> str:
    """ "mix", "left", "right" or a number, the first two of which are left and right.

    Raises:
        ValueError: it is none of these; the message says what is allowed.
    """
    word = str(text).strip().lower()
    if word in (MIX, "left", "right"):
        return word
    number = int(word) if word.isascii() and word.isdigit() and len(word) < 4 else 0
    if not 1 <= number <= MOST:
        raise ValueError("mix, left, right or a channel's number from 1")
    return {1: "left", 2: "right"}.get(number, str(number))


def pick_channel(channel: str, count: int, called: str) -> int | None:
    """The index of a channel; None = all of them, mixed. The only channel of a mono sound is left and right.

    Raises:
        HiSTalkError: there is no such channel.
    """
    if channel == MIX:
        return None
    index = {"left": 0, "right": min(1, count - 1)}.get(channel)
    if index is None:
        index = int(channel) - 1
    if index >= count:
        have = "only one channel" if count == 1 else f"{count} channels"
        raise HiSTalkError(f"{called} has {have} and no number {channel}: choose mix, left, right or another number.")
    return index
