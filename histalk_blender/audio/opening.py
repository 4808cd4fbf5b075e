"""Opening a sound file, checking what its header says, and the sentence if something is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO

import soundfile as sf

from ..errors import HiSTalkError
from ..files import open_regular
from . import conversion
from .channels import MIX, MOST, pick_channel
from .headers import Contents, contents_of
from .views import View

SHORTEST = 0.1  # seconds
LONGEST = 3600.0  # seconds
RATES = 1_000, 1_000_000  # Hz that a file may have
MOST_SAMPLES = 3600 * 48_000 * 32  # of all channels: an hour of a 32-track recorder
UNKNOWN = 1 << 60  # frames; libsndfile reports so many or more if the file does not say
HEADER_BYTES = 1 << 26  # that a decoder may read before the first sample
READ = "use wav, flac, ogg or mp3"


class Decoder(sf.SoundFile):
    """Read from start to end: soundfile would seek after each block, which some formats cannot."""

    @property
    def can_seek(self) -> bool:
        """Whether libsndfile can go to a frame at once; in a file without its length it may not."""
        return sf.SoundFile.seekable(self) and self.frames < UNKNOWN and not self.subtype.startswith("DWVW")

    def seekable(self) -> bool:
        """What soundfile asks: not to seek."""
        return False


@contextmanager
def opened(source: Path | bytes | BinaryIO, called: str) -> Iterator[tuple[Decoder, View, Contents] | None]:
    """A decoder of a file, what it reads and what that holds; None if only Blender may be able to read it.

    Raises:
        HiSTalkError: it is missing, not a regular file, not readable, or not audio.
    """
    raw = open_source(source, called)
    try:
        try:
            contents = contents_of(raw)
        except OSError as error:
            raise _unreadable(called, error) from error
        if contents is None:
            raise not_audio(called)
        if contents.foreign:
            yield None
            return
        view = View(raw, contents.pieces, HEADER_BYTES)
        try:
            file = Decoder(view)  # type: ignore[arg-type]
        except (sf.LibsndfileError, RuntimeError) as error:
            if view.error is not None:
                raise _unreadable(called, view.error) from error
            raise not_audio(called, why(error)) from error
        with file:
            yield file, view, contents
    finally:
        raw.close()


def open_source(source: Path | bytes | BinaryIO, called: str) -> BinaryIO:
    """An open file of a sound's bytes; of an open file, a duplicate that may be closed.

    Raises:
        HiSTalkError: the file is missing, empty, not a regular file, or not readable.
    """
    if isinstance(source, bytes):
        if not source:
            raise HiSTalkError(f"{called} is empty (0 bytes): pack the sound again.")
        return BytesIO(source)
    if isinstance(source, BufferedReader):
        raw = os.fdopen(os.dup(source.fileno()), "rb")
        raw.seek(0)
        return raw
    try:
        raw = open_regular(source)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise HiSTalkError(f"No audio file at {called}: check the path.") from error
    except OSError as error:
        raise _unreadable(called, error) from error
    if not raw.seek(0, os.SEEK_END):
        raw.close()
        raise HiSTalkError(f"{called} is empty (0 bytes): export the audio again.")
    return raw


def check_form(file: sf.SoundFile, called: str) -> None:
    """Refuse a sample rate or a number of channels that no recording has.

    Raises:
        HiSTalkError: it has one.
    """
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise HiSTalkError(f"{called} has a sample rate of {file.samplerate} Hz: export it at 16 to 192 kHz.")
    if file.channels > MOST:
        raise HiSTalkError(f"{called} has {file.channels} channels, {MOST} at most are read: export the voice alone.")


def check_length(seconds: float, samples: int, called: str) -> None:
    """Refuse more than an hour, in all channels.

    Raises:
        HiSTalkError: it is longer.
    """
    if seconds > LONGEST + 1:
        raise HiSTalkError(f"{called} lasts {seconds / 60:.0f} minutes: cut it to an hour or less.")
    if samples > MOST_SAMPLES:
        raise HiSTalkError(f"{called} holds {samples} samples in all its channels: export the voice alone.")


def check_header(source: Path, channel: str = MIX) -> None:
    """Check a file's header, without decoding the file.

    Raises:
        HiSTalkError: it is not sound, or of a wrong length, or has no such channel.
    """
    called = f"'{source}'"
    with opened(source, called) as found:
        if found is None:
            conversion.check_available(called)
            return
        file = found[0]
        seconds = 0.0 if file.frames >= UNKNOWN else file.frames / max(file.samplerate, 1)
        check_form(file, called)
        check_length(seconds, file.channels * round(seconds * file.samplerate), called)
        pick_channel(channel, file.channels, called)
    if 0 < seconds < SHORTEST:
        raise HiSTalkError(f"{called} lasts {seconds:.3f} s: at least {SHORTEST} s are needed.")


def seconds_of(source: Path) -> float:
    """A file's length by its header; 0 if it has none, or cannot be read."""
    try:
        with opened(source, f"'{source}'") as found:
            if found is None or found[0].frames >= UNKNOWN:
                return 0.0
            return found[0].frames / found[0].samplerate
    except HiSTalkError:
        return 0.0


def is_lossless(source: Path | bytes) -> bool:
    """Whether all decoders give the same samples; the padding at the start of mp3 and ogg differs between them."""
    try:
        with opened(source, "") as found:
            return found is not None and found[0].subtype.startswith(("PCM", "FLOAT", "DOUBLE"))
    except HiSTalkError:
        return False


def not_audio(called: str, reason: str = "") -> HiSTalkError:
    """The error for a file that no decoder reads."""
    reason = f" ({reason})" if reason else ""
    return HiSTalkError(f"{called} is not audio that can be read{reason}: {READ}.")


def _unreadable(called: str, error: OSError) -> HiSTalkError:
    reason = error.strerror or "no reason given"
    if reason.startswith("it is"):
        return HiSTalkError(f"{called} cannot be read, as {reason}: name an audio file.")
    return HiSTalkError(f"{called} cannot be read ({reason}): check its path and permissions.")


def why(error: Exception) -> str:
    """libsndfile's reason without its frame."""
    return str(getattr(error, "error_string", error)).strip().removeprefix("Error : ").rstrip(".")
