"""What an hour of dialogue costs in a batch: seconds of each stage and bytes, by kind of output.

    .venv/bin/python benchmarks/batch.py FOLDER_OF_SOUNDS [CLIPS] [DEVICE]

One worker. Stages overlap, so the whole takes less than their sum where each has a core. The last line is the time to
read a manifest of 10,000 rows.
"""

import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from histalk_blender.batch.job import Job
from histalk_blender.batch.manifest import read_manifest

SUMS = "SELECT COUNT(*), SUM(seconds), SUM(decode_s), SUM(network_s), SUM(write_s) FROM jobs WHERE state = 'done'"
KINDS = ("pc2", "mdd", "npz", "abc", "usd", "glb", "blend", "mp4")
FEW = {"mp4": 3}  # clips of a slow output


def main(folder: str, clips: str = "40", device: str = "auto") -> None:
    """Print one row for each kind of output."""
    stages = f"{'decode':>7} {'network':>8} {'write':>7} {'whole':>7}"
    print(f"{'output':7} {'clips':>5} {stages}  s an hour  {'GB an hour':>10}")
    for kind in KINDS:
        count = min(int(clips), FEW.get(kind, int(clips)))
        with tempfile.TemporaryDirectory() as out:
            began = time.perf_counter()
            options = ["--out", out, "--outputs", kind, "--rows", f"1-{count}", "--device", device]
            command = [Path(sys.executable).with_name("histalk"), "batch", folder, *options]
            done = subprocess.run(command, capture_output=True, text=True)
            whole = time.perf_counter() - began
            if done.returncode == 2:
                sys.exit(done.stderr)
            with sqlite3.connect(Path(out, "histalk.sqlite")) as database:
                row = database.execute(SUMS).fetchone()
            size = sum(
                path.stat().st_size for path in Path(out).rglob("*") if path.suffix.removeprefix(".") in (kind, "usdc")
            )
        hours = row[1] / 3600
        stages = "".join(f"{value / hours:>8.0f}" for value in row[2:])
        print(f"{kind:7} {row[0]:>5}{stages} {whole / hours:>7.0f}             {size / hours / 1e9:>10.2f}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        sound = Path(place, "a.wav")
        sound.write_bytes(b"")
        rows = "".join(f"a.wav,line {i},{24 + i % 7}\n" for i in range(10_000))
        Path(place, "jobs.csv").write_text("audio,name,fps\n" + rows)
        began = time.perf_counter()
        read_manifest(Path(place, "jobs.csv"), Job())
        print(f"a manifest of 10,000 rows opens in {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
