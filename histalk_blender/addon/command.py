"""`blender --background [SHOT.blend] --command histalk ...`: the command line's verbs inside Blender."""

from __future__ import annotations

import bpy

from ..runtime.process_exit import exit_code_of, run_and_exit
from .session import get_session


def run(arguments: list[str]) -> int:
    """What Blender calls. Returns the exit code; in Blender itself it does not return, but ends the process with it."""

    def command() -> None:
        get_session().environment.activate(bpy.context)
        from ..cli.main import main  # click comes with PyTorch's environment

        main.main(args=arguments, prog_name="blender --command histalk")

    if bpy.app.binary_path:
        run_and_exit(command)
    return exit_code_of(command)
