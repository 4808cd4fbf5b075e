"""What several commands do: predict with a progress bar, check outputs early, print warnings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ..audio.channels import MIX
from ..errors import HiSTalkError
from ..runtime.pins import BPY
from ..runtime.process_exit import signals_deferred


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[float], None]]:
    """A bar in percent on a terminal's stderr; gives the function that takes the share done."""
    from tqdm import tqdm

    with tqdm(total=100, desc=name, unit="%", file=sys.stderr, leave=False, disable=None) as bar:

        def show(share: float) -> None:
            bar.update(round(100 * share) - bar.n)

        yield show


def predict_file(audio: Path, weights: Path | None, device: str, channel: str = MIX, levels: bool = False):
    """The `Performance` of a sound file; warnings about the sound go to stderr."""
    from ..audio.clip import open_clip
    from ..runtime.output import silence_fd
    from ..synthesis.engine import perform_clip

    with silence_fd(2):  # libmpg123 writes remarks of its own about many an mp3
        sound = open_clip(audio, channel=channel)
    with progress_bar(audio.name) as progress:
        performance = perform_clip(sound, weights, device, progress, levels)
    print_warnings(*performance.remarks)
    return performance


def print_warnings(*sentences: str) -> None:
    """On stderr, as stdout is for what was written."""
    for sentence in sentences:
        click.echo(f"histalk: {sentence}", err=True)


def check_output(path: Path, *suffixes: str) -> None:
    """Refuse a place for an output before minutes are spent on it.

    Raises:
        HiSTalkError: the suffix is another, or the folder does not exist.
    """
    if path.suffix.lower() not in suffixes:
        raise HiSTalkError(f"'{path}' must end in {' or '.join(suffixes)}.")
    if not path.resolve().parent.is_dir():
        raise HiSTalkError(f"The folder of '{path}' does not exist: make it first.")


def need_blender() -> None:
    """Load Blender's module, or refuse what cannot be done without it.

    Raises:
        HiSTalkError: it is not installed, or does not load.
    """
    try:
        with signals_deferred():  # an exception raised by a signal during Blender's own start would be printed and lost
            from ..bake import scene  # noqa: F401
    except ImportError as error:
        raise HiSTalkError(
            f"Blender's module does not load ({error}): pip install bpy=={BPY}, and on a machine without a desktop "
            "apt-get install libxi6 libxkbcommon0 libsm6 libgl1."
        ) from error
