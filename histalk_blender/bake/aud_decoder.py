"""Sounds and films that Blender's own decoder reads, through FFmpeg, and libsndfile does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import bpy  # noqa: F401  (aud is in it)

import aud  # isort: skip

from ..audio.conversion import register_decoder
from ..errors import HiSTalkError
from ..files import open_regular

BUFFER = 1 << 16  # frames
TIMED = 0.95  # of its promised length that a sound must have where its container knows it


def write_flac(source: Path, path: Path, called: str, longest: float) -> None:
    """The first sound of a file, all its channels at its own rate, 24 bits.

    FLAC, as Blender adds what was left in its buffer to the end of a wav.

    Raises:
        HiSTalkError: Blender finds no sound in it, or it is cut off or too long.
        OSError: there is no room.
    """
    try:
        # An absolute path cannot be taken for one of FFmpeg's protocols.
        sound = aud.Sound(str(Path(source).resolve()))
        rate, channels = (int(value) for value in sound.specs)
        promised = max(sound.length, 0)
    except (aud.error, OverflowError) as error:
        raise HiSTalkError(
            f"{called} has no sound that Blender can read: is it cut off, or a film without sound? Export it again."
        ) from error
    seconds = promised / rate if rate > 0 else 0.0
    if seconds > longest + 1:
        raise HiSTalkError(f"{called} lasts {seconds / 60:.0f} minutes: cut it to an hour or less.")
    need, room = 3 * promised * channels, shutil.disk_usage(path.parent).free
    if need > room:
        raise OSError(f"{need >> 20} MB are needed, {room >> 20} MB free")
    try:
        # A limit ends what would go on for ever.
        sound.limit(0, longest + 2).write(
            str(path), rate, channels, aud.FORMAT_S24, aud.CONTAINER_FLAC, aud.CODEC_FLAC, 0, BUFFER
        )
    except aud.error as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise HiSTalkError(f"Blender cannot read {called} ({reason}): convert it to wav.") from error
    if _is_timed(source):
        import soundfile as sf

        got = sf.info(path).frames
        if got < TIMED * promised:
            lasts = f"{got / rate:.1f} of {seconds:.1f} s"
            raise HiSTalkError(f"{called} breaks off after {lasts}, before its end: copy or export it again.")


def _is_timed(source: Path) -> bool:
    """Whether its container writes down how long it is; others are guessed at by their bit rate."""
    with open_regular(source) as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" or head[:4] in (b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75")


register_decoder(write_flac)
