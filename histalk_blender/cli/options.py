"""Options that several commands share, read in the same way as a manifest's columns of the same names."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from ..audio.channels import MIX
from ..bake.kinds import KINDS, kind_options
from ..bake.mapping import read_mapping
from ..batch.columns import COLUMNS
from ..batch.job import Job
from ..motion.style import Style
from ..settings import Setting, settings_of

FILE = click.Path(path_type=Path)
METAVARS = {"": "FACTOR", "s": "SECONDS", "mm": "MM"}  # by a setting's unit


class Read(click.ParamType):
    """Text that a function reads; its ValueError says what may be written."""

    def __init__(self, name: str, read: Callable):
        self.name, self.read = name, read

    def convert(self, value, param, ctx):
        """What was read; a default that is no text stays as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ValueError as error:
            self.fail(f"'{value}': write {error}.", param, ctx)


def column_option(name: str, metavar: str, **attributes):
    """The flag of a column that is not a setting."""
    return click.option(f"--{name}", type=Read(metavar, COLUMNS[name]), **attributes)


def setting_option(setting: Setting):
    """The flag of a setting."""
    return click.option(
        setting.flag,
        setting.name,
        type=Read(METAVARS[setting.unit], setting.read),
        default=setting.default,
        show_default=True,
        help=f"{setting.description}. From {setting.minimum:g} to {setting.maximum:g}.",
    )


channel_option = column_option(
    "channel",
    "CHANNEL",
    default=MIX,
    show_default=True,
    help="Of the sound, for two speakers in stereo: mix, left, right or a number; in a mono file all are the same.",
)
weights_option = click.option("--weights", type=FILE, help="A .safetensors checkpoint; the bundled one by default.")
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
_KINDS = ", ".join(f"{kind.name} ({kind.label})" for kind in KINDS)
# Fields of `Job` -> flags.
_JOB_FLAGS = {
    "shot": click.option("--shot", type=FILE, help="Bake on a head of this .blend; on the bundled head by default."),
    "object": click.option("--object", default="", help="Which of the shot's objects, where it has several heads."),
    "bake": column_option("bake", "KIND", help=f"How motion is stored: {_KINDS}. By default the first that fits."),
    "mapping": click.option("--mapping", type=FILE, help="JSON as the panel saves it: which key is which of ARKit's."),
    "fps": column_option("fps", "FPS", help="Frames a second of a new scene, 30 by default; a shot has its own."),
    "start": column_option("start", "FRAME", default=1, show_default=True, help="Scene frame where speech begins."),
    "frames": column_option("frames", "FIRST-LAST", help="Bake only these scene frames."),
    "channel": channel_option,
    "discard_edits": click.option(
        "--discard-edits", is_flag=True, help="Replace an earlier bake even if it was edited by hand."
    ),
}


def bake_options(command):
    """Flags that say on what and how a head is animated; the command gets them as one `Job`."""

    @wraps(command)
    def called(*arguments, **values):
        own = {name: values.pop(name) for name in _JOB_FLAGS}
        if own["mapping"]:
            own["mapping"] = read_mapping(own["mapping"])
        own = {name: value for name, value in own.items() if value is not None}
        style = Style(**{setting.name: values.pop(setting.name) for setting in settings_of(Style)})
        options = {option.name: values.pop(option.name) for option in kind_options()}
        return command(*arguments, job=Job(**own, style=style, options=options), **values)

    for option in reversed((*_JOB_FLAGS.values(), *map(setting_option, (*kind_options(), *settings_of(Style))))):
        called = option(called)
    return called
