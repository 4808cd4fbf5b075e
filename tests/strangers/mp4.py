"""A small m4a, as phones record: AAC in an MP4 whose edit list leaves out the encoder's priming samples."""

import struct
from pathlib import Path

import aud

PRIMING = 1024  # samples that the encoder puts before the sound
MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def box(name, *parts):
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), name) + data


def full(name, form, *values, flags=0):
    """A box with version 0, flags, and big-endian values."""
    return box(name, struct.pack(">I" + form, flags, *values))


def aac_frames(sound, path, rate, channels):
    """What Blender's encoder makes of a sound, and the code of its rate."""
    aud.Sound(str(sound)).write(
        str(path), rate, channels, aud.FORMAT_FLOAT32, aud.CONTAINER_AAC, aud.CODEC_AAC, 192_000, 1 << 16
    )
    data, frames = path.read_bytes(), []
    code = data[2] >> 2 & 15
    while data:
        size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        frames.append(data[7:size])
        data = data[size:]
    return frames, code


def write_m4a(sound: Path, path: Path, rate: int, channels: int, length: int) -> Path:
    """Encode a sound of `length` samples and wrap it."""
    frames, code = aac_frames(sound, path.with_suffix(".aac"), rate, channels)
    config = struct.pack(">H", 2 << 11 | code << 7 | channels << 3)
    decoder = b"\x04\x11\x40\x15" + bytes(11) + b"\x05\x02" + config
    esds = box(b"esds", bytes(4), b"\x03\x19\0\1\0", decoder, b"\x06\x01\x02")
    entry = box(b"mp4a", bytes(6), struct.pack(">H8xHHIHH", 1, channels, 16, 0, rate, 0), esds)

    def moov(place):
        table = box(
            b"stbl",
            box(b"stsd", bytes(4), struct.pack(">I", 1), entry),
            full(b"stts", "III", 1, len(frames), 1024),
            full(b"stsc", "IIII", 1, 1, len(frames), 1),
            full(b"stsz", f"II{len(frames)}I", 0, len(frames), *map(len, frames)),
            full(b"stco", "II", 1, place),
        )
        here = box(b"dinf", box(b"dref", bytes(4), struct.pack(">I", 1), full(b"url ", "", flags=1)))
        media = box(
            b"mdia",
            full(b"mdhd", "IIIIHH", 0, 0, rate, 1024 * len(frames), 0x55C4, 0),
            full(b"hdlr", "I4s12xx", 0, b"soun"),
            box(b"minf", full(b"smhd", "HH", 0, 0), here, table),
        )
        return box(
            b"moov",
            full(b"mvhd", "IIIIIH10x36s24xI", 0, 0, rate, length, 0x10000, 0x100, MATRIX, 2),
            box(
                b"trak",
                full(b"tkhd", "IIIIIQHHHH36sII", 0, 0, 1, 0, length, 0, 0, 0, 0x100, 0, MATRIX, 0, 0, flags=3),
                box(b"edts", full(b"elst", "IIiI", 1, length, PRIMING, 0x10000)),
                media,
            ),
        )

    head = box(b"ftyp", b"M4A \0\0\0\0M4A mp42isom")
    path.write_bytes(head + moov(len(head) + len(moov(0)) + 8) + box(b"mdat", *frames))
    return path
