"""Why a strip is not heard, and which one is proposed."""

import os
import shutil
from pathlib import Path

import bpy
import numpy as np
import pytest
from timeline import LEFT, NEW_NAMES, RIGHT, add, add_meta, handles, mixdown

from histalk_blender.addon import strips
from histalk_blender.addon.strips import inaudible_reason, proposed_strip, record_strip, record_timeline, sound_strips
from histalk_blender.errors import HiSTalkError


def muted_channel(scene, strip):
    scene.sequence_editor.channels[strip.parent_meta().channel].mute = True


def muted_channel_in_the_meta(scene, strip):
    strip.parent_meta().channels[strip.channel].mute = True


def muted_strip(scene, strip):
    strip.mute = True


def muted_meta(scene, strip):
    strip.parent_meta().mute = True


def no_volume(scene, strip):
    strip.volume = 0


def silent_scene(scene, strip):
    scene.audio_volume = 0


def lost_sound(scene, strip):
    strip.sound = None


def lost_file(scene, strip):
    Path(strip.sound.filepath).unlink()


def outside_of_the_meta(scene, strip):
    handles(strip.parent_meta(), 155, 300)


def trimmed_away(scene, strip):
    handles(strip.parent_meta(), 0, 300)
    setattr(strip, RIGHT, 200)
    setattr(strip, LEFT, 160)


@pytest.mark.parametrize(
    "silence, says",
    [
        (muted_channel, "Channel .* of strip 'meta' is muted"),
        (muted_channel_in_the_meta, "of strip 'voice' is muted"),
        (muted_strip, "'voice' is muted"),
        (muted_meta, "'meta' is muted"),
        (no_volume, "volume of strip 'voice' is 0"),
        (silent_scene, "volume of scene"),
        (lost_sound, "has no sound data"),
        (lost_file, "is missing its file"),
        (outside_of_the_meta, "visible part of its meta"),
        (trimmed_away, "No sound is left"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_why_a_strip_is_not_heard(scene, voice, tmp_path, silence, says):
    path = tmp_path / "voice.wav"
    shutil.copy(voice, path)
    meta = add_meta(scene)
    strip = add(meta, path, 10)
    handles(meta, 0, 200)
    assert inaudible_reason(scene, strip) == inaudible_reason(scene, meta) == ""
    silence(scene, strip)
    for asked in (strip, meta):
        with pytest.raises(HiSTalkError, match=says) as caught:
            record_strip(scene, asked)
        assert str(caught.value) == inaudible_reason(scene, asked) and ": " in str(caught.value)
    if silence not in (lost_sound, lost_file):  # Blender still holds those open
        path = tmp_path / "truth.wav"
        assert np.abs(mixdown(scene, path)).max() < 1e-4


def test_a_file_that_blender_cannot_read(scene, tmp_path):
    (tmp_path / "notes.wav").write_text("no sound at all" * 50)
    assert "cannot read" in inaudible_reason(scene, add(scene, tmp_path / "notes.wav", 1))


def test_a_strip_without_sound_is_refused(scene):
    length = {"length" if NEW_NAMES else "frame_end": 30}
    strip = scene.sequence_editor.strips.new_effect("title", "TEXT", 1, 1, **length)
    assert sound_strips(scene) == [] and proposed_strip(scene) is None
    with pytest.raises(HiSTalkError, match="choose a sound strip"):
        record_strip(scene, strip)


def test_no_room_for_the_mixdown_is_said(scene, voice, monkeypatch):
    add(scene, voice, 1)

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(strips.tempfile, "mkstemp", no_room)
    with pytest.raises(HiSTalkError, match="No space left"):
        record_timeline(scene)


def test_a_temporary_folder_that_was_swept_away_is_said(scene, voice, monkeypatch, tmp_path):
    add(scene, voice, 1)
    handle = os.open(tmp_path / "a.wav", os.O_CREAT)
    monkeypatch.setattr(strips.tempfile, "mkstemp", lambda *_: (handle, str(tmp_path / "gone" / "a.wav")))
    with pytest.raises(HiSTalkError, match="could not mix down 'Scene'"):
        record_timeline(scene)


def test_the_strips_to_choose_from(scene, voice):
    assert sound_strips(bpy.data.scenes.new("no sequencer")) == [] and proposed_strip(scene) is None
    late = add(scene, voice, 90, "late")
    meta = add_meta(scene)
    child = add(meta, voice, 20, "child")
    handles(meta, 10, 80)
    scratch = add(scene, voice, -5, "scratch", channel=4)
    add_meta(scene, channel=8, name="no sound in it")
    assert sound_strips(scene) == [scratch, meta, child, late]
    scene.sequence_editor.active_strip = None
    assert proposed_strip(scene) == scratch
    scratch.mute = True
    assert proposed_strip(scene) == child
    scene.sequence_editor.active_strip = late
    assert proposed_strip(scene) == late
