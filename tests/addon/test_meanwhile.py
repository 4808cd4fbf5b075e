"""What may happen while a bake runs: none of it harms the scene or goes by in silence."""

import importlib.util
import shutil
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path

import bpy
import pytest
from assets import SPEECH

from histalk_blender import addon
from histalk_blender.addon import bake_job as jobs
from histalk_blender.addon import bake_request as orders
from histalk_blender.addon.session import get_session
from histalk_blender.errors import HiSTalkError
from histalk_blender.synthesis import engine

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no torch for this Python here")


@pytest.fixture
def ordered(blender, tmp_path):
    """A head and a strip, ready to be baked; everything is put on the undo stack."""
    blender.add_strip()
    obj = blender.add_head()
    obj.histalk.cache_folder = str(tmp_path)
    bpy.ops.ed.undo_push(message="ready")
    return obj


@pytest.fixture
def slow(monkeypatch, stored_performance):
    """A network that listens until it is let go."""
    go = threading.Event()

    def perform_clip(samples, weights, device, progress):
        while not go.wait(0.01):
            progress(0.5)
        return stored_performance

    monkeypatch.setattr(jobs, "perform_clip", perform_clip)
    yield go
    go.set()


@pytest.mark.parametrize("kind", ["basis", "cache", "keys"])
def test_cancel_leaves_the_scene_as_it_was(blender, ordered, slow, kind, tmp_path):
    before = blender.state()
    job = blender.begin(kind=kind)
    while job.advance() == "running" and job.stage != "Predicting":
        time.sleep(0.005)
    began = time.monotonic()
    bpy.ops.histalk.cancel_bake()
    assert job.ended and time.monotonic() - began < 0.5
    job.join(2.0)
    assert not job._thread.is_alive(), "the worker noticed"
    assert get_session().finish_bake(ordered) == "Bake cancelled; the scene is as it was."
    assert blender.state() == before and not list(tmp_path.iterdir())


def test_cancel_between_the_slices_of_a_bake_keeps_the_old_bake(blender, ordered):
    blender.bake(kind="basis")
    before = blender.state()
    job = blender.begin(kind="keys")
    blender.drive(job, until=("applying",))
    assert blender.state() != before
    job.cancel()
    assert blender.state() == before
    get_session().finish_bake(ordered)


def test_cancel_after_the_cache_was_written_leaves_no_file(blender, ordered, tmp_path):
    job = blender.begin(kind="cache")
    while job.state == "running":
        job._read_messages()
        time.sleep(0.005)
    assert [path.name[-9:] for path in tmp_path.iterdir()] == [".part.pc2"]
    job.cancel()
    assert not list(tmp_path.iterdir())
    get_session().finish_bake(ordered)


def test_the_head_is_deleted(blender, ordered, slow):
    job = blender.begin()
    bpy.data.objects.remove(ordered)
    slow.set()
    assert blender.drive(job) == "failed" and "was deleted" in job.error
    get_session().finish_bake(None)


def test_the_head_is_renamed(blender, ordered, slow):
    job = blender.begin()
    ordered.name = "Hero"
    slow.set()
    assert blender.drive(job) == "done"
    assert "as" in get_session().finish_bake(ordered) and ordered.data.shape_keys


def test_edit_mode_is_waited_for(blender, ordered, slow):
    job = blender.begin()
    bpy.ops.object.mode_set(mode="EDIT")
    slow.set()
    blender.drive(job, until=("ready",))
    assert job.advance() == "ready" and job.stage == "Waiting for Object Mode"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert blender.drive(job) == "done"
    get_session().finish_bake(ordered)


def test_the_mesh_is_edited(blender, ordered, slow, tmp_path):
    job = blender.begin(kind="cache")
    ordered.data.vertices.add(1)
    slow.set()
    assert blender.drive(job) == "failed" and "5124 vertices now" in job.error
    get_session().finish_bake(ordered)
    assert not list(tmp_path.iterdir()) and not ordered.modifiers


def test_undo_is_pressed(blender, ordered, slow, head):
    ordered.location.x = 3
    bpy.ops.ed.undo_push(message="moved")
    job = blender.begin()
    bpy.ops.ed.undo()
    slow.set()
    assert blender.drive(job) == "done"
    obj = bpy.data.objects["HiSTalk Head"]
    assert obj.location.x == 0 and obj.data.shape_keys
    get_session().finish_bake(obj)


def test_another_file_is_opened(blender, ordered, slow):
    job = blender.begin()
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert job.state == "cancelled" and get_session().job is None


def test_the_extension_is_switched_off(blender, ordered, slow):
    before = blender.state()
    job = blender.begin()
    addon.unregister()
    assert job.state == "cancelled" and not job._thread.is_alive()
    assert blender.state() == before
    addon.register()


def test_a_second_bake_is_refused_with_the_reason(blender, ordered, slow):
    job = blender.begin()
    assert "A bake is running" in blender.why_grey()
    assert not bpy.ops.histalk.remove_bake.poll() and bpy.ops.histalk.cancel_bake.poll()
    job.cancel()
    get_session().finish_bake(ordered)
    assert blender.why_grey() == "" and not bpy.ops.histalk.cancel_bake.poll()


def test_the_sound_file_disappears(blender, tmp_path):
    path = Path(shutil.copy(SPEECH, tmp_path / "line.flac"))
    obj = blender.add_head()
    obj.histalk.audio, obj.histalk.file = "FILE", str(path)
    job = jobs.BakeJob(orders.build_request(bpy.context, obj), OrderedDict())
    path.unlink()
    job.start()
    assert blender.drive(job) == "failed" and f"No audio file at '{path}'" in job.error


def test_a_bug_in_the_worker_is_told_and_ends_the_job(blender, ordered, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "perform_clip", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="Unexpected error .ZeroDivisionError"):
        bpy.ops.histalk.bake()
    assert get_session().job is None and "Traceback" in capsys.readouterr().err


@needs_torch
def test_a_full_gpu_is_answered_with_shorter_windows_and_then_the_cpu(speech, model, monkeypatch):
    import torch

    asked = []

    def full(samples, model, head, *, device="cpu", window_s=50.4, **rest):
        asked.append((device, window_s))
        if device != "cpu" and window_s > limit:
            raise torch.OutOfMemoryError
        return real(samples, model, head, **rest)

    real = engine.synthesize_many
    monkeypatch.setattr(engine, "synthesize_many", full)
    monkeypatch.setattr(engine, "_load_model", lambda path, device: model)
    limit = 9.6
    (done,) = engine.perform_clips([speech], None, "cuda")
    assert [window for _, window in asked] == [50.4, 16.8, 9.6] and "windows of 9.6 s" in done.remarks[0]
    asked.clear()
    limit = 1.0
    (done,) = engine.perform_clips([speech], None, "cuda")
    assert asked[-1] == ("cpu", 50.4) and "the CPU did the work" in done.remarks[0]


@needs_torch
def test_cuda_where_there_is_none_is_refused(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HiSTalkError, match="No CUDA device"):
        engine.pick_device("cuda")
    assert engine.pick_device("auto") == "cpu"


def test_blender_quits(tmp_path):
    """The worker of a bake that runs must not keep the process."""
    code = f"""
import sys, time; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import atexit, bpy
from histalk_blender import addon
from histalk_blender.addon.session import get_session
from histalk_blender.addon import bake_job as job
from histalk_blender.addon import bake_request as orders
def perform_clip(samples, weights, device, progress):
    while True:
        progress(0.5); time.sleep(0.01)
job.perform_clip = perform_clip
bpy.ops.wm.read_factory_settings(use_empty=True)
addon.register(); atexit.register(addon.unregister)
bpy.ops.histalk.add_head()
settings = bpy.context.object.histalk
settings.audio, settings.file = "FILE", {str(SPEECH)!r}
get_session().start_bake(orders.build_request(bpy.context, bpy.context.object))
print("quitting", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "quitting" in done.stdout, done.stderr
