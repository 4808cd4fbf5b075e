"""`histalk`, and `python -m histalk_blender`: signals are handled before anything slow is imported."""

from __future__ import annotations

import sys

from .runtime.process_exit import run_and_exit


def _command() -> None:
    from .cli.main import main as histalk

    histalk(sys.argv[1:])


def main() -> None:
    """Run the command line as this process's only purpose."""
    run_and_exit(_command)


if __name__ == "__main__":
    main()
