"""Processes end with the documented exit codes, however they are stopped, and leave no children."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH
from forked import RUN, Forked

# Looked for, not imported: PyTorch and Blender's module in one process may wait for ever at its end.
pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="no torch for this Python here")
ROOT = Path(__file__).parents[2]
HERE = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
# The same command, which a signal meets at a given moment: by the clock it might be over too soon, or not that far.
STRUCK = """
import os, sys
from histalk_blender.cli import main as cli
from histalk_blender.synthesis import engine
from histalk_blender.batch import worker as work
moment, number = sys.argv.pop(1), int(sys.argv.pop(1))

def before(owner, name, times=[]):
    kept = getattr(owner, name)
    def struck(*arguments, **options):
        if not times:
            times.append(os.kill(os.getpid(), number))
        return kept(*arguments, **options)
    setattr(owner, name, struck)

if moment == "decoding":
    before(work, "open_clip")
elif moment == "hearing":
    before(engine, "synthesize_many")
elif moment == "writing":
    before(work, "write_outputs")
elif moment == "drawing a film":
    from histalk_blender.bake import film
    before(film, "raise_if_stopped")  # in Blender's own callback
cli.main()
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four lines of a second, and one of a minute."""
    folder = tmp_path_factory.mktemp("clips")
    samples, rate = sf.read(SPEECH)
    for i in range(4):
        sf.write(folder / f"line {i}.wav", samples[i * rate : (i + 1) * rate], rate)
    sf.write(folder / "long.wav", np.tile(samples, 9), rate)
    return folder


def ended(*arguments, code=RUN, timeout=120, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=HERE, **options)


def children_of(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "moment, number, code",
    [("decoding", signal.SIGINT, 130), ("hearing", signal.SIGINT, 130), ("writing", signal.SIGTERM, 143)],
)
def test_a_signal_ends_a_batch_with_its_code(clips, tmp_path, moment, number, code):
    out = tmp_path / "out"
    command = moment, int(number), "batch", clips, "--out", out, "--rows", "1-2"
    exit_code, _, complained = Forked(tmp_path, *command, code=STRUCK).wait()
    assert exit_code == code and "run the same command again to resume" in complained, complained
    assert "Traceback" not in complained and not list(out.rglob("*.part*"))


def test_ctrl_c_ends_a_render(clips, tmp_path):
    film = ("bake", clips / "line 0.wav", "--out", tmp_path / "a.blend", "--preview", tmp_path / "a.mp4")
    done = ended("drawing a film", int(signal.SIGINT), *film, code=STRUCK)
    assert done.returncode == 130 and "Traceback" not in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.blend"], "no half a film"


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_workers_end_with_their_parent(clips, tmp_path, number, code):
    out = tmp_path / "out"
    process = Forked(tmp_path, "batch", clips, "--out", out, "--workers", "2", "--device", "cpu")
    wait_until(lambda: len(list(out.rglob("*.pc2"))) >= 1)
    workers = children_of(process.pid)
    os.kill(process.pid, number)
    exit_code, _, _ = process.wait(timeout=60)
    assert exit_code == code and len(workers) == 2
    wait_until(lambda: not any(alive(worker) for worker in workers), seconds=5)


DRIVEN = """
import sys, bpy
from histalk_blender.bake import add_head, save_blend
from histalk_blender.runtime.process_exit import exit_process
from histalk_blender.head.head import load_head
bpy.ops.wm.read_factory_settings(use_empty=True)
head = add_head(load_head())
head.driver_add("location", 0).driver.expression = f"[0.0, open({sys.argv[2]!r}, 'w')][0]"
head.driver_add("location", 1).driver.expression = "max(x for x in (frame, 2))"
save_blend(sys.argv[1])
exit_process(0)
"""


def test_a_shots_python_drivers_are_not_run(clips, tmp_path):
    shot, ran = tmp_path / "shot.blend", tmp_path / "ran"
    assert ended(shot, ran, code=DRIVEN).returncode == 0 and shot.exists()
    ran.unlink(missing_ok=True)
    options = "--out", tmp_path / "out", "--rows", "1", "--outputs", "blend"
    done = ended("batch", clips, "--shot", shot, *options, timeout=90)
    assert done.returncode == 0 and (tmp_path / "out/line 0.blend").exists() and not ran.exists(), done.stderr


def test_closed_pipes_and_streams_change_nothing(clips, tmp_path):
    out = tmp_path / "out"
    batch = f"{sys.executable} -c '{RUN}' batch '{clips}' --out '{out}' --rows 1"
    piped = ["bash", "-c", f"{batch} | true; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(piped, env=HERE, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and len(list(out.glob("*.pc2"))) == 1
    done = subprocess.run(["bash", "-c", f"{batch} --status >&- 2>&-"], env=HERE)
    assert done.returncode == 0
    done = subprocess.run(["bash", "-c", f"{batch} --status > /dev/full"], env=HERE, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("histalk: ") and "Traceback" not in done.stderr


def test_refused_commands_exit_with_2_and_help_with_0(tmp_path):
    assert ended("batch", "--out", tmp_path).returncode == 2
    assert ended("bake").returncode == 2
    helped = ended("--help")
    assert helped.returncode == 0 and "batch" in helped.stdout


QUIT = """
import sys, threading, time
import bpy
from histalk_blender import addon
from histalk_blender.addon.session import get_session
from histalk_blender.addon.bake_request import build_request
addon.register()
bpy.ops.histalk.add_head()
settings = bpy.context.object.histalk
settings.audio, settings.file = "FILE", sys.argv[1]
get_session().start_bake(build_request(bpy.context, bpy.context.object))
while "torch" not in sys.modules:
    time.sleep(0.01)
addon.unregister()  # as Blender does at its end
print([thread.name for thread in threading.enumerate()], flush=True)
"""


def test_blender_exits_cleanly_during_a_bake(clips):
    done = ended(clips / "long.wav", code=QUIT, timeout=60)
    assert done.returncode == 0 and "'MainThread'" in done.stdout, done.stderr
