"""Rigs with some of ARKit's 52 shape keys, with sliders that end early, and with keys that are somebody's already."""

import json

import bpy
import numpy as np
import pytest

from histalk_blender.addon import bake_job as job
from histalk_blender.bake import BakeSettings, bake, remove_bake
from histalk_blender.bake.pipeline import apply, check, compute
from histalk_blender.bake.scene import add_head
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import lip_opening
from histalk_blender.motion.layers import Face, apply_layers
from histalk_blender.motion.motion import Motion
from histalk_blender.motion.style import Style
from histalk_blender.training.teacher.coarticulation import arkit_track

# Spelt by Character Creator 4 as ARKit spells them; the rest are names of its own.
CHARACTER_CREATOR = (
    "eyeBlink",
    "eyeSquint",
    "eyeWide",
    "noseSneer",
    "mouthSmile",
    "mouthFrown",
    "mouthStretch",
    "mouthDimple",
    "mouthPress",
    "jawOpen",
    "jawForward",
    "jawLeft",
    "jawRight",
    "mouthLeft",
    "mouthRight",
    "mouthPucker",
    "mouthFunnel",
    "mouthClose",
)
SPOKEN = [
    ("SIL", 0, 0.2),
    ("P", 0.2, 0.3),
    ("AA", 0.3, 0.5),
    ("M", 0.5, 0.62),
    ("UW", 0.62, 0.8),
    ("B", 0.8, 0.9),
    ("IY", 0.9, 1.1),
]


@pytest.fixture(scope="module")
def lines(head):
    return Motion(arkit_track(SPOKEN, 1.3), head.blendshape_deltas(), 30.0)


@pytest.fixture
def rig(scene, head):
    """A function: the bundled head with some of its 52 keys."""
    scene.render.fps = 30

    def make(keep):
        obj = add_head(head, units=True)
        for unit in ARKIT_BLENDSHAPES:
            if not keep(unit):
                obj.shape_key_remove(obj.data.shape_keys.key_blocks[unit])
        return obj

    return make


def seen(obj, frame):
    bpy.context.scene.frame_set(int(frame), subframe=frame % 1)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    out = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", out)
    return out.reshape(-1, 3)


def worst_frame(obj, head, motion, frames=None):
    """Millimetres root mean square over the vertices that ARKit's blendshapes move, with the motion from frame 1 on."""
    moved = np.abs(head.blendshape_deltas()).max((0, 2)) > 1e-5
    wanted = head.vertices + motion.displacements()
    off = [np.square(seen(obj, 1 + i) - wanted[i])[moved].sum(-1).mean() ** 0.5 for i in frames or range(len(motion))]
    return max(off) * 1000


def gaps(obj, head, frames):
    return np.array([lip_opening(head.landmarks(seen(obj, frame))) for frame in frames]) * 1000


@pytest.fixture(scope="module")
def closures(head, lines):
    """Scene frames in which P, M and B shut the lips, and the millimetres between them there."""
    gap = lip_opening(head.landmarks(head.vertices + lines.displacements())) * 1000
    sounds = [
        frame
        for start, end in ((0.2, 0.35), (0.45, 0.65), (0.75, 0.95))
        for frame in range(int(start * 30), int(end * 30))
    ]
    shut = [frame for frame in sounds if gap[frame] < 2]  # lips that roll in are no nearer at their landmarks
    assert len(shut) >= 10 and lines.weights[shut, ARKIT_BLENDSHAPES.index("jawOpen")].max() > 0.1
    return np.array(shut) + 1, gap[shut]


@pytest.mark.parametrize(
    "name, keep",
    [
        ("all", lambda unit: True),
        ("no mouthClose", lambda unit: unit != "mouthClose"),
        ("no tongue", lambda unit: unit != "tongueOut"),
        ("Character Creator", lambda unit: unit.startswith(CHARACTER_CREATOR)),
        ("a left side only", lambda unit: not unit.endswith("Right")),
        ("jaw only", lambda unit: unit == "jawOpen"),
        ("jaw and close", lambda unit: unit in ("jawOpen", "mouthClose")),
        ("brows only", lambda unit: unit.startswith("brow")),
    ],
)
def test_the_figure_is_the_mesh_s_own(rig, head, lines, name, keep):
    obj = rig(keep)
    report = bake(obj, lines, kind="arkit")
    assert report.max_error_mm == pytest.approx(worst_frame(obj, head, lines), rel=0.01)
    missing = [unit for unit in ARKIT_BLENDSHAPES if not keep(unit)]
    assert bool(missing) == any("Missing: " in warning for warning in report.warnings)
    assert f"{report.max_error_mm:.2f} mm root mean square" in report.accuracy


@pytest.mark.parametrize(
    "keep",
    [
        lambda unit: unit != "mouthClose",
        lambda unit: unit == "jawOpen",
        lambda unit: unit.startswith(CHARACTER_CREATOR),
        lambda unit: unit in ("jawOpen", "mouthClose"),
        lambda unit: not unit.endswith("Left"),
    ],
)
def test_lips_close_without_the_key_that_closes_them(rig, head, lines, closures, keep):
    obj = rig(keep)
    bake(obj, lines, kind="arkit")
    more = gaps(obj, head, closures[0]) - closures[1]
    assert -0.7 < more.min() and more.max() < 0.2  # a jaw alone does not roll lips in, which parts their landmarks


@pytest.mark.parametrize("style", [Style(jaw=1.6, lips=1.4, smoothing=0.04), Style(jaw=0.4, lips=0.5)])
def test_lips_close_in_any_style(rig, head, stored_performance, style):
    """The jaw is scaled in the motion, and what is there follows it."""
    face = Face(lambda: stored_performance.arkit_weights, head.blendshape_deltas)
    motion = apply_layers(stored_performance.motion, face, style)
    wanted = lip_opening(head.landmarks(head.vertices + motion.displacements())) * 1000
    shut = np.argsort(wanted)[:12:2]
    for keep in (lambda unit: unit != "mouthClose", lambda unit: unit in ("jawOpen", "mouthPucker", "mouthClose")):
        obj = rig(keep)
        made = compute(check(obj, BakeSettings(kind="arkit", style=style)), stored_performance)
        list(apply(obj, made))
        np.testing.assert_allclose(gaps(obj, head, 1 + shut), wanted[shut], atol=0.2)
        assert worst_frame(obj, head, motion, range(0, len(motion), 12)) <= made.max_error_mm * 1.01


def test_a_slider_that_ends_early_is_made_up_for_and_told(rig, head, lines, closures):
    obj = rig(lambda unit: True)
    plain = bake(obj, lines, kind="arkit").max_error_mm
    remove_bake(obj)
    obj.data.shape_keys.key_blocks["jawOpen"].slider_max = 0.2
    report = bake(obj, lines, kind="arkit")
    assert (
        report.max_error_mm == pytest.approx(worst_frame(obj, head, lines), rel=0.01)
        and report.max_error_mm > 2 * plain
    )
    assert any("'jawOpen' end below" in warning for warning in report.warnings)
    np.testing.assert_allclose(gaps(obj, head, closures[0]), closures[1], atol=0.15)


def test_units_that_were_sculpted_anew_are_weighed_as_they_are(rig, head, lines, closures):
    """The jaw opens half as far, and a smile of somebody's own also lifts the whole head."""
    obj = rig(lambda unit: unit != "mouthClose")
    for unit, size, lift in (("jawOpen", 0.5, 0), ("mouthSmileLeft", 1, 0.01)):
        delta = head.blendshape_deltas()[ARKIT_BLENDSHAPES.index(unit)] * size + [0, 0, lift]
        obj.data.shape_keys.key_blocks[unit].data.foreach_set("co", (head.vertices + delta).astype(np.float32).ravel())
    report = bake(obj, lines, kind="arkit")
    assert report.max_error_mm == pytest.approx(worst_frame(obj, head, lines), rel=0.01)
    assert (gaps(obj, head, closures[0]) - closures[1]).max() < 0.2
    seen(obj, 1 + np.argmax(lines.weights[:, ARKIT_BLENDSHAPES.index("jawOpen")]))
    assert (
        obj.data.shape_keys.key_blocks["jawOpen"].value
        > 1.5 * lines.weights[:, ARKIT_BLENDSHAPES.index("jawOpen")].max()
    )


def drive(keys, *units):
    for unit in units:
        driver = keys.key_blocks[unit].driver_add("value").driver
        driver.type, driver.expression = "SCRIPTED", "0.25"


LOOKS = [unit for unit in ARKIT_BLENDSHAPES if unit.startswith("eyeLook")]


def test_an_eye_driver_keeps_nothing_but_the_eyes_from_speaking(rig, lines):
    obj = rig(lambda unit: True)
    drive(obj.data.shape_keys, *LOOKS)
    (warning,) = bake(obj, lines, kind="arkit").warnings
    assert all(f"'{unit}'" in warning for unit in LOOKS)
    seen(obj, 12)
    keys = obj.data.shape_keys.key_blocks
    assert keys["jawOpen"].value > 0.1 and abs(keys["eyeLookUpLeft"].value - 0.25) < 1e-6
    remove_bake(obj)
    assert len(obj.data.shape_keys.animation_data.drivers) == len(LOOKS)


def own_action(keys, unit):
    keys.key_blocks[unit].keyframe_insert("value", frame=1)


def strip_of_the_nla(keys, unit, muted=False):
    own_action(keys, unit)
    animation = keys.animation_data
    track = animation.nla_tracks.new()
    track.strips.new("Mine", 1, animation.action)
    track.strips[0].action_slot = animation.action_slot
    track.mute = muted
    animation.action = None


@pytest.mark.parametrize("animate", [own_action, drive, strip_of_the_nla])
def test_whatever_moves_a_key_keeps_it_and_lips_still_close(rig, head, lines, closures, animate):
    obj = rig(lambda unit: True)
    animate(obj.data.shape_keys, "mouthClose")
    (warning,) = [w for w in bake(obj, lines, kind="arkit").warnings if "mouthClose" in w]
    assert "left" in warning.lower()
    if animate is not drive:  # which holds the key up
        np.testing.assert_allclose(gaps(obj, head, closures[0]), closures[1], atol=0.15)


def test_a_muted_track_moves_nothing(rig, lines):
    obj = rig(lambda unit: True)
    strip_of_the_nla(obj.data.shape_keys, "jawOpen", muted=True)
    assert not bake(obj, lines, kind="arkit").warnings
    seen(obj, 12)
    assert obj.data.shape_keys.key_blocks["jawOpen"].value > 0.1


def test_where_all_is_taken_it_is_said(rig, lines):
    obj = rig(lambda unit: unit in ("jawOpen", "mouthClose"))
    drive(obj.data.shape_keys, "jawOpen")
    own_action(obj.data.shape_keys, "mouthClose")
    with pytest.raises(HiSTalkError, match="'jawOpen', 'mouthClose'.*clear a curve or driver"):
        bake(obj, lines, kind="arkit")


def test_units_that_rest_get_no_curve_and_keep_what_the_user_set(rig, lines):
    obj = rig(lambda unit: True)
    keys = obj.data.shape_keys.key_blocks
    keys["eyeBlinkLeft"].value, keys["jawOpen"].value = 0.5, 0.3
    report = bake(obj, lines, kind="arkit")
    (layer,) = obj.data.shape_keys.animation_data.action.layers
    curves = layer.strips[0].channelbags[0].fcurves
    moved = {curve.data_path for curve in curves}
    assert len(curves) < 40 and report.content == f"curves on {len(curves)} of 52 ARKit keys"
    assert 'key_blocks["jawOpen"].value' in moved
    for curve in curves:
        assert max(point.co.y for point in curve.keyframe_points) >= 0.01
    seen(obj, 12)
    assert keys["eyeBlinkLeft"].value == 0.5 and keys["eyeLookUpLeft"].value == 0
    still = Motion(lines.weights[:1].repeat(20, 0), lines.shapes, 30.0)
    bake(obj, still, kind="arkit")  # over the first, of whose curves it needs few
    assert keys["mouthPucker"].value == 0 and keys["eyeBlinkLeft"].value == 0.5
    remove_bake(obj)
    assert keys["jawOpen"].value == pytest.approx(0.3)


def test_a_unit_is_left_out_by_hand_and_in_the_map_s_file(blender, stored_performance, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "perform_clip", lambda *_: stored_performance)
    blender.add_strip(frame=1)
    obj = blender.add_head(units=True)
    keys = obj.data.shape_keys.key_blocks
    keys["jawOpen"].value = 0.125
    bpy.ops.histalk.map_blendshapes()
    obj.histalk.unit_keys["jawOpen"].use = False
    blender.bake(kind="arkit")
    assert "jawOpen" not in obj.histalk.warnings
    for frame in (20, 40, 60):
        blender.vertices(obj, frame)
        assert keys["jawOpen"].value == 0.125
    obj.histalk.lips = 0.5  # a slider bakes again
    blender.vertices(obj, 40)
    assert keys["jawOpen"].value == 0.125
    bpy.ops.histalk.save_map(filepath=str(tmp_path / "map.json"))
    assert json.loads((tmp_path / "map.json").read_text()) == {"jawOpen": None}
    bpy.ops.histalk.clear_map()
    bpy.ops.histalk.load_map(filepath=str(tmp_path / "map.json"))
    assert not obj.histalk.unit_keys["jawOpen"].use and obj.histalk.unit_keys["mouthClose"].use
    for row in obj.histalk.unit_keys:
        row.use = False
    assert "leaves every ARKit shape key out" in blender.why_grey()


def test_no_key_is_given_to_two_units(rig, lines):
    obj = rig(lambda unit: True)
    with pytest.raises(HiSTalkError, match="gives shape key 'jawOpen' to both"):
        bake(obj, lines, kind="arkit", mapping={"mouthClose": "jawOpen", "jawForward": "jawOpen"})
    bake(obj, lines, kind="arkit", mapping={"mouthClose": "jawOpen"})
    paths = [
        curve.data_path
        for curve in obj.data.shape_keys.animation_data.action.layers[0].strips[0].channelbags[0].fcurves
    ]
    assert len(set(paths)) == len(paths)
