"""Which bytes of a sound file its decoder gets: the header that it needs, and the sound.

libsndfile accepts a truncated file as whole, and tags, pictures and lists in a header can keep it busy for ever. So
truncation is found here, and tags, pictures and lists are left out.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .views import Piece

SLACK = 100  # bytes; some programs count their header as sound
STREAMED = 0x7FFF0000  # sizes from here on, or 0, are written by programs that write to a pipe and do not know the size
UNSEEN = 1 << 62  # bytes, more than any file has
MOST_CHUNKS = 10_000  # of a file; recorders that stamp each second write an hour's 3600
MOST_HEADER = 1 << 22  # bytes of a chunk that decoders need; the packet table of an hour of ALAC has 0.5 MB
WAV_CODECS = (1, 2, 3, 6, 7, 0x11, 0x31, 0x38, 0x40, 0x55, 0x64)  # that libsndfile reads: PCM, float, ADPCM, GSM, mp3
LONGEST_PAGE = 255 * 8192  # samples that a page of Ogg can hold
MOST_PAGES = 1 << 20  # of Ogg; an hour has 4000 to 200,000


@dataclass(frozen=True)
class Contents:
    """What is in a file.

    pieces: what libsndfile sees, for `views.View`; none if only Blender can read it.
    cut: it is truncated; False for formats in which only decoding shows that.
    guessed: it is an mp3 without its length, which libsndfile guesses from the first frame's bit rate.
    """

    pieces: list[Piece]
    cut: bool = False
    guessed: bool = False

    @property
    def foreign(self) -> bool:
        """Whether only Blender can read it."""
        return not self.pieces


FOREIGN = Contents([])


class _NoSound(Exception):
    """It is not what its first bytes say."""


def contents_of(file: BinaryIO) -> Contents | None:
    """What to decode of a file, by its first bytes, whatever its name is; None if nothing can read it.

    Args:
        file: at any position; it is left at any position.

    Raises:
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    begin = _after_tags(file)
    file.seek(begin)
    head = file.read(256)
    for fits, read in _READERS:
        if fits(head):
            try:
                return read(file, begin, size, head)
            except _NoSound:
                return None
    return FOREIGN if any(fits(head) for fits in _BLENDERS) else None


def _after_tags(file: BinaryIO) -> int:
    """Where it begins after ID3 tags, which may be 256 MB long."""
    begin = 0
    for _ in range(8):
        file.seek(begin)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        begin += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        begin += 10 * (head[5] >> 4 & 1)  # a footer
    return begin


def _chunks(
    file: BinaryIO, start: int, head: struct.Struct, pad: int, whole: bool = False
) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each chunk.

    Args:
        start: of the first one's head.
        head: of a name and a length.
        pad: bytes that lengths are rounded up to.
        whole: lengths count the head.
    """
    for _ in range(MOST_CHUNKS):
        file.seek(start)
        data = file.read(head.size)
        if len(data) < head.size:
            return
        name, length = head.unpack(data)
        first = start + head.size
        if whole:
            length -= head.size
        yield name, first, length
        if not 0 <= length < UNSEEN:
            return
        start = first + length
        if length % pad:
            file.seek(start)
            following = file.read(4)
            if (
                pad != 2 or not following.isascii() or not following.decode().isprintable()
            ):  # some programs leave out the padding
                start += -length % pad


def _kept(file: BinaryIO, first: int, length: int, size: int) -> bytes:
    """A chunk of the header."""
    if not 0 <= length <= min(MOST_HEADER, size - first):
        raise _NoSound
    file.seek(first)
    return file.read(length)


def _sound(first: int, length: int, size: int) -> tuple[int, bool]:
    """How many bytes of samples there are, and whether that is less than the header says; length -1 = unknown."""
    there = max(0, size - first)
    if length < 0:
        return there, False
    return min(length, there), length > there + SLACK


def _wav(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    order = ">" if head[:4] == b"RIFX" else "<"
    kept: dict[bytes, bytes] = {}
    found, large = None, -1
    for name, first, length in _chunks(file, begin + 12, struct.Struct(order + "4sI"), 2):
        if name == b"ds64":
            large = int.from_bytes(_kept(file, first, min(length, 16), size)[8:], "little")
        elif name in (b"fmt ", b"fact") and name not in kept:
            kept[name] = _kept(file, first, length, size)
        elif name == b"data" and found is None:
            if length == 0xFFFFFFFF and 0 < large < UNSEEN:
                length = large
            elif not 0 < length < STREAMED:
                length = -1
            found = first, *_sound(first, length, size)
            if length < 0:
                break
        if found and b"fmt " in kept:
            break
    if found is None or b"fmt " not in kept:
        raise _NoSound
    if _codec(kept[b"fmt "], order) not in WAV_CODECS:
        return FOREIGN
    first, there, cut = found
    header = b"".join(
        name + struct.pack(order + "I", len(data)) + data + bytes(len(data) % 2)
        for name, data in sorted(kept.items(), reverse=True)  # fmt before fact
    )
    data_size = there if there < STREAMED else 0xFFFFFFFF  # libsndfile then reads to the end
    form = head[:4] if order == ">" else b"RIFF"  # RF64 and BW64 have another place for their size
    header = form + struct.pack(order + "I", min(len(header) + 12 + there, 0xFFFFFFFF)) + b"WAVE" + header
    return Contents([header + b"data" + struct.pack(order + "I", data_size), (first, there)], cut)


def _codec(form: bytes, order: str) -> int:
    """The codec's number in a wav's fmt chunk, in its long form that of the GUID."""
    if len(form) < 14:
        raise _NoSound
    (codec,) = struct.unpack_from(order + "H", form)
    return struct.unpack_from(order + "H", form, 24)[0] if codec == 0xFFFE and len(form) >= 40 else codec


def _aiff(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    common, found = b"", None
    for name, first, length in _chunks(file, begin + 12, struct.Struct(">4sI"), 2):
        if name == b"COMM" and not common:
            common = _kept(file, first, length, size)
        elif name == b"SSND" and found is None:
            unknown = not 0 < length < STREAMED
            found = first, *_sound(first, -1 if unknown else length, size)
            if unknown:
                break
        if found and common:
            break
    if found is None or len(common) < 18:
        raise _NoSound
    first, there, cut = found
    chunks = b"COMM" + struct.pack(">I", len(common)) + common + bytes(len(common) % 2)
    chunks += b"SSND" + struct.pack(">I", min(there, 0xFFFFFFFF))
    header = b"FORM" + struct.pack(">I", min(4 + len(chunks) + there, 0xFFFFFFFF)) + head[8:12] + chunks
    return Contents([header, (first, there)], cut)


W64 = bytes.fromhex("2e91cf11a5d628db04c10000"), bytes.fromhex("f3acd3118cd100c04f8edb8a")  # behind riff; all others


def _w64(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    kept: dict[bytes, bytes] = {}
    found = None
    for name, first, length in _chunks(file, begin + 40, struct.Struct("<16sq"), 8, whole=True):
        if name[4:] != W64[1]:
            continue
        if name[:4] in (b"fmt ", b"fact") and name[:4] not in kept:
            kept[name[:4]] = _kept(file, first, length, size)
        elif name[:4] == b"data" and found is None:
            found = first, *_sound(first, length if 0 < length < UNSEEN else -1, size)
        if found and b"fmt " in kept:
            break
    if found is None or b"fmt " not in kept:
        raise _NoSound
    first, there, cut = found
    chunks = b"".join(
        name + W64[1] + struct.pack("<q", 24 + len(data)) + data + bytes(-len(data) % 8)
        for name, data in sorted(kept.items(), reverse=True)
    )
    chunks += b"data" + W64[1] + struct.pack("<q", 24 + there)
    header = b"riff" + W64[0] + struct.pack("<q", 40 + len(chunks) + there) + b"wave" + W64[1] + chunks
    return Contents([header, (first, there)], cut)


def _caf(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    kept: dict[bytes, bytes] = {}
    found = None
    for name, first, length in _chunks(file, begin + 8, struct.Struct(">4sq"), 1):
        if name in (b"desc", b"kuki", b"pakt") and name not in kept:
            kept[name] = _kept(file, first, length, size)
        elif name == b"data" and found is None:
            found = first, *_sound(first, length, size)
    if found is None or len(kept.get(b"desc", b"")) < 32:
        raise _NoSound
    first, there, cut = found
    kept = {b"desc": kept[b"desc"]} | kept  # it stands first
    chunks = b"".join(name + struct.pack(">q", len(data)) + data for name, data in kept.items())
    return Contents([head[:8] + chunks + b"data" + struct.pack(">q", there), (first, there)], cut)


def _au(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    offset, length = struct.unpack(">II" if head[:4] == b".snd" else "<II", head[4:12])
    _, cut = _sound(begin + offset, length if length < STREAMED else -1, size)
    return Contents([(begin, size - begin)], cut)


def _nist(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    return Contents([(begin, size - begin)])


def _flac(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    """Its stream information and its frames."""
    info, place, last = b"", begin + 4, False
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        block = file.read(4)
        if len(block) < 4:
            raise _NoSound
        length = int.from_bytes(block[1:], "big")
        if block[0] & 127 == 0 and not info:
            info = _kept(file, place + 4, length, size)
        place, last = place + 4 + length, bool(block[0] & 128)
        if last:
            break
    if len(info) != 34 or not last:
        raise _NoSound
    return Contents([b"fLaC\x80\0\0\x22" + info, (place, max(0, size - place))])


def _ogg(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    """Its pages up to the last, without what follows them."""
    first = head[27 + head[26] :] if len(head) > 27 else b""
    if first.startswith((b"Speex   ", b"\x7fFLAC", b"\x80theora", b"fishead\0")):
        return FOREIGN
    if not first.startswith((b"\x01vorbis", b"OpusHead")):
        raise _NoSound
    place, end, ended, begun, time = begin, begin, False, 0, 0
    for _ in range(MOST_PAGES):
        file.seek(place)
        page = file.read(27)
        if len(page) < 27 or page[:5] != b"OggS\0":
            place = _next_page(file, place)
            if place < 0:
                break
            continue
        place += 27 + page[26] + sum(file.read(page[26]))
        begun += page[5] >> 1 & 1
        now = int.from_bytes(page[6:14], "little", signed=True)
        ended = place <= size and bool(page[5] & 4) and 0 <= now <= max(time, 0) + LONGEST_PAGE
        time = now if now >= 0 else time  # -1: no packet ends there
        if place > size:
            break
        end = place
    if begun > 1:  # sound and video, or several recordings in a row: libsndfile reads only the first
        return FOREIGN
    return Contents([(begin, end - begin)], not ended)


def _next_page(file: BinaryIO, place: int) -> int:
    """Where the next page is, within 128 kB; else -1."""
    file.seek(place)
    found = file.read(1 << 17).find(b"OggS\0", 1)
    return place + found if found > 0 else -1


def _mp3(file: BinaryIO, begin: int, size: int, head: bytes) -> Contents:
    places = [head.find(tag) for tag in (b"Xing", b"Info")]
    known = len(head) < 256 or b"VBRI" in head or any(0 < place < 248 and head[place + 7] & 1 for place in places)
    return Contents([(begin, size - begin)], guessed=not known)


def _is_mp3(head: bytes) -> bool:
    """A frame of MPEG layer I to III; AAC's have layer 0."""
    return len(head) > 3 and head[0] == 0xFF and head[1] >= 0xE0 and head[1] & 6 != 0


_READERS = (
    (lambda head: head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE", _wav),
    (lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _aiff),
    (lambda head: head[:4] == b"fLaC", _flac),
    (lambda head: head[:4] == b"OggS", _ogg),
    (lambda head: head[:16] == b"riff" + W64[0], _w64),
    (lambda head: head[:4] == b"caff", _caf),
    (lambda head: head[:4] in (b".snd", b"dns.") and len(head) >= 24, _au),
    (lambda head: head[:7] == b"NIST_1A", _nist),
    (_is_mp3, _mp3),
)

# What FFmpeg may open: containers, but not playlists, which lead to other files.
_BLENDERS = (
    lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"),  # mp4, m4a, mov, 3gp
    lambda head: head[:4] == b"\x1aE\xdf\xa3",  # mkv, webm
    lambda head: head[:4] == b"\x30\x26\xb2\x75",  # wma, wmv
    lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ",
    lambda head: head[:4] in (b"FLV\1", b"wvpk", b"TTA1", b"MAC "),
    lambda head: head[:5] == b"#!AMR",
    lambda head: head[:2] in (b"\x0b\x77", b"\xff\xf1", b"\xff\xf9", b"\xff\xf0", b"\xff\xf8"),  # ac3; aac
    lambda head: head[:4] in (b"\x7f\xfe\x80\x01", b"\0\0\1\xba"),  # dts; mpg
    lambda head: head[:1] == b"G" and head[188:189] == b"G",  # mts
)
