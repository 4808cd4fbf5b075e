"""From the click to the first result in a fresh process: imports, weights and first runs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from table import Row

TITLE = "Cold start, 10 s of speech"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
PARTS = ("importing PyTorch", "importing the network", "reading the weights", "first run", "second run")


def rows() -> Iterator[Row]:
    """Each part's share of the whole, and a bake in Blender with and without preloading."""
    parts = min((_child("parts") for _ in range(3)), key=lambda found: sum(found.values()))
    whole = sum(parts[name] for name in PARTS[:4])
    for name in PARTS:
        yield Row(name, parts[name] / whole, "of the first four", "", f"{1000 * parts[name]:.0f} ms")
    cold, warm = (min(_child(name)["bake"] for _ in range(3)) for name in ("cold", "warm"))
    absolute = f"{cold:.2f} s from the click, {warm:.2f} s preloaded"
    yield Row("a first bake in Blender, basis keys", cold / warm, "x a preloaded one", "", absolute)


def _child(what: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, what], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def parts() -> dict[str, float]:
    """Seconds of each part, in this process."""
    import numpy as np

    from histalk_blender.audio import SAMPLE_RATE
    from histalk_blender.audio.clip import read_audio
    from histalk_blender.head.head import load_head
    from histalk_blender.runtime.imports import import_torch

    sound, head, times = np.resize(read_audio(SPEECH), 10 * SAMPLE_RATE), load_head(), [time.perf_counter()]

    def lap() -> None:
        times.append(time.perf_counter())

    import_torch()
    lap()
    from histalk_blender.network import load_checkpoint
    from histalk_blender.synthesis import WEIGHTS, synthesize

    lap()
    model = load_checkpoint(WEIGHTS)
    lap()
    for _ in range(2):
        synthesize(sound, model, head, levels=False)
        lap()
    assert "transformers" not in sys.modules
    return dict(zip(PARTS, (b - a for a, b in zip(times, times[1:]))))


def bake(warm: bool) -> dict[str, float]:
    """Seconds of a first bake in a Blender of its own."""
    import bpy
    import numpy as np
    import soundfile

    from histalk_blender import addon
    from histalk_blender.addon import bake_request as orders
    from histalk_blender.addon.session import get_session

    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon.register()
    with tempfile.TemporaryDirectory() as folder:
        sound, rate = soundfile.read(SPEECH)
        path = Path(folder, "speech.wav")
        soundfile.write(path, np.resize(sound, 10 * rate), rate)
        bpy.ops.histalk.add_head()
        obj = bpy.context.object
        obj.histalk.audio, obj.histalk.file, obj.histalk.kind = "FILE", str(path), "basis"
        if warm:
            get_session().preloader.start(None, obj.histalk.device).join()
        began = time.perf_counter()
        job = get_session().start_bake(orders.build_request(bpy.context, obj))
        while not job.ended:
            job.advance()
            time.sleep(0.002)
        seconds = time.perf_counter() - began
        assert job.state == "done", job.error
        get_session().finish_bake(obj)
    addon.unregister()
    return {"bake": seconds}


if __name__ == "__main__":
    print(json.dumps(parts() if sys.argv[1] == "parts" else bake(sys.argv[1] == "warm")), flush=True)
