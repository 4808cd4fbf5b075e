"""A shot plays a line once, whether it held the sound before, and however often it is baked again."""

import shutil

import bpy
import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.bake import add_head
from histalk_blender.bake.scene import build_scene, save_blend
from histalk_blender.bake.shot import add_sound, open_shot


def strips():
    found = [
        (strip.name, strip.channel) for strip in bpy.context.scene.sequence_editor.strips_all if strip.type == "SOUND"
    ]
    return sorted(found, key=lambda one: one[1])


def own(frame=101, path=SPEECH, channel=3):
    editor = bpy.context.scene.sequence_editor_create()
    return editor.strips.new_sound("Mine", str(path), channel, frame)


def trimmed(strip):
    name = "left_handle" if hasattr(strip, "left_handle") else "frame_final_start"
    setattr(strip, name, getattr(strip, name) + 12)


def in_a_meta(strip):
    strip.select = True
    meta = bpy.context.scene.sequence_editor.strips.new_meta("Meta", 5, 1)
    strip.move_to_meta(meta)


HOLDS = {
    "as it is": lambda strip: None,
    "packed": lambda strip: strip.sound.pack(),
    "trimmed": trimmed,
    "inside a meta": in_a_meta,
    "moved to another channel": lambda strip: setattr(strip, "channel", 9),
}


@pytest.mark.parametrize("how", HOLDS)
def test_a_sound_that_the_shot_holds_is_not_added_again(scene, how):
    HOLDS[how](own())
    before = strips()
    assert add_sound(SPEECH, 101) == "" and strips() == before


def test_a_relative_path_and_a_copy_under_another_name_are_the_same_sound(scene, tmp_path):
    line = shutil.copy(SPEECH, tmp_path / "line.flac")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    own(path=line).sound.filepath = "//line.flac"
    before = strips()
    assert add_sound(line, 101) == "" and strips() == before
    assert add_sound(SPEECH, 101) == "" and strips() == before, "the same bytes elsewhere"


def test_a_muted_strip_is_left_muted_and_told(scene):
    own().mute = True
    assert "muted strip 'Mine'" in add_sound(SPEECH, 101) and len(strips()) == 1


def test_the_same_sound_at_another_place_is_added_and_told(scene):
    own(frame=301)
    assert "at frame 301 too, in strip 'Mine'" in add_sound(SPEECH, 101) and len(strips()) == 2


@pytest.fixture
def takes(tmp_path):
    """Two takes of a line, in files of one name in two folders."""
    samples, rate = sf.read(SPEECH)
    paths = []
    for number, stretch in enumerate((samples[: rate * 2], samples[rate:])):
        (tmp_path / str(number)).mkdir()
        paths.append(tmp_path / str(number) / "line.wav")
        sf.write(paths[-1], stretch, rate)
    return paths


def test_a_second_take_comes_in_place_of_the_first_that_we_added_and_the_animator_s_strips_stay(
    scene, head, takes, tmp_path
):
    obj, other = add_head(head), add_head(head)
    own(path=SPEECH, frame=1)
    add_sound(takes[0], 101, obj)
    add_sound(takes[0], 201, other)
    name = obj.name
    save_blend(tmp_path / "one.blend")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "one.blend"))
    obj = bpy.data.objects[name]
    add_sound(takes[0], 101, obj)
    assert len(strips()) == 3, "the same take again"
    add_sound(takes[1], 101, obj)
    sounds = list(bpy.context.scene.sequence_editor.strips_all)
    files = sorted((bpy.path.abspath(strip.sound.filepath).rsplit("/", 2)[-2]) for strip in sounds)
    assert files == ["0", "1", "data"], "the other head keeps its take, the animator her strip"


def test_a_copy_that_the_animator_made_of_our_strip_is_hers(scene, head, takes):
    obj = add_head(head)
    add_sound(takes[0], 101, obj)
    own(path=takes[0], frame=401)
    add_sound(takes[1], 101, obj)
    assert len(strips()) == 2 and "Mine" in dict(strips())


def test_the_next_line_of_a_head_is_added_behind_the_last(scene, head, takes):
    obj = add_head(head)
    add_sound(takes[0], 1, obj)
    add_sound(takes[1], 101, obj)
    add_sound(takes[1], 111, obj)
    starts = sorted(strip.frame_final_start for strip in scene.sequence_editor.strips)
    assert starts == [1, 111], "the same line at another place is another take of it"


def test_a_new_scene_s_sound_is_replaced_when_it_is_baked_again_as_a_shot(head, takes, tmp_path):
    build_scene(head, takes[0], 60)
    save_blend(tmp_path / "first.blend")
    obj = open_shot(tmp_path / "first.blend", "")
    add_sound(takes[1], 1, obj)
    (strip,) = bpy.context.scene.sequence_editor.strips_all
    assert "/1/" in bpy.path.abspath(strip.sound.filepath)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_a_new_strip_lies_in_a_channel_that_is_heard(scene):
    editor = bpy.context.scene.sequence_editor_create()
    own(channel=2)
    editor.channels[3].mute = True
    add_sound(SPEECH, 1)
    assert strips()[-1][1] == 4


def test_a_shot_filled_up_to_the_last_channel_takes_the_sound(scene):
    own(channel=128, frame=900)
    add_sound(SPEECH, 1)
    assert len(strips()) == 2
