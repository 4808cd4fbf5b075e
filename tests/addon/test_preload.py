"""The network is loaded while the animator still chooses, and never in anybody's way."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

from histalk_blender import addon
from histalk_blender.addon import preload, session
from histalk_blender.addon.preload import Preloader
from histalk_blender.addon.session import get_session
from histalk_blender.synthesis import engine

pytest.importorskip("torch")


@pytest.fixture
def cold(blender):
    """Blender as it was just started."""
    engine.unload()
    return blender


@pytest.fixture
def open_tab(monkeypatch):
    """As if there were a window whose sidebar shows the tab."""
    monkeypatch.setattr(session, "shown_objects", lambda context: [context.view_layer.objects.active])


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


def test_a_head_in_the_open_tab_loads_the_network_once(cold, open_tab, loads, tmp_path):
    ready_head(cold, tmp_path)
    for _ in range(3):
        get_session().watch_panel()
    thread = get_session().preloader.thread
    assert thread.daemon
    thread.join(60)
    assert len(loads) == 1
    assert bpy.ops.histalk.bake() == {"FINISHED"} and len(loads) == 1, "the bake found it loaded"


def test_an_opened_file_with_a_head_loads_it_too(cold, open_tab, monkeypatch, tmp_path):
    monkeypatch.setattr(preload, "preload_model", lambda weights, device: None)
    ready_head(cold, tmp_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    get_session().watch_panel()
    assert get_session().preloader.thread is None, "nothing is selected"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    get_session().watch_panel()
    assert get_session().preloader.thread is not None


def test_a_cube_loads_nothing(cold, open_tab, loads):
    bpy.ops.mesh.primitive_cube_add()
    get_session().watch_panel()
    assert get_session().preloader.thread is None and not loads


def test_a_closed_tab_loads_nothing(cold, tmp_path):
    ready_head(cold, tmp_path)
    get_session().watch_panel()
    assert get_session().preloader.thread is None


def test_where_it_is_switched_off_nothing_is_loaded(cold, open_tab, monkeypatch, tmp_path):
    ready_head(cold, tmp_path)
    monkeypatch.setattr(preload, "preferences", lambda context: SimpleNamespace(preload_model=False))
    get_session().watch_panel()
    assert get_session().preloader.thread is None


def test_a_bake_pressed_meanwhile_waits_for_the_same_weights(cold, loads, tmp_path):
    obj = ready_head(cold, tmp_path)
    thread = get_session().preloader.start(None, "cpu")
    job = cold.begin(kind="cache")
    while not job.ended:
        job.advance()
        time.sleep(0.005)
    thread.join(60)
    assert job.state == "done" and len(loads) == 1
    get_session().finish_bake(obj)


def test_broken_weights_are_reported_by_the_bake_alone(cold, tmp_path, capfd):
    obj = ready_head(cold, tmp_path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"these are no weights")
    get_session().preloader.start(broken, "cpu").join(60)
    assert capfd.readouterr().err == ""
    obj.histalk.weights = str(broken)
    with pytest.raises(RuntimeError, match="not a safetensors file"):
        bpy.ops.histalk.bake()


def test_other_weights_are_loaded_after_those_before(monkeypatch):
    order, first = [], threading.Event()

    def preload_model(weights, device):
        if not order:
            first.wait(10)
        order.append(weights)

    monkeypatch.setattr(preload, "preload_model", preload_model)
    preloader = Preloader(None)
    preloader.start(Path("a"), "cpu")
    last = preloader.start(Path("b"), "cpu")
    first.set()
    last.join(10)
    assert order == [Path("a"), Path("b")]


def test_switching_the_extension_off_waits_for_the_end(cold, monkeypatch):
    monkeypatch.setattr(preload, "preload_model", lambda weights, device: time.sleep(0.5))
    thread = get_session().preloader.start(None, "cpu")
    addon.unregister()
    assert not thread.is_alive()
    addon.register()
