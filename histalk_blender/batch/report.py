"""What became of a batch: a page and a table, one entry a clip, in the folder of its outputs."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from ..errors import HiSTalkError
from ..files import atomic_write

DATA = Path(__file__).parents[1] / "data"  # has report.html, the page's template, and report.js
COLUMNS = tuple(
    "state row name audio seconds decode_s network_s write_s finished error remarks settings outputs bytes "
    "sha256".split()
)
STATES = ("failed", "running", "waiting", "done")
SLOWEST = 5  # clips that the page names
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # with which a spreadsheet takes a cell for a formula


def write_report(rows: list[dict], folder: Path, pictures: str) -> list[Path]:
    """Write report.html and report.csv, failed clips first, then in the manifest's order; an older report is replaced.

    Args:
        rows: of the ledger: name, row, audio, state (of `STATES`), error, remarks, settings, seconds of audio,
            decode_s, network_s, write_s, finished (Unix time), outputs: path relative to `folder`, bytes, sha256.
            None where it is not known.
        folder: of the outputs.
        pictures: the folder in it that has NAME.png and NAME.svg of each clip that is done.

    Raises:
        HiSTalkError: a file cannot be written.
    """
    folder = Path(folder)
    rows = sorted(rows, key=lambda row: (row["state"] != "failed", row["row"]))
    paths = [folder / "report.html", folder / "report.csv"]
    for path, text, encoding in zip(paths, (_page(rows, folder, pictures), _table(rows)), ("utf-8", "utf-8-sig")):
        try:
            atomic_write(path, text.encode(encoding, "replace"))
        except OSError as error:
            fix = "close it where it is open, or choose another folder"
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): {fix}.") from error
    return paths


def _table(rows: list[dict]) -> str:
    """CSV with a header; text that a spreadsheet would take for a formula has an apostrophe before it."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for row in rows:
        cells = row | {
            "finished": _time(row["finished"]),
            "remarks": "; ".join(row["remarks"] or ()),
            "settings": json.dumps(row["settings"] or {}, sort_keys=True, ensure_ascii=False, default=str),
            "outputs": "; ".join(output["path"] for output in row["outputs"] or ()),
            "bytes": sum(output["bytes"] for output in row["outputs"] or ()),
            "sha256": "; ".join(output["sha256"] for output in row["outputs"] or ()),
        }
        values = (cells[column] for column in COLUMNS)
        writer.writerow("'" + v if isinstance(v, str) and v.startswith(FORMULA_STARTS) else v for v in values)
    return file.getvalue()


def _page(rows: list[dict], folder: Path, pictures: str) -> str:
    import jinja2  # comes with PyTorch, which is not there in every Blender

    loader = jinja2.FileSystemLoader(DATA)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"link": _link, "size": _size}
    script = (DATA / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        states=STATES,
        totals=_totals(rows),
        slowest=_slowest(rows),
        rows=[row | _shown(row, folder, pictures) for row in rows],
    )


def _totals(rows: list[dict]) -> list[tuple[str, str]]:
    """Counts and speed; what was measured for no clip is left out."""
    counts = Counter(row["state"] for row in rows)
    timed = _timed(rows)
    speech = sum(row["seconds"] or 0 for row in rows if row["state"] == "done")
    totals = [(state, f"{counts[state]:,}") for state in ("done", "failed", "waiting")]
    totals += [("running", f"{counts['running']:,}")] if counts["running"] else []
    totals.append(("hours of speech", f"{speech / 3600:.2f}"))
    if timed:
        factor = sum(seconds for _, _, seconds in timed) / sum(row["seconds"] for _, row, _ in timed)
        totals.append(("compute seconds per hour of speech", f"{3600 * factor:,.0f}"))
        totals.append(("real-time factor", f"{factor:.3g}"))
    return totals


def _slowest(rows: list[dict]) -> list[tuple[int, dict, float]]:
    return sorted(_timed(rows), key=lambda clip: clip[2], reverse=True)[:SLOWEST]


def _timed(rows: list[dict]) -> list[tuple[int, dict, float]]:
    """Of clips whose every stage was measured: place on the page, row, and compute seconds."""
    timed = []
    for i, row in enumerate(rows):
        stages = row["decode_s"], row["network_s"], row["write_s"]
        if row["state"] == "done" and row["seconds"] and None not in stages:
            timed.append((i, row, sum(stages)))
    return timed


def _shown(row: dict, folder: Path, pictures: str) -> dict:
    """What the page shows of a clip beside its row; pictures only where they exist, so that none is shown broken."""
    facts = [f"row {row['row']}", str(row["audio"])]
    if row["seconds"] is not None:
        facts.append(f"{row['seconds']:,.1f} s of sound")
    for label, key in (("decoding", "decode_s"), ("network", "network_s"), ("writing", "write_s")):
        if row[key] is not None:
            facts.append(f"{label} {row[key]:.2f} s")
    if row["finished"] is not None:
        facts.append(_time(row["finished"]))
    portrait, plot = (f"{pictures}/{row['name']}{suffix}" for suffix in (".png", ".svg"))
    done = row["state"] == "done"
    return {
        "facts": "\u00a0· ".join(facts),
        "portrait": portrait if done and os.path.isfile(os.path.join(folder, portrait)) else "",
        "plot": plot if done and os.path.isfile(os.path.join(folder, plot)) else "",
    }


def _link(path: str) -> str:
    """A path as a link below the page's folder, never to another host or scheme, whatever a file is called."""
    return "./" + quote(os.fsencode(path))


def _time(unix: float | None) -> str:
    return "" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} GB"
