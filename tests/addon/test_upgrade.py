"""A .blend made with HiSTalk 0.1.0 opens as it was left, and its heads go on speaking."""

import shutil

import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.addon import bake_job, upgrade
from histalk_blender.addon.session import get_session
from histalk_blender.bake.ownership import has_bake
from histalk_blender.motion.style import Style

OLD = SPEECH.with_name("made_by_0_1_0.blend")
HEADS = {"Basis head": "basis", "Cache head": "cache", "Frame head": "keys", "Creature": "arkit"}


@pytest.fixture
def old(blender, tmp_path, monkeypatch, stored_performance):
    """Opens the old file, beside its sound, where a cache may be written."""
    monkeypatch.setattr(bake_job, "perform_clip", lambda *_: stored_performance)
    for path in (OLD, SPEECH):
        shutil.copy(path, tmp_path)
    return lambda: bpy.ops.wm.open_mainfile(filepath=str(tmp_path / OLD.name))


def select(name):
    obj = bpy.data.objects[name]
    bpy.context.view_layer.objects.active = obj
    return obj


def test_times_are_seconds_and_all_else_is_as_it_was(old):
    old()
    settings = bpy.data.objects["Basis head"].histalk
    assert settings.smoothing == pytest.approx(0.04) and settings.delay == pytest.approx(0.08)
    assert settings.style() == Style(*map(pytest.approx, (1.25, 0.9, 1.5, 0.04, 0.08)))
    assert settings.tolerance == pytest.approx(0.5) and settings.channel == "number"
    assert settings.use_range and (settings.first, settings.last) == (11, 40)
    assert (settings.audio, settings.file, settings.file_frame) == ("FILE", "//speech.flac", 11)
    assert {name: bpy.data.objects[name].histalk.kind for name in HEADS} == HEADS
    assert bpy.data.objects["Cache head"].histalk.device == "cpu"
    creature = bpy.data.objects["Creature"].histalk
    assert creature.delay == pytest.approx(-0.04) and creature.audio == "STRIP"
    assert creature.mapping() == {"browInnerUp": None, "jawOpen": "mouthFunnel", "mouthFunnel": "jawOpen"}


def test_saved_again_it_is_not_converted_twice(old, tmp_path):
    old()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "new.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "new.blend"))
    assert bpy.data.objects["Basis head"].histalk.delay == pytest.approx(0.08)


def test_where_the_file_was_open_before_the_add_on_values_are_read_right(old):
    bpy.app.handlers.load_post.remove(upgrade.upgrade_all)
    old()
    bpy.app.handlers.load_post.append(upgrade.upgrade_all)
    settings = bpy.data.objects["Basis head"].histalk
    assert settings.style().delay == pytest.approx(0.08) and settings.style().smoothing == pytest.approx(0.04)
    settings.delay = 0.02  # converts its neighbour, and is not converted itself
    assert settings.style() == Style(*map(pytest.approx, (1.25, 0.9, 1.5, 0.04, 0.02)))
    assert settings.smoothing == pytest.approx(0.04)


@pytest.mark.parametrize("link", [False, True])
def test_heads_that_are_appended_or_linked_are_upgraded(old, tmp_path, link):
    with bpy.data.libraries.load(str(tmp_path / OLD.name), link=link) as (_, wanted):
        wanted.objects = ["Basis head"]
    (obj,) = wanted.objects
    assert obj.histalk.style().delay == pytest.approx(0.08)
    verb = bpy.ops.wm.link if link else bpy.ops.wm.append
    verb(directory=str(tmp_path / OLD.name / "Object"), filename="Creature")
    found = next(obj for obj in bpy.data.objects if obj.name.startswith("Creature") and bool(obj.library) == link)
    assert found.histalk.delay == pytest.approx(-0.04)


def test_a_value_of_today_is_left_alone(blender):
    settings = blender.add_head().histalk
    settings.smoothing = 0.1
    settings.lips = 1.2
    upgrade.upgrade_all()
    assert settings.smoothing == pytest.approx(0.1) and not settings.is_property_set("delay")
    settings.delay = 2.0
    assert settings.style() == Style(*map(pytest.approx, (1.2, 1.0, 1.0, 0.1, 2.0)))


@pytest.mark.parametrize("name", HEADS)
def test_old_bakes_can_be_removed(old, name):
    old()
    obj = select(name)
    before = {key.name for key in obj.data.shape_keys.key_blocks} if obj.data.shape_keys else set()
    assert has_bake(obj) and bpy.ops.histalk.remove_bake() == {"FINISHED"}
    assert not has_bake(obj) and not obj.modifiers
    left = {key.name for key in obj.data.shape_keys.key_blocks} if obj.data.shape_keys else set()
    assert left == (before if name == "Creature" else set())
    keys = obj.data.shape_keys
    assert not (keys and keys.animation_data and keys.animation_data.action)


@pytest.mark.parametrize("name", HEADS)
def test_old_heads_bake_again_and_follow_their_sliders(old, blender, name):
    old()
    obj = select(name)
    frame = {"Basis head": 30, "Creature": 40}.get(name, 6)
    assert bpy.ops.histalk.bake() == {"FINISHED"}, obj.histalk.warnings
    first = blender.vertices(obj, frame)
    assert np.ptp([blender.vertices(obj, 5), first], axis=0).max() > 0
    obj.histalk.lips, obj.histalk.jaw = 2.0, 2.0
    assert not np.allclose(blender.vertices(obj, frame), first) and get_session().requests
