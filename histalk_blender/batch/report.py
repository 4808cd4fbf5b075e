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
from html import escape
from pathlib import Path
from urllib.parse import quote

from ..errors import HiSTalkError
from ..files import atomic_write

COLUMNS = (
    "state",
    "row",
    "name",
    "audio",
    "seconds",
    "decode_s",
    "network_s",
    "write_s",
    "finished",
    "error",
    "remarks",
    "settings",
    "outputs",
    "bytes",
    "sha256",
)
STATES = ("failed", "running", "waiting", "done")
SLOWEST = 5
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # with these a spreadsheet begins to reckon

STYLE = """:root{color-scheme:light dark;font:14px/1.45 system-ui,sans-serif}
body{max-width:1080px;margin:2em auto;padding:0 1em}h1{font-size:1.5em;margin:0 0 .6em}a{color:LinkText}
[hidden]{display:none!important}
dl{display:flex;flex-wrap:wrap;gap:.5em 2.2em;margin:0 0 1em}dt{opacity:.7;font-size:.85em}
dd{margin:0;font-size:1.35em;font-variant-numeric:tabular-nums}
form{position:sticky;top:0;background:Canvas;padding:.6em 0;display:flex;gap:.6em;align-items:center;z-index:1}
input{flex:0 1 24em}input,select{font:inherit;padding:.25em .4em}
article{display:grid;grid-template-columns:128px minmax(0,1fr) 480px;gap:16px;padding:12px 0;border-top:1px solid #8884;
content-visibility:auto;contain-intrinsic-size:auto 141px;min-height:58px}
article>img:first-child{border-radius:6px}article>div:first-child{width:128px}
h2{font-size:1em;margin:0;overflow-wrap:anywhere}p{margin:.15em 0;overflow-wrap:anywhere}.m{opacity:.75;font-size:.87em}
b{font-size:.75em;font-weight:600;padding:.1em .55em;border-radius:1em;border:1px solid;margin-right:.5em}
.failed b,.failed .e{color:#c03020}.done b{color:#087a58}.waiting b,.running b{opacity:.7}
@media(prefers-color-scheme:dark){.failed b,.failed .e{color:#ff8a75}.done b{color:#3ccf9e}}
@media(max-width:900px){article{grid-template-columns:128px minmax(0,1fr)}
article>img+div+img{grid-column:1/3;max-width:100%}}"""

# Without it the page shows all clips; a browser that runs it runs no other, whatever a clip is called.
SCRIPT = """const rows=[...document.querySelectorAll("article")],f=document.forms[0],q=f.elements.q,s=f.elements.s
const show=()=>{const words=q.value.toLowerCase();let shown=0
for(const r of rows){const on=(!s.value||r.className===s.value)&&(!words||r.textContent.toLowerCase().includes(words))
r.hidden=!on;shown+=on}
document.getElementById("n").textContent=shown+" of "+rows.length}
f.hidden=false;f.oninput=show;f.onsubmit=e=>e.preventDefault();show()"""


def write_report(rows: list[dict], folder: Path, pictures: str) -> list[Path]:
    """Make report.html and report.csv, failed clips first, then by the manifest's row; an older report is replaced.

    Args:
        rows: of the ledger: name, row, audio, state (of `STATES`), error, remarks, settings, seconds of audio,
            decode_s, network_s, write_s, finished (Unix time), outputs: path relative to `folder`, bytes, sha256.
            What is not known is None.
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
            mend = "close it where it is open, or choose another folder"
            raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): {mend}.") from error
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
        writer.writerow("'" + v if isinstance(v, str) and v.startswith(FORMULA) else v for v in values)
    return file.getvalue()


def _page(rows: list[dict], folder: Path, pictures: str) -> str:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    options = "".join(f"<option>{state}</option>" for state in STATES)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>HiSTalk batch</title>',
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'sha256-{digest}';object-src 'none'\">",
        '<meta name="viewport" content="width=device-width">',
        f"<style>{STYLE}</style></head><body><h1>HiSTalk batch</h1>",
        _summary(rows),
        "<form hidden>",
        '<input name="q" type="search" placeholder="Filter by name, error, setting …" aria-label="Filter">',
        f'<select name="s" aria-label="State"><option value="">all states</option>{options}</select>',
        '<span id="n"></span></form>',
        *(_entry(i, row, folder, pictures) for i, row in enumerate(rows)),
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return "\n".join(parts)


def _summary(rows: list[dict]) -> str:
    """Counts, speed and the slowest clips; what was measured of no clip is left out."""
    counts = Counter(row["state"] for row in rows)
    timed = [row for row in rows if row["state"] == "done" and row["seconds"] and _computed(row) is not None]
    speech = sum(row["seconds"] or 0 for row in rows if row["state"] == "done")
    facts = [(state, f"{counts[state]:,}") for state in ("done", "failed", "waiting")]
    facts += [("running", f"{counts['running']:,}")] if counts["running"] else []
    facts.append(("hours of speech", f"{speech / 3600:.2f}"))
    if timed:
        factor = sum(map(_computed, timed)) / sum(row["seconds"] for row in timed)
        facts.append(("compute seconds per hour of speech", f"{3600 * factor:,.0f}"))
        facts.append(("real-time factor", f"{factor:.3g}"))
    summary = "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts) + "</dl>"
    places = {id(row): i for i, row in enumerate(rows)}
    slowest = sorted(timed, key=_computed, reverse=True)[:SLOWEST]
    links = ", ".join(
        f'<a href="#c{places[id(row)]}">{escape(row["name"])}</a> {_computed(row):.1f} s' for row in slowest
    )
    return summary + (f"<p>Slowest: {links}.</p>" if links else "")


def _entry(i: int, row: dict, folder: Path, pictures: str) -> str:
    """One clip of the page; its pictures only where they are, so that none is shown broken."""
    name, state = escape(row["name"]), escape(row["state"])
    portrait = plot = "<div></div>"
    if state == "done":
        if os.path.isfile(folder / pictures / f"{row['name']}.png"):
            link = _link(f"{pictures}/{row['name']}.png")
            portrait = f'<img loading="lazy" width="128" height="128" src="{link}" alt="Lips at their widest">'
        if os.path.isfile(folder / pictures / f"{row['name']}.svg"):
            link = _link(f"{pictures}/{row['name']}.svg")
            plot = f'<img loading="lazy" width="480" height="140" src="{link}" alt="Weight of each level in time">'
    facts = [f"row {row['row']}", escape(str(row["audio"]))]
    if row["seconds"] is not None:
        facts.append(f"{row['seconds']:,.1f} s of sound")
    for label, key in (("decoding", "decode_s"), ("network", "network_s"), ("writing", "write_s")):
        if row[key] is not None:
            facts.append(f"{label} {row[key]:.2f} s")
    if row["finished"] is not None:
        facts.append(_time(row["finished"]))
    lines = [f'<p class="e">{escape(row["error"])}</p>'] if row["error"] else []
    lines += [f"<p>{escape(remark)}</p>" for remark in row["remarks"] or ()]
    lines += [
        f'<p><a href="{_link(output["path"])}">{escape(output["path"])}</a> {_size(output["bytes"])}</p>'
        for output in row["outputs"] or ()
    ]
    lines.append(f'<p class="m">{"&nbsp;· ".join(facts)}</p>')
    if row["settings"]:
        settings = ", ".join(f"{key} {value}" for key, value in sorted(row["settings"].items()))
        lines.append(f'<p class="m">{escape(settings)}</p>')
    heading = f"<h2><b>{state}</b>{name}</h2>"
    return f'<article id="c{i}" class="{state}">{portrait}<div>{heading}{"".join(lines)}</div>{plot}</article>'


def _link(path: str) -> str:
    """A path as a link from the page, never to another host or scheme, whatever a file is called."""
    return "./" + quote(os.fsencode(path))


def _computed(row: dict) -> float | None:
    """Seconds that a clip took; None where a part was not measured."""
    parts = row["decode_s"], row["network_s"], row["write_s"]
    return None if None in parts else sum(parts)


def _time(unix: float | None) -> str:
    return "" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} GB"
