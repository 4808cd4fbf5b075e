"""What a sound file's own header promises; libsndfile takes the part that is there for the whole."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

SLACK = 100  # bytes; some writers count their header as sound
STREAMED = 0x7FFF0000  # sizes from here on, or 0, are what writers into a pipe put where they cannot know it
LARGEST_PAGE = 27 + 255 + 255 * 255  # of Ogg


def is_cut_off(file: BinaryIO) -> bool:
    """Whether a wav, aiff or ogg holds less than it promises; others show it only where they are decoded.

    Args:
        file: where it starts does not matter, nor where it is left.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4) == b"OggS":
        return not _ogg_ends(file, size)
    start, length = _sound_chunk(file)
    return 0 < length and start + length > size + SLACK


def unsized_chunk(file: BinaryIO) -> int:
    """Where the sound of a wav begins whose writer left its size at 0, as some do into pipes; 0 for all others."""
    start, length = _sound_chunk(file)
    return 0 if length else start


def lets_guess(file: BinaryIO) -> bool:
    """Whether it is an mp3 that does not say how long it is: libsndfile guesses that by its first frame's bit rate."""
    file.seek(0)
    head = file.read(10)
    begin = 0
    if head[:3] == b"ID3" and len(head) == 10:
        begin = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(begin)
    first = file.read(256)
    if len(first) < 256 or first[0] != 0xFF or first[1] < 0xE0:
        return False
    places = [first.find(tag) for tag in (b"Xing", b"Info")]
    return b"VBRI" not in first and not any(0 < place < 248 and first[place + 7] & 1 for place in places)


def _sound_chunk(file: BinaryIO) -> tuple[int, int]:
    """First byte and promised length of a wav's or aiff's samples: 0 = left open; -1 = unknowable, or none found."""
    file.seek(0)
    form = file.read(12)[:4]
    if form not in (b"RIFF", b"RF64", b"RIFX", b"FORM"):
        return 0, -1
    order = "<" if form in (b"RIFF", b"RF64") else ">"
    large = None
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack(order + "4sI", head)
        if name in (b"data", b"SSND"):
            if length == 0xFFFFFFFF and large is not None:
                return file.tell(), large if large < 1 << 62 else -1
            return file.tell(), length if length < STREAMED else -1
        start = file.tell()
        if name == b"ds64":
            large = int.from_bytes(file.read(16)[8:], "little")
        file.seek(start + length + length % 2)
    return 0, -1


def _ogg_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last page is whole and says that the stream ends."""
    file.seek(max(0, size - 2 * LARGEST_PAGE))  # the page, and tags that others have put behind it
    tail = file.read()
    page = tail[tail.rfind(b"OggS\0") :]
    if len(page) < 27 or not page[5] & 4:
        return False
    return len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
