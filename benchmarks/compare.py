"""Two tables of `run.py` beside each other: each row's times, and which became more than 5 % slower.

.venv/bin/python benchmarks/compare.py OLD.md NEW.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LIMIT = 1.05
NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
TIME = re.compile(rf"({NUMBER}) (ms|s)\b")
MEMORY = re.compile(rf"({NUMBER}) MB")
RATE = re.compile(rf"({NUMBER})\*{{0,2}} (?:clips a minute|frames a second|GFLOP/s)")


def times(line: str) -> list[tuple[float, float]]:
    """A row's times in seconds, the inverse of its rates or, where it has neither, its megabytes.

    Each comes with what its last digit stands for.
    """
    if rates := RATE.findall(line):
        return [(1 / float(text), 0.0) for text in rates]
    found = []
    for text, unit in TIME.findall(line.replace("**", "")):
        scale = 0.001 if unit == "ms" else 1.0
        digit = 0.0 if "e" in text else 10.0 ** -len(text.partition(".")[2])
        found.append((scale * float(text), scale * digit))
    return found or [(float(text), 1.0) for text in MEMORY.findall(line)[:1]]


def sections(markdown: str) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Title -> what a row measures -> `times` of its figures."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for part in re.split(r"^## ", markdown, flags=re.MULTILINE)[1:]:
        title, *lines = part.splitlines()
        cells = (line.strip("| ").split(" | ", 1) for line in lines if line.startswith("| "))
        found[title] = {name: times(rest) for name, rest in cells if name != "what"}
    return found


def compare(old: str, new: str) -> str:
    """One line a row: the largest of its times over the old one. Rows that were renamed are matched by their place."""
    lines, slower, before = [], [], sections(old)
    for title, rows in sections(new).items():
        lines.append(f"\n{title}")
        earlier = before.get(title, {})
        gone, added = [[*(a.keys() - b.keys())] for a, b in ((earlier, rows), (rows, earlier))]
        order = [*earlier] if len(gone) == len(added) and len(earlier) == len(rows) else None
        for place, (name, now) in enumerate(rows.items()):
            then = earlier.get(name) or (earlier[order[place]] if order else [])
            if not now or len(now) != len(then):
                lines.append(f"  {'':>6}  {name}" + (": no row to compare with" if now else ""))
                continue
            ratio = max(b / a if a else 1.0 for (a, _), (b, _) in zip(then, now))
            # A digit's rounding is no slowdown: 0.02 s may be 0.016 or 0.024 s.
            if any(b > LIMIT * a and b - a > digit for (a, digit), (b, _) in zip(then, now)):
                slower.append(f"{title}: {name}, {ratio:.2f}")
            lines.append(f"  {ratio:6.2f}  {name}")
    lines.append(f"\n{len(slower)} rows are more than {100 * (LIMIT - 1):.0f} % slower.")
    return "\n".join([*lines, *(f"  {row}" for row in slower)])


if __name__ == "__main__":
    print(compare(*(Path(path).read_text() for path in sys.argv[1:3])))
