"""A benchmark's rows, and the table of all of them."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line: a ratio, which is similar on other machines, before the figures that it comes from."""

    what: str  # e.g. "synthesis, 60 s of speech"
    ratio: float | None  # None = not measured here; `absolute` has the reason
    to: str  # what the ratio is to: "of real time", "x its matrix products"
    bar: str = ""  # the requirement: "<= 0.04"
    absolute: str = ""  # "0.36 s", or why it was not measured

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar or a ratio."""
        if not self.bar or self.ratio is None:
            return None
        sign, bar = self.bar.split()
        return self.ratio <= float(bar) if sign == "<=" else self.ratio >= float(bar)


def best(work: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of several calls, after a first one that does not count."""
    work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def machine() -> str:
    """This machine's name for a table: processor, cores, system."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = f"{lines[0]}, {len(lines)} cores"
    return f"{name}, {platform.system()}, Python {platform.python_version()}"


def markdown(title: str, rows: Iterable[Row]) -> str:
    """A section as a Markdown table."""
    lines = [f"## {title}", "", "| what | ratio | bar | figures |", "|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"**{row.ratio:.3g}** {row.to}"
        bar = (
            ""
            if not row.bar
            else f"{row.bar.replace('<=', '≤').replace('>=', '≥')}{'' if row.met in (True, None) else ', **missed**'}"
        )
        lines.append(f"| {row.what} | {ratio} | {bar} | {row.absolute} |")
    return "\n".join([*lines, ""])
