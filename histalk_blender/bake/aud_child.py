"""What `foreign` starts where Blender's module is not loaded: one sound becomes a FLAC."""

import json
import os
import sys
from pathlib import Path

from ..errors import HiSTalkError
from .aud_decoder import write_flac


def main(source: str, path: str, called: str, longest: str) -> None:
    """Print one line of JSON: `refused`, a sentence for the user, and `failed`, what the disk said, or "" for both."""
    result = {"refused": "", "failed": ""}
    try:
        write_flac(Path(source), Path(path), called, float(longest))
    except HiSTalkError as error:
        result["refused"] = str(error)
    except OSError as error:
        result["failed"] = error.strerror or str(error)
    print(json.dumps(result))


main(*sys.argv[1:])
sys.stdout.flush()
os._exit(0)  # Blender's module may wait forever at a normal end
