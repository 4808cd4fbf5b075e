"""Run as a script with a folder: fails where the torch and transformers in it cannot be imported."""

import importlib
import sys
from pathlib import Path

for name in ("torch", "transformers"):
    module = importlib.import_module(name)
    if not module.__file__ or not Path(module.__file__).resolve().is_relative_to(Path(sys.argv[1]).resolve()):
        sys.exit(f"{name} was found in {module.__file__} instead")
