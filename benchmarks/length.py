"""From one second to an hour: the time of a mesh cache, from sound to file, and its peak memory.

.venv/bin/python benchmarks/length.py --plot docs/length.png
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from table import Row

TITLE = "Length: a mesh cache of one second to an hour of speech, each in a process of its own"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
LENGTHS = (1, 10, 60, 300, 1200, 3600)
BYTES = 30 * 5123 * 12  # of a second of the cache


def rows() -> Iterator[Row]:
    """Synthesis' share of real time, and peak memory, each against that of a minute."""
    found = measure()
    minute = found[60]
    for seconds, one in found.items():
        bar = "<= 1.2" if seconds >= 60 else ""
        absolute = (
            f"opened in {one['open']:.2f} s, synthesised in {one['synthesis']:.2f} s, written in {one['write']:.2f} s"
        )
        yield Row(
            f"{seconds} s: synthesis of a second of it",
            one["synthesis"] / seconds / minute["synthesis"] * 60,
            "x a minute's",
            bar,
            absolute,
        )
        cache = f"the cache has {seconds * BYTES / 1e6:.0f} MB"
        absolute = f"{one['peak']:.0f} MB, {one['base']:.0f} of it before any speech; {cache}"
        yield Row(f"{seconds} s: peak memory", one["peak"] / minute["peak"], "x a minute's", bar, absolute)


def measure() -> dict[int, dict[str, float]]:
    """Seconds of speech -> what `child` measured; lengths that the disk has no room for are left out."""
    found = {}
    for seconds in LENGTHS:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            if shutil.disk_usage(folder).free < 1.2 * seconds * BYTES:
                continue
            command = [sys.executable, __file__, "--child", str(seconds), folder]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            found[seconds] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(seconds: int, folder: Path) -> dict[str, float]:
    """Seconds of each step and megabytes of this process."""
    import numpy as np
    import soundfile

    from histalk_blender.audio import SAMPLE_RATE
    from histalk_blender.audio.clip import AudioClip, open_clip, read_audio
    from histalk_blender.head.head import load_head
    from histalk_blender.head.topologies.bundled import BundledTopology
    from histalk_blender.motion.point_cache import write_pc2
    from histalk_blender.motion.style import Style
    from histalk_blender.synthesis.engine import perform_clip

    speech, head, path = read_audio(SPEECH), load_head(), folder / "speech.wav"
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        for first in range(0, seconds * SAMPLE_RATE, len(speech)):
            file.write(speech[: seconds * SAMPLE_RATE - first])
    perform_clip(AudioClip.of(speech), None, "cpu", lambda *_: None)
    base, times = _peak_memory(), [time.perf_counter()]
    sound = open_clip(path)
    times.append(time.perf_counter())
    performance = perform_clip(sound, None, "cpu", lambda *_: None)
    times.append(time.perf_counter())
    motion = performance.retarget(BundledTopology(), head.vertices, Style())
    assert np.ptp(motion.weights, axis=0).max() > 0
    write_pc2(folder / "speech.pc2", head.vertices, motion)
    times.append(time.perf_counter())
    steps = dict(zip(("open", "synthesis", "write"), (b - a for a, b in zip(times, times[1:]))))
    return steps | {"base": base, "peak": _peak_memory()}


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plot(path: Path) -> None:
    """Both panels over the length of the speech."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = measure()
    lengths, names = list(found), ["1 s", "10 s", "1 min", "5 min", "20 min", "1 h"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    for step, colour, label in (
        ("synthesis", "tab:blue", "network"),
        ("write", "tab:orange", "writing the mesh cache"),
        ("open", "tab:green", "decoding"),
    ):
        left.plot(lengths, [1000 * found[s][step] / s for s in lengths], "o-", color=colour, label=label)
    left.set_ylabel("milliseconds a second of speech")
    left.legend(frameon=False)
    right.plot(lengths, [found[s]["peak"] for s in lengths], "o-", color="tab:blue", label="peak memory")
    right.plot(
        lengths, [found[s]["base"] for s in lengths], "--", color="0.5", label="PyTorch, weights, a first sentence"
    )
    right.plot(
        lengths,
        [found[s]["base"] + s * BYTES / 1e6 for s in lengths],
        ":",
        color="tab:red",
        label="if the cache were held whole",
    )
    right.set_ylim(0, 1500)
    right.set_ylabel("megabytes")
    right.legend(frameon=False, loc="upper left")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(lengths, names[: len(lengths)])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("length of the speech")
    left.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--child", nargs=2)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(child(int(asked.child[0]), Path(asked.child[1]))), flush=True)
    elif asked.plot:
        plot(asked.plot)
