"""All benchmarks as one table: ratios within one run first, absolute figures with the machine's name.

    .venv/bin/python benchmarks/run.py [NAMES ...] [--out docs/benchmarks.md] [--against OLD.md]

Each module named in NAMES gives rows; each runs in a process of its own, so that none warms another's caches. Leave the
machine alone meanwhile.
"""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from compare import compare
from table import machine, markdown

NAMES = ("floor", "cold", "length", "peers", "padding", "streaming", "bakes")


def main() -> None:
    """Print the table; write it, and compare it with an older one, if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all when none is given")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table there: docs/benchmarks.md")
    parser.add_argument(
        "--against", type=Path, metavar="OLD.md", help="then print each row's time over an older table's"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"there is no benchmark '{unknown.pop()}': choose {', '.join(NAMES)}")
    if asked.child:
        module = importlib.import_module(asked.names[0])
        print(markdown(module.TITLE, module.rows()), flush=True)
        return
    old = asked.against.read_text() if asked.against else None
    parts = [f"# Benchmarks\n\n{machine()}.\n"]
    print(parts[0], flush=True)
    for name in asked.names or NAMES:
        done = subprocess.run([sys.executable, __file__, name, "--child"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-3000:]}")
        parts.append(done.stdout)
        print(done.stdout, flush=True)
    if asked.out:
        asked.out.write_text("\n".join(parts))
    if old is not None:
        print(compare(old, "\n".join(parts)))


if __name__ == "__main__":
    main()
