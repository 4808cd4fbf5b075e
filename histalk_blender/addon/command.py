"""`blender --background [SHOT.blend] --command histalk ...`: the command line's verbs inside Blender."""

from __future__ import annotations

import sys

import bpy

from ..errors import HiSTalkError
from . import preferences


def run(arguments: list[str]) -> int:
    """What Blender calls; returns the exit code."""
    try:
        preferences.prepare_environment(bpy.context)
    except HiSTalkError as error:
        print(f"histalk: {error}", file=sys.stderr)
        return 2
    from ..cli import main  # click comes with PyTorch's environment

    try:
        main.main(args=arguments, prog_name="blender --command histalk")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    return 0
