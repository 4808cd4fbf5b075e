"""What the extension adds to Blender's start: its import and registration in a fresh process, and again when enabled.

    .venv/bin/python benchmarks/register.py

Blender's own add-ons are loaded first, as they usually are. Processor time, so that other programs do not count.
"""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the best of five processes."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, __file__, "--child"], capture_output=True, text=True, env=env, check=True
        )
        runs.append([float(word) for word in done.stdout.split()[-2:]])
    first, again = (min(times) for times in zip(*runs))
    print(f"first time {first:.0f} ms, again {again:.1f} ms")


def child() -> None:
    """One process."""
    import bpy

    bpy.ops.wm.read_factory_settings()
    spec = importlib.util.spec_from_file_location("ext", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    times = [time.process_time()]
    module = sys.modules["ext"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.register()
    times.append(time.process_time())
    module.unregister()
    times.append(time.process_time())
    module.register()
    times.append(time.process_time())
    module.unregister()
    print(1000 * (times[1] - times[0]), 1000 * (times[3] - times[2]), flush=True)


if __name__ == "__main__":
    child() if "--child" in sys.argv else main()
