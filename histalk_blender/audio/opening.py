"""A sound file opened, or the sentence that says why it cannot be."""

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
UNKNOWN = 1 << 60  # frames from here on are libsndfile's way to say that the file does not tell
HEADER_BYTES = 1 << 26  # that a decoder may read before the first sample
READ = "use wav, flac, ogg or mp3"


class Decoder(sf.SoundFile):
    """Read from its start to its end: soundfile seeks after each block, which not all formats can."""

    @property
    def can_seek(self) -> bool:
        """Whether libsndfile can go to a frame at once; in what does not tell its length it may not."""
        return sf.SoundFile.seekable(self) and self.frames < UNKNOWN and not self.subtype.startswith("DWVW")

    def seekable(self) -> bool:
        """What soundfile asks."""
        return False


@contextmanager
def opened(source: Path | bytes | BinaryIO, called: str) -> Iterator[tuple[Decoder, View, Contents] | None]:
    """A decoder of a file, what it reads and what that holds; None where only Blender may be able to read it.

    Raises:
        HiSTalkError: it is missing, no regular file, cannot be read, or is no audio.
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
            file = Decoder(view)
        except (sf.LibsndfileError, RuntimeError) as error:
            if view.error is not None:
                raise _unreadable(called, view.error) from error
            raise not_audio(called, why(error)) from error
        with file:
            yield file, view, contents
    finally:
        raw.close()


def open_source(source: Path | bytes | BinaryIO, called: str) -> BinaryIO:
    """The bytes of a sound; of a handle, one that may be closed.

    Raises:
        HiSTalkError: the file is missing, no regular file, cannot be read or is empty.
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
        raw = open_regular(source)
    except FileNotFoundError as error:
        raise HiSTalkError(f"No audio file at {called}: check the path.") from error
    except OSError as error:
        raise _unreadable(called, error) from error
    if not raw.seek(0, os.SEEK_END):
        raw.close()
        raise HiSTalkError(f"{called} is empty (0 bytes): export the audio again.")
    return raw


def check_form(file: sf.SoundFile, called: str) -> None:
    """Whether its rate and channels are those of sound.

    Raises:
        HiSTalkError: they are not.
    """
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise HiSTalkError(f"{called} has a sample rate of {file.samplerate} Hz: export it at 16 to 192 kHz.")
    if file.channels > MOST:
        raise HiSTalkError(f"{called} has {file.channels} channels, {MOST} at most are read: export the voice alone.")


def check_length(seconds: float, samples: int, called: str) -> None:
    """Whether it is no longer than an hour, in all its channels.

    Raises:
        HiSTalkError: it is.
    """
    if seconds > LONGEST + 1:
        raise HiSTalkError(f"{called} lasts {seconds / 60:.0f} minutes: cut it to an hour or less.")
    if samples > MOST_SAMPLES:
        raise HiSTalkError(f"{called} holds {samples} samples in all its channels: export the voice alone.")


def check_header(source: Path, channel: str = MIX) -> None:
    """Whether a file says of itself that it is sound of a fitting length, without decoding it.

    Raises:
        HiSTalkError: it does not, or has no such channel.
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
    """How long a file says that it is; 0 where it does not say, or cannot be read."""
    try:
        with opened(source, f"'{source}'") as found:
            known = found is not None and found[0].frames < UNKNOWN
            return found[0].frames / found[0].samplerate if known else 0.0
    except HiSTalkError:
        return 0.0


def is_lossless(source: Path | bytes) -> bool:
    """Whether every decoder gives the same samples: what pads its start (mp3, ogg) is placed by each as it sees fit."""
    try:
        with opened(source, "") as found:
            return found is not None and found[0].subtype.startswith(("PCM", "FLOAT", "DOUBLE"))
    except HiSTalkError:
        return False


def not_audio(called: str, reason: str = "") -> HiSTalkError:
    """For what no decoder reads."""
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
