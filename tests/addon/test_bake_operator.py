"""An animator's stories: a strip in, a moving mouth out."""

import importlib
import json

import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.addon import bake_job as jobs
from histalk_blender.addon import mapping_operators, operators
from histalk_blender.bake import geometry
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.topologies.flame import FlameTopology


@pytest.mark.parametrize("kind, tolerance", [("basis", 1.1e-4), ("cache", 1e-6), ("keys", 1e-6)])
def test_the_mouth_says_what_the_strip_lets_hear(blender, head, spoken, tmp_path, kind, tolerance):
    blender.add_strip(frame=11)
    obj = blender.add_head()
    blender.bake(kind=kind, cache_folder=str(tmp_path))
    expected = spoken.at_fps(24)
    for i in (0, 40, 90, len(expected) - 1):
        off = np.linalg.norm(
            blender.vertices(obj, 11 + i) - head.vertices - expected.displacements(i, i + 1)[0], axis=1
        )
        assert off.max() < tolerance
    for frame in (1, 11 + len(expected) + 10):
        np.testing.assert_allclose(blender.vertices(obj, frame), head.vertices, atol=tolerance, err_msg="rests")
    assert "frames" in obj.histalk.report and obj.histalk.warnings == ""


def test_a_flame_head_speaks(blender, head, spoken):
    blender.add_strip(frame=1)
    obj = blender.add_flame_head(head, scale=2.0)
    rest = np.array([vertex.co[:] for vertex in obj.data.vertices], np.float32)
    blender.bake(kind="basis")
    expected = rest + FlameTopology().carry(spoken.at_fps(24).displacements(60, 61), rest)[0]
    np.testing.assert_allclose(blender.vertices(obj, 61), expected, atol=3e-4)


def test_a_creature_with_arkit_keys_speaks_and_forgets_it_again(blender, stored_performance):
    blender.add_strip(frame=1)
    obj = blender.add_creature(lambda unit: unit.replace("Left", "_L").replace("Right", "_R"))
    before = blender.state()
    blender.bake(kind="arkit")
    bpy.context.scene.frame_set(49)
    jaw = obj.data.shape_keys.key_blocks["jawOpen"].value
    assert abs(jaw - stored_performance.arkit_weights[60, ARKIT_BLENDSHAPES.index("jawOpen")]) < 0.01
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"}
    assert blender.state() == before and obj.histalk.report == ""


def test_names_of_ones_own_are_mapped_saved_and_loaded(blender, tmp_path):
    blender.add_strip(frame=1)
    obj = blender.add_creature(lambda unit: f"xyz {ARKIT_BLENDSHAPES.index(unit)}")
    obj.histalk.kind = "arkit"
    assert "no shape keys with ARKit names" in blender.why_grey()
    assert bpy.ops.histalk.map_blendshapes() == {"FINISHED"}
    jaw = ARKIT_BLENDSHAPES.index("jawOpen")
    obj.histalk.unit_keys["jawOpen"].key = f"xyz {jaw}"
    assert bpy.ops.histalk.save_map(filepath=str(tmp_path / "map.json")) == {"FINISHED"}
    assert json.loads((tmp_path / "map.json").read_text()) == {"jawOpen": f"xyz {jaw}"}
    assert bpy.ops.histalk.clear_map() == {"FINISHED"}
    assert bpy.ops.histalk.load_map(filepath=str(tmp_path / "map.json")) == {"FINISHED"}
    blender.bake()
    assert "1 ARKit keys" in obj.histalk.report
    for wrong in ("[1, 2]", "{", '{"jawOpen": 3}', '{"noUnit": "a"}'):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(RuntimeError, match="wrong.json"):
            bpy.ops.histalk.load_map(filepath=str(tmp_path / "wrong.json"))
    obj.histalk.unit_keys["jawOpen"].key = "gone"
    assert "no shape key 'gone'" in blender.why_grey()


def test_sliders_follow_without_the_network(blender, head, spoken, monkeypatch):
    blender.add_strip(frame=1)
    obj = blender.add_head()
    blender.bake(kind="cache", cache_folder=bpy.app.tempdir)
    plain = blender.vertices(obj, 40) - head.vertices

    def never(*_):
        raise AssertionError("the network was asked again")

    monkeypatch.setattr(jobs, "perform_clip", never)
    obj.histalk.jaw = 0.0
    less = blender.vertices(obj, 40) - head.vertices
    jaw = head.regions["jaw"]
    assert np.abs(less[jaw]).max() < 0.6 * np.abs(plain[jaw]).max()
    obj.histalk.jaw = 1.0
    obj.histalk.delay = 1.0  # a second: 24 frames
    np.testing.assert_allclose(blender.vertices(obj, 64) - head.vertices, plain, atol=1e-6)
    obj.histalk.delay = 0.0
    obj.histalk.smoothing = 0.3
    shake = [np.diff([blender.vertices(obj, f)[jaw, 2].mean() for f in range(30, 60)])]
    obj.histalk.smoothing = 0.0
    shake.append(np.diff([blender.vertices(obj, f)[jaw, 2].mean() for f in range(30, 60)]))
    assert np.abs(shake[0]).max() < 0.7 * np.abs(shake[1]).max()


def test_another_kind_of_bake_needs_no_network_either(blender, monkeypatch):
    blender.add_strip(frame=1)
    obj = blender.add_head()
    blender.bake(kind="basis")
    few = len(obj.data.shape_keys.key_blocks)
    monkeypatch.setattr(jobs, "perform_clip", None)
    blender.bake(kind="keys")
    assert len(obj.data.shape_keys.key_blocks) > few and "shape keys" in obj.histalk.report


def test_a_frame_range_limits_the_bake(blender, head):
    blender.add_strip(frame=1)
    obj = blender.add_head()
    blender.bake(kind="cache", cache_folder=bpy.app.tempdir, use_range=True, first=30, last=59)
    assert obj.histalk.report.startswith("30 frames")
    assert obj.modifiers["HiSTalk"].frame_start == 30
    obj.histalk.first, obj.histalk.last = 5000, 6000
    with pytest.raises(RuntimeError, match="Nothing is spoken in the frame range"):
        bpy.ops.histalk.bake()


def test_the_whole_timeline_and_a_file_speak_too(blender, head, spoken):
    blender.add_strip(frame=1)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, round(len(spoken) / spoken.fps * 24)
    obj = blender.add_head()
    seen = []
    for settings in ({"audio": "TIMELINE"}, {"audio": "FILE", "file": str(SPEECH), "file_frame": 1}):
        blender.bake(kind="cache", cache_folder=bpy.app.tempdir, **settings)
        seen.append(blender.vertices(obj, 40) - head.vertices)
    np.testing.assert_allclose(seen[0], seen[1], atol=2e-3)
    assert np.abs(seen[0]).max() > 3e-3


def test_bake_and_remove_are_one_step_of_undo_each(blender):
    blender.add_strip(frame=1)
    blender.add_head()
    bpy.ops.ed.undo_push(message="before")
    before = blender.state()
    assert bpy.ops.histalk.bake("EXEC_DEFAULT", True) == {"FINISHED"}
    baked = blender.state()
    assert baked != before
    assert bpy.ops.histalk.remove_bake("EXEC_DEFAULT", True) == {"FINISHED"}
    assert blender.state() == before
    bpy.ops.ed.undo()
    assert blender.state() == baked
    bpy.ops.ed.undo()
    assert blender.state() == before


def test_sliders_leave_an_undone_bake_undone(blender):
    blender.add_strip(frame=1)
    blender.add_head()
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.histalk.bake("EXEC_DEFAULT", True) == {"FINISHED"}
    assert bpy.context.object.data.shape_keys is not None, "there is a bake to undo"
    bpy.ops.ed.undo()
    obj = bpy.context.object
    assert obj.data.shape_keys is None, "it is undone"
    obj.histalk.lips = 1.5
    assert obj.data.shape_keys is None


def test_a_key_a_frame_has_its_limit(blender, monkeypatch):
    blender.add_strip(frame=1)
    obj = blender.add_head()
    obj.histalk.kind = "keys"
    monkeypatch.setattr(importlib.import_module("histalk_blender.bake.kinds.shape_keys"), "MOST_KEYS", 100)
    with pytest.raises(RuntimeError, match="bake as basis keys or a mesh cache, or choose a frame range of 100"):
        bpy.ops.histalk.bake()
    blender.bake(use_range=True, first=1, last=50)
    assert obj.histalk.report.startswith("50 frames as 50 shape keys")


def test_a_large_mesh_is_not_read_to_be_refused(blender, monkeypatch):
    obj = blender.add_mesh("Crowd", np.zeros((20_000, 3)))
    monkeypatch.setattr(geometry, "rest_positions", None)
    assert "20000 vertices" in blender.why_grey() and geometry.recognised(obj) is None


def test_a_grey_button_says_why(blender, head, tmp_path):
    assert "No object is selected" in blender.why_grey()
    obj = blender.add_head()
    assert "no sound strip" in blender.why_grey()
    strip = blender.add_strip()
    assert blender.why_grey() == ""
    strip.mute = True
    assert "muted" in blender.why_grey()
    strip.mute = False
    obj.histalk.strip = "Other"
    assert "no sound strip 'Other'" in blender.why_grey()
    obj.histalk.strip = "Line"
    obj.histalk.kind = "cache"
    assert "not saved" in blender.why_grey()
    obj.histalk.cache_folder = str(tmp_path / "none")
    assert "no folder" in blender.why_grey()
    obj.histalk.kind = "arkit"
    assert "no shape keys with ARKit names" in blender.why_grey()
    obj.histalk.kind = "basis"
    obj.histalk.weights = str(tmp_path / "none.safetensors")
    assert "No weights" in blender.why_grey()
    obj.histalk.weights = ""
    obj.histalk.audio = "FILE"
    assert "No sound file is chosen" in blender.why_grey()
    obj.histalk.file = str(tmp_path / "none.wav")
    assert "No sound file at" in blender.why_grey()
    obj.histalk.audio = "STRIP"
    bpy.ops.object.mode_set(mode="EDIT")
    assert "edit mode" in blender.why_grey()
    bpy.ops.object.mode_set(mode="OBJECT")
    shuffled = np.random.default_rng(0).permutation(blender.add_flame_head(head).data.vertices)
    blender.add_mesh("Shuffled", [vertex.co[:] for vertex in shuffled])
    assert "vertex order is not a FLAME head's" in blender.why_grey()
    blender.add_mesh("Cube", np.zeros((8, 3)))
    assert "8 vertices" in blender.why_grey() and not bpy.ops.histalk.bake.poll()


def test_scenes_of_two_rates_are_refused(blender):
    other = bpy.data.scenes.new("Edit")
    other.sequence_editor_create().strips.new_sound("Line", str(SPEECH), 1, 1)
    other.render.fps = 25
    blender.add_head().histalk.scene = other
    assert "25 frames a second" in blender.why_grey()
    other.render.fps = 24
    assert blender.why_grey() == ""
    blender.bake()


def test_names_and_idnames_agree_and_everything_is_explained():
    for cls in (*operators.CLASSES, *mapping_operators.CLASSES):
        assert cls.__name__ == "HISTALK_OT_" + cls.bl_idname.removeprefix("histalk.")
        assert cls.__doc__ and not cls.__doc__.endswith(".") and "disabled_reason" in dir(cls)


def test_the_panel_is_in_both_sidebars(blender):
    for name in ("HISTALK_PT_main", "HISTALK_PT_bake", "HISTALK_PT_main_sequencer", "HISTALK_PT_bake_sequencer"):
        assert getattr(bpy.types, name).bl_category == "HiSTalk"
