"""How long a bake blocks Blender's main thread: the longest gap between two ticks of 5 ms.

    .venv/bin/python benchmarks/stall.py [SECONDS_OF_SPEECH]

Each kind of bake has a process of its own, so that each loads PyTorch for the first time.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

LONGEST = 99  # seconds of speech at most with one shape key for each frame
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"


def main() -> None:
    """Print one row for each kind of bake."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print(f"{seconds} s of speech, {LONGEST} s at most with one shape key for each frame; milliseconds")
    print(f"{'bake as':8} {'loading':>8} {'predicting':>10} {'computing':>10} {'baking':>8} {'whole bake, s':>14}")
    for kind in ("cache", "basis", "arkit", "keys"):
        lasting = min(seconds, LONGEST) if kind == "keys" else seconds
        done = subprocess.run([sys.executable, __file__, "--child", kind, str(lasting)], capture_output=True, text=True)
        print(done.stdout.strip().splitlines()[-1] if done.returncode == 0 else done.stderr[-2000:], flush=True)


def child(kind: str, seconds: int) -> None:
    """One bake, timed."""
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
        soundfile.write(path, np.resize(sound, seconds * rate), rate)
        bpy.ops.histalk.add_head(units=True)
        obj = bpy.context.object
        settings = obj.histalk
        settings.audio, settings.file, settings.kind, settings.cache_folder = "FILE", str(path), kind, folder
        bpy.context.scene.render.fps = 30
        job = get_session().start_bake(orders.build_request(bpy.context, obj))
        longest = dict.fromkeys(("loading", "Predicting", "Computing", "Baking"), 0.0)
        last = time.perf_counter()
        while not job.ended:
            job.advance()
            stage = "loading" if job.stage == "Decoding" or (job.stage == "Predicting" and not job.share) else job.stage
            now = time.perf_counter()
            longest[stage] = max(longest[stage], now - last - 0.005)
            last = now
            time.sleep(0.005)
        assert job.state == "done", job.error
        get_session().finish_bake(obj)
    addon.unregister()
    gaps = [f"{1000 * gap:.0f}" for gap in longest.values()]
    print(f"{kind:8} {gaps[0]:>8} {gaps[1]:>10} {gaps[2]:>10} {gaps[3]:>8} {job.seconds:>14.1f}")


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main()
