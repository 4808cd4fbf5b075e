"""What was changed by hand since a bake is told of before a slider, a bake, Remove or a batch would write over it."""

import bpy
import numpy as np
import pytest

from histalk_blender.addon import operators
from histalk_blender.bake import bake, remove_bake
from histalk_blender.bake.actions import curve_bags
from histalk_blender.bake.ownership import changed_by_hand
from histalk_blender.errors import HiSTalkError

JAW = 'key_blocks["jawOpen"].value'


@pytest.fixture
def motion(spoken):
    return spoken.between(20, 50)


def curve_of(obj, path=JAW):
    bags = curve_bags(obj.data.shape_keys.animation_data)
    return next((curve for bag in bags for curve in bag.fcurves if curve.data_path == path), None)


def sculpt(obj, name):
    obj.data.shape_keys.key_blocks[name].data[100].co.z += 0.001


EDITS = {
    "a key moved": lambda curve: setattr(curve.keyframe_points[9].co, "y", 0.9),
    "a key moved in time": lambda curve: setattr(curve.keyframe_points[9].co, "x", curve.keyframe_points[9].co.x + 0.4),
    "a key added": lambda curve: curve.keyframe_points.insert(500, 0.3),
    "a key deleted": lambda curve: curve.keyframe_points.remove(curve.keyframe_points[9]),
    "interpolation": lambda curve: setattr(curve.keyframe_points[9], "interpolation", "BEZIER"),
    "handles": lambda curve: setattr(curve.keyframe_points[9], "handle_left_type", "ALIGNED"),
    "a modifier": lambda curve: curve.modifiers.new("NOISE"),
    "extrapolation": lambda curve: setattr(curve, "extrapolation", "LINEAR"),
}


def test_sliders_and_buttons_leave_a_changed_curve_alone_and_say_so(blender):
    blender.add_strip(frame=1)
    obj = blender.add_head(units=True)
    blender.bake(kind="arkit")
    edit = EDITS["a key moved"]
    edit(curve_of(obj))
    obj.histalk.lips = 1.5
    assert "'jawOpen'" in obj.histalk.warnings and "press Bake" in obj.histalk.warnings
    for press in (bpy.ops.histalk.bake, bpy.ops.histalk.remove_bake):
        with pytest.raises(RuntimeError, match="changed by hand.*'jawOpen'.*discard_edits"):
            press()
    assert curve_of(obj).keyframe_points[9].co.y == np.float32(0.9)
    assert bpy.ops.histalk.bake(discard_edits=True) == {"FINISHED"}
    assert curve_of(obj).keyframe_points[9].co.y < 0.5
    assert changed_by_hand(obj) == "" and obj.histalk.warnings == ""
    obj.histalk.lips = 1.0
    assert obj.histalk.warnings == "", "sliders are followed again"
    edit(curve_of(obj))
    assert bpy.ops.histalk.remove_bake(discard_edits=True) == {"FINISHED"} and curve_of(obj) is None


@pytest.mark.parametrize("edit", EDITS)
def test_every_change_of_a_curve_is_noticed(blender, motion, edit):
    obj = blender.add_head(units=True)
    bake(obj, motion, kind="arkit")
    assert changed_by_hand(obj) == ""
    EDITS[edit](curve_of(obj))
    assert changed_by_hand(obj) == changed_by_hand(obj, removing=True) == "the curves of 'jawOpen'"


def test_what_is_no_edit_stops_nobody(blender, motion, tmp_path):
    blender.add_strip(frame=1)
    obj = blender.add_head(units=True)
    blender.bake(kind="arkit")
    curve = curve_of(obj)
    curve.mute = curve.lock = curve.select = curve.hide = True
    curve.group.mute, curve.color_mode = True, "CUSTOM"
    curve.update()
    obj.data.shape_keys.key_blocks["jawOpen"].name = "Jaw Open"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    obj = bpy.data.objects["HiSTalk Head"]
    assert changed_by_hand(obj) == ""
    assert bpy.ops.histalk.bake() == {"FINISHED"}


@pytest.mark.parametrize("kind", ["basis", "keys"])
def test_a_sculpted_key_stays_whatever_is_pressed(blender, kind):
    blender.add_strip(frame=1)
    obj = blender.add_head()
    blender.bake(kind=kind, use_range=True, first=20, last=60)
    name = obj.data.shape_keys.key_blocks[3].name
    sculpt(obj, name)
    shape = obj.data.shape_keys.key_blocks[name].data[100].co.copy()
    obj.histalk.lips = 1.5
    assert f"'{name}'" in obj.histalk.warnings
    with pytest.raises(RuntimeError, match=f"changed by hand.*'{name}'"):
        bpy.ops.histalk.bake()
    assert bpy.ops.histalk.bake(discard_edits=True) == {"FINISHED"}
    assert obj.data.shape_keys.key_blocks[name].data[100].co == shape
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"}
    assert [key.name for key in obj.data.shape_keys.key_blocks] == ["Basis", name]
    assert obj.data.shape_keys.key_blocks[name].data[100].co == shape


def test_a_sculpted_key_of_the_bake_stays_when_it_is_removed(blender):
    blender.add_strip(frame=1)
    obj = blender.add_head()
    blender.bake(kind="basis")
    sculpt(obj, "HiSTalk basis 02")
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"}
    assert [key.name for key in obj.data.shape_keys.key_blocks] == ["Basis", "HiSTalk basis 02"]
    assert obj.data.shape_keys.key_blocks[1].value == 0


def test_work_on_the_neutral_head_is_no_sculpted_key(blender):
    """Blender carries what is done to the first key over to the others."""
    blender.add_strip(frame=1)
    obj = blender.add_head()
    blender.bake(kind="basis")
    for key in obj.data.shape_keys.key_blocks:
        key.data[100].co.x += 0.0005
    assert changed_by_hand(obj) == ""
    obj.histalk.lips = 1.5
    assert obj.histalk.warnings == "" and changed_by_hand(obj) == ""


def test_a_curve_that_was_deleted_does_not_come_back_by_a_slider(blender):
    blender.add_strip(frame=1)
    obj = blender.add_head(units=True)
    blender.bake(kind="arkit")
    (bag,) = curve_bags(obj.data.shape_keys.animation_data)
    bag.fcurves.remove(curve_of(obj))
    obj.histalk.lips = 1.5
    assert curve_of(obj) is None and "'jawOpen'" in obj.histalk.warnings
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"}, "nothing is lost by that"


def test_edits_made_while_a_bake_runs_are_not_written_over(blender):
    blender.add_strip(frame=1)
    obj = blender.add_head(units=True)
    blender.bake(kind="arkit")
    job = blender.begin(kind="arkit")
    blender.drive(job, until=("ready", "applying", "failed"))
    EDITS["a key moved"](curve_of(obj))
    if job.state == "ready":
        assert blender.drive(job) == "failed" and "changed by hand" in job.error
        assert curve_of(obj).keyframe_points[9].co.y == pytest.approx(0.9)
    from histalk_blender.addon.session import get_session

    get_session().stop_bake()


def test_a_bake_in_the_nla_is_not_restyled_unasked(blender):
    blender.add_strip(frame=1)
    obj = blender.add_head(units=True)
    blender.bake(kind="arkit")
    animation = obj.data.shape_keys.animation_data
    strip = animation.nla_tracks.new().strips.new("Take 1", round(animation.action.frame_range[0]), animation.action)
    strip.action_slot = animation.action_slot
    animation.action = None
    obj.histalk.lips = 1.5
    assert "NLA" in obj.histalk.warnings and animation.action is None
    strip.scale = 2.0
    with pytest.raises(RuntimeError, match="NLA strip 'Take 1'"):
        bpy.ops.histalk.bake()
    assert bpy.ops.histalk.bake(discard_edits=True) == {"FINISHED"}
    assert animation.action is not None and not animation.nla_tracks


def test_a_cache_that_was_moved_in_time_and_its_settings_stay(blender, tmp_path):
    blender.add_strip(frame=1)
    obj = blender.add_head()
    obj.modifiers.new("Smooth", "SMOOTH")
    blender.bake(kind="cache", cache_folder=str(tmp_path))
    obj.modifiers["HiSTalk"].factor = 0.5
    obj.modifiers.move(0, 1)
    obj.histalk.lips = 1.5
    assert obj.histalk.warnings == ""
    assert obj.modifiers["HiSTalk"].factor == 0.5 and obj.modifiers.find("HiSTalk") == 1
    obj.modifiers["HiSTalk"].frame_start += 3
    obj.histalk.lips = 1.0
    assert "start frame of modifier 'HiSTalk'" in obj.histalk.warnings


def test_the_function_refuses_too_and_touches_nothing(blender, motion):
    obj = blender.add_head(units=True)
    bake(obj, motion, kind="arkit")
    EDITS["a modifier"](curve_of(obj))
    for refused in (lambda: bake(obj, motion, kind="basis"), lambda: remove_bake(obj)):
        with pytest.raises(HiSTalkError, match="changed by hand"):
            refused()
    assert len(curve_of(obj).modifiers) == 1
    bake(obj, motion, kind="basis", discard_edits=True)
    assert curve_of(obj) is None


class Window:
    """Enough of a window manager to see what a button asks."""

    def __init__(self):
        self.asked = []

    def invoke_confirm(self, operator, event, **texts):
        self.asked.append(texts)
        return {"RUNNING_MODAL"}


@pytest.mark.parametrize(
    "cls, button", [(operators.HISTALK_OT_bake, "Bake"), (operators.HISTALK_OT_remove_bake, "Remove")]
)
def test_in_a_window_the_button_asks_first(blender, monkeypatch, cls, button):
    from types import SimpleNamespace

    blender.add_strip(frame=1)
    obj = blender.add_head(units=True)
    blender.bake(kind="arkit")
    EDITS["a key moved"](curve_of(obj))
    window, operator = Window(), SimpleNamespace(discard_edits=False, execute=None)
    monkeypatch.setattr(operators, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    cls.invoke(operator, SimpleNamespace(object=obj, window_manager=window), None)
    (asked,) = window.asked
    assert "'jawOpen'" in asked["message"] and asked["confirm_text"] == button
    assert operator.discard_edits, "the dialog's button goes on"
    assert curve_of(obj).keyframe_points[9].co.y == np.float32(0.9)
