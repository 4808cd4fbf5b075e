"""The face speaks what is heard on the timeline: Blender's own mixdown is the truth, frame for frame."""

import shutil
from pathlib import Path

import bpy
import numpy as np
import pytest
import soundfile as sf
from timeline import LEFT, NEW_NAMES, TRIM, add, add_meta, handles, mixdown, place, retime

from histalk_blender.addon.strips import inaudible_reason, record_strip, record_timeline
from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio.clip import read_audio
from histalk_blender.errors import HiSTalkError


def laid_out(scene, recording, count):
    """The recording's [count] samples where the face would speak them, frame_start being the first."""
    samples = read_audio(recording.source, recording.start, recording.duration, recording.name)
    fps = scene.render.fps / scene.render.fps_base
    at = round((recording.first_frame - scene.frame_start) / fps * SAMPLE_RATE)
    timeline = np.zeros(count)
    timeline[max(at, 0) : at + len(samples)] = samples[max(-at, 0) :][: max(0, count - max(at, 0))]
    return timeline


def assert_as_heard(scene, recording, heard, retimed=False):
    """Within 5 ms of Blender's mixdown, with nothing more and nothing less in it.

    Loudness alone is compared of a retimed sound: Blender's pitch correction makes another wave at every mixdown.
    Blender 4.5 plays it up to 20 ms later at one mixdown than at the next.
    """
    within, least, louder = (0.005, 0.99, 0.02) if not retimed else (0.005, 0.97, 0.06)
    if retimed and not NEW_NAMES:
        within, least = 0.025, 0.9
    spoken = laid_out(scene, recording, len(heard))
    if retimed:
        window = np.hanning(SAMPLE_RATE // 100)
        heard, spoken = (np.sqrt(np.convolve(sound**2, window, "same").clip(0)) for sound in (heard, spoken))
    size = 2 * len(heard)
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(spoken, size)), size)
    lag = (int(match.argmax()) + len(heard)) % size - len(heard)
    assert abs(lag) < within * SAMPLE_RATE, f"spoken {lag / SAMPLE_RATE * 1000:.1f} ms before it is heard"
    likeness = match.max() / np.sqrt((heard**2).sum() * (spoken**2).sum())
    loudness = np.sqrt((spoken**2).sum() / (heard**2).sum())
    assert likeness > least and abs(loudness - 1) < louder


def plain(scene, voice):
    return add(scene, voice, 10)


def at_23_976(scene, voice):
    scene.render.fps_base = 1.001
    return add(scene, voice, 77)


def brought_in_at_another_rate(scene, voice):
    strip = add(scene, voice, 10)
    scene.render.fps = 30
    return strip


def trimmed(scene, voice):
    strip = add(scene, voice, 10)
    handles(strip, 40, 100)
    return strip


def pulled_out(scene, voice):
    strip = add(scene, voice, 20)
    handles(strip, 5, 190)
    return strip


def content_trimmed(scene, voice):
    strip = add(scene, voice, 20)
    setattr(strip, TRIM, 17)
    return strip


def offset_later(scene, voice):
    strip = add(scene, voice, 10)
    strip.sound_offset = 0.307
    return strip


def offset_earlier_and_trimmed(scene, voice):
    strip = add(scene, voice, 10)
    strip.sound_offset = -0.307
    handles(strip, 40, 100)
    return strip


def before_frame_zero(scene, voice):
    return add(scene, voice, -31)


def clipped_by_its_meta(scene, voice):
    meta = add_meta(scene)
    strip = add(meta, voice, 10)
    handles(meta, 40, 100)
    return strip


def clipped_by_two_metas(scene, voice):
    outer = add_meta(scene, name="outer")
    inner = add_meta(outer, name="inner")
    strip = add(inner, voice, 10)
    handles(inner, 31, 130)
    handles(outer, 20, 101)
    return strip


def in_a_moved_meta(scene, voice):
    meta = add_meta(scene)
    strip = add(meta, voice, 10)
    handles(meta, 30, 120)
    place(meta, 57)
    return strip


POINTED_AT = [
    plain,
    at_23_976,
    brought_in_at_another_rate,
    trimmed,
    pulled_out,
    content_trimmed,
    offset_later,
    offset_earlier_and_trimmed,
    before_frame_zero,
    clipped_by_its_meta,
    clipped_by_two_metas,
    in_a_moved_meta,
]


def retimed(scene, voice):
    strip = add(scene, voice, 10)
    retime(scene, strip, 60, 100)
    return strip


def retimed_trimmed_and_before_zero(scene, voice):
    strip = add(scene, voice, 10)
    retime(scene, strip, 60, 100)
    setattr(strip, LEFT, 25)
    place(strip, -20)
    return strip


def retimed_in_a_clipping_meta(scene, voice):
    strip = add(add_meta(scene), voice, 10)
    handles(strip.parent_meta(), 0, 200)
    scene.sequence_editor.display_stack(strip.parent_meta())
    retime(scene, strip, 60, 100)
    scene.sequence_editor.display_stack(None)
    handles(strip.parent_meta(), 25, 90)
    return strip


def mp3(scene, voice):
    samples, rate = sf.read(voice)
    path = voice.with_suffix(".mp3")
    sf.write(path, samples, rate)
    return add(scene, path, 10)


def trimmed_mp3(scene, voice):
    strip = mp3(scene, voice)
    handles(strip, 40, 100)
    return strip


def ogg_at_16_khz(scene, voice):
    path = voice.with_suffix(".ogg")
    sf.write(path, read_audio(voice), SAMPLE_RATE)
    return add(scene, path, 10)


def film(scene, voice):
    """A sound that libsndfile cannot read."""
    path = voice.with_suffix(".mkv")
    strip = add(scene, voice, 0)
    with bpy.context.temp_override(scene=scene):
        bpy.ops.sound.mixdown(filepath=str(path), container="MATROSKA", codec="AAC", format="F32")
    scene.sequence_editor.strips.remove(strip)
    strip = add(scene, path, 10)
    handles(strip, 30, 140)
    return strip


def faded(scene, voice):
    strip = add(scene, voice, 10)
    for frame, volume in ((0, 0.0), (60, 0.0), (70, 1.0)):
        strip.volume = volume
        strip.keyframe_insert("volume", frame=frame)
    scene.frame_set(0)
    return strip


def whole_meta(scene, voice):
    meta = add_meta(scene)
    add(meta, voice, 10)
    add(meta, voice, 103, channel=2)
    handles(meta, 30, 170)
    return meta


MIXED_DOWN = [
    retimed,
    retimed_trimmed_and_before_zero,
    retimed_in_a_clipping_meta,
    mp3,
    trimmed_mp3,
    ogg_at_16_khz,
    film,
    faded,
    whole_meta,
]


@pytest.mark.parametrize("arrange", [*POINTED_AT, *MIXED_DOWN], ids=lambda arrange: arrange.__name__)
def test_a_strip_is_spoken_as_it_is_heard(scene, voice, tmp_path, arrange):
    strip = arrange(scene, voice)
    assert inaudible_reason(scene, strip) == ""
    recording = record_strip(scene, strip)
    assert recording.temporary == (arrange in MIXED_DOWN)
    heard = mixdown(scene, tmp_path / "truth.wav")
    assert_as_heard(scene, recording, heard, retimed=strip.type == "SOUND" and len(strip.retiming_keys) > 0)


def test_frames_before_zero_are_spoken_too(scene, voice):
    """Blender's scenes begin at 0 at the earliest, so the truth is the same strip, 40 frames later."""
    add(scene, voice, 0, "in the way")
    for source in (voice, mp3(scene, voice).sound.filepath):
        early, late = add(scene, source, -31, channel=5), add(scene, source, 9, channel=6)
        one, other = record_strip(scene, early), record_strip(scene, late)
        assert (one.first_frame, other.first_frame) == (-31, 9) and one.duration == other.duration
        first, second = (read_audio(each.source, each.start, each.duration) for each in (one, other))
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_sound_that_begins_between_frames(scene, voice):
    strip = add(scene, voice, 10)
    strip.sound_offset = 0.1
    recording = record_strip(scene, strip)
    assert recording.first_frame == pytest.approx(10 + 2.4) and recording.start == 0


def test_a_packed_sound_speaks_without_its_file(scene, voice, tmp_path):
    path = tmp_path / "gone.wav"
    shutil.copy(voice, path)
    strip = add(scene, path, 33)
    handles(strip, 50, 120)
    strip.sound.pack()
    path.unlink()
    recording = record_strip(scene, strip)
    assert isinstance(recording.source, bytes)
    assert_as_heard(scene, recording, mixdown(scene, tmp_path / "truth.wav"))


def test_a_strip_of_a_scene_that_is_not_shown(scene, voice, tmp_path):
    add(scene, voice, 3)
    other = bpy.data.scenes.new("edit")
    other.render.fps, other.frame_start, other.frame_end = 30, 20, 200
    other.sequence_editor_create()
    strip = add(other, voice, 40)
    retimed_strip = add(other, voice, 40, channel=2)
    retime(other, retimed_strip, 90, 120)
    retimed_strip.mute = True
    assert_as_heard(other, record_strip(other, strip), mixdown(other, tmp_path / "truth.wav"))
    strip.mute, retimed_strip.mute = True, False
    heard = mixdown(other, tmp_path / "truth.wav")
    assert_as_heard(other, record_strip(other, retimed_strip), heard, retimed=True)
    assert_as_heard(other, record_timeline(other), heard, retimed=True)


def test_music_beside_a_retimed_voice_is_not_spoken(scene, voice, tmp_path):
    strip = add_meta(scene)
    child = add(strip, voice, 10)
    handles(strip, 10, 154)
    music = add(scene, voice, 17, "music", channel=2)
    for chosen in (strip, child):
        recording = record_strip(scene, chosen)
        music.mute = True
        assert_as_heard(scene, recording, mixdown(scene, tmp_path / "truth.wav"))
        music.mute = False


def everything(scene):
    """Names, users and every plain value of the scene and its strips."""
    data = {
        name: sorted((item.name_full, item.users) for item in getattr(bpy.data, name))
        for name in dir(bpy.data)
        if isinstance(getattr(bpy.data, name), bpy.types.bpy_prop_collection)
    }
    parts = [scene, scene.render, *scene.sequence_editor.strips_all, *scene.sequence_editor.channels]
    plain = {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"}
    values = [
        (part.name if hasattr(part, "name") else "", prop.identifier, str(getattr(part, prop.identifier)))
        for part in parts
        for prop in part.bl_rna.properties
        if prop.type in plain and prop.identifier != "tag" and not getattr(prop, "is_array", False)
    ]
    return data, values, scene.sequence_editor.active_strip, [obj.name for obj in scene.objects]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_recording_leaves_the_scene_as_it_was(scene, voice):
    chosen, meta = retimed(scene, voice), whole_meta(scene, voice)
    add(scene, voice, -12, "other", channel=7).mute = True
    place(meta, -40)
    scene.collection.objects.link(bpy.data.objects.new("empty", None))
    scene.collection.children.link(bpy.data.collections.new("props"))
    before = everything(scene)
    for recording in (record_strip(scene, chosen), record_strip(scene, meta), record_timeline(scene)):
        assert Path(recording.source).parent == Path(bpy.app.tempdir)
    assert everything(scene) == before


def test_the_timeline_is_all_that_is_heard_in_the_frame_range(scene, voice, tmp_path):
    scene.render.fps_base = 1.001
    scene.frame_start, scene.frame_end = 31, 130
    add(scene, voice, 10)
    add(scene, voice, 47, channel=2)
    add(scene, voice, 53, channel=3).mute = True
    recording = record_timeline(scene)
    assert recording.first_frame == 31 and recording.duration == pytest.approx(100 * 1.001 / 24)
    heard = mixdown(scene, tmp_path / "truth.wav")[: round(recording.duration * SAMPLE_RATE)]
    assert_as_heard(scene, recording, heard)


def test_a_timeline_without_sound_says_what_to_do(scene, voice):
    with pytest.raises(HiSTalkError, match="add a sound strip"):
        record_timeline(scene)
    strip = add(scene, voice, 500)
    with pytest.raises(HiSTalkError, match="frames 0 to 220"):
        record_timeline(scene)
    strip.mute = True
    with pytest.raises(HiSTalkError, match="is muted"):
        record_timeline(scene)
    strip.mute, scene.frame_end = False, 200_000
    with pytest.raises(HiSTalkError, match="hour or less"):
        record_timeline(scene)
