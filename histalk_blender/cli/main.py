"""The `histalk` command: a group of the commands in this folder, and its exit codes."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import click

from .. import __version__
from ..runtime.output import escape_unencodable
from ..runtime.process_exit import exit_code_of, run_and_exit
from . import bake, batch, synthesize


class _Group(click.Group):
    """Its exit codes are those of `process_exit`; in a process that has no other purpose it ends the process."""

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        def command():
            escape_unencodable()
            try:
                return super(_Group, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except click.ClickException as error:
                error.show()
                return error.exit_code
            except click.Abort as error:  # made of a signal, which knows its code
                raise error.__cause__ or KeyboardInterrupt from None

        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        if args is None:
            run_and_exit(command)
        sys.exit(exit_code_of(command))


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="histalk")
def main() -> None:
    """Speech to 3D facial animation."""


@click.command(hidden=True)
def worker() -> None:
    """What `batch --workers` starts."""
    from ..batch.worker_process import serve

    serve()


def _training_commands() -> tuple[click.Command, ...]:
    """Those of the training room, which the extension does not contain."""
    found = find_spec("..training", __package__)
    if not (found and found.origin):  # an empty folder counts as a package too
        return ()
    from .training import COMMANDS

    return COMMANDS


for command in (synthesize.command, bake.command, batch.command, worker, *_training_commands()):
    main.add_command(command)
