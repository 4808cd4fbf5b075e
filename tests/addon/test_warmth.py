"""The network gets ready while the animator still chooses, and never in anybody's way."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import pytest

from histalk_blender.addon import panel, running
from histalk_blender.addon import preload as warmth
from histalk_blender.synthesis import engine

pytest.importorskip("torch")


@pytest.fixture
def cold(blender):
    """Blender as it was just started."""
    engine.forget()
    yield blender
    warmth.clean_up()
    engine.forget()


@pytest.fixture
def window(monkeypatch):
    """As if there were one."""
    app = SimpleNamespace(background=False)
    monkeypatch.setattr(warmth, "bpy", SimpleNamespace(app=app, path=bpy.path))


@pytest.fixture
def loads(monkeypatch):
    """Every reading of weights, which takes its time."""
    from histalk_blender import network

    real, found = network.load_checkpoint, []

    def load(path, device):
        found.append(path)
        time.sleep(0.3)
        return real(path, device)

    monkeypatch.setattr(network, "load_checkpoint", load)
    return found


def ready_head(blender, folder):
    blender.add_strip()
    obj = blender.add_head()
    obj.histalk.cache_folder = str(folder)
    return obj


def test_looking_at_a_head_s_panel_makes_the_network_ready_once(cold, window, loads, tmp_path):
    obj = ready_head(cold, tmp_path)
    for _ in range(3):
        panel._Main._recognised(None, MagicMock(), bpy.context, obj)
    assert warmth._thread.daemon
    warmth._thread.join(60)
    assert len(loads) == 1
    assert bpy.ops.histalk.bake() == {"FINISHED"} and len(loads) == 1, "the bake found it loaded"


def test_a_cube_makes_nothing_ready(cold, window, loads, monkeypatch):
    monkeypatch.setattr(panel, "sentence", MagicMock())
    bpy.ops.mesh.primitive_cube_add()
    panel._Main._recognised(None, MagicMock(), bpy.context, bpy.context.object)
    assert warmth._thread is None and not loads


def test_nothing_is_made_ready_without_a_window_or_where_it_is_switched_off(cold, tmp_path, monkeypatch, request):
    obj = ready_head(cold, tmp_path)
    warmth.begin(bpy.context, obj.histalk)
    assert warmth._thread is None, "in the background"
    request.getfixturevalue("window")
    monkeypatch.setattr(warmth, "preferences", lambda context: SimpleNamespace(warm_up=False))
    warmth.begin(bpy.context, obj.histalk)
    assert warmth._thread is None, "switched off"


def test_a_bake_pressed_meanwhile_waits_for_the_same_weights(cold, loads, tmp_path):
    obj = ready_head(cold, tmp_path)
    thread = warmth.start(None, "cpu")
    job = cold.begin(kind="cache")
    while not job.ended:
        job.advance()
        time.sleep(0.005)
    thread.join(60)
    assert job.state == "done" and len(loads) == 1
    running.finish(obj)


def test_broken_weights_are_told_by_the_bake_alone(cold, tmp_path, capfd):
    obj = ready_head(cold, tmp_path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"these are no weights")
    warmth.start(broken, "cpu").join(60)
    assert capfd.readouterr().err == ""
    obj.histalk.weights = str(broken)
    with pytest.raises(RuntimeError, match="not a safetensors file"):
        bpy.ops.histalk.bake()


def test_other_weights_are_made_ready_after_those_before(cold, monkeypatch):
    order, first = [], threading.Event()

    def warm_up(weights, device):
        if not order:
            first.wait(10)
        order.append(weights)

    monkeypatch.setattr(warmth, "warm_up", warm_up)
    warmth.start(Path("a"), "cpu")
    last = warmth.start(Path("b"), "cpu")
    first.set()
    last.join(10)
    assert order == [Path("a"), Path("b")]


def test_switching_the_extension_off_waits_for_the_end(cold, loads):
    thread = warmth.start(None, "cpu")
    warmth.clean_up()
    assert not thread.is_alive() and warmth._thread is None
