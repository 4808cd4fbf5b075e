"""Two speakers in one stereo file, or many microphones in one: each head speaks its own channel."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.addon import bake_job as job
from histalk_blender.audio.channels import read_channel
from histalk_blender.audio.clip import read_audio
from histalk_blender.audio.opening import check_header
from histalk_blender.batch.job import Job
from histalk_blender.batch.manifest import read_manifest
from histalk_blender.errors import HiSTalkError

HISTALK = Path(sys.executable).with_name("histalk")


@pytest.fixture(scope="session")
def tracks():
    """[N, 6] at 16 kHz: one speaks, then another, and four hum."""
    speech, rate = sf.read(SPEECH, dtype="float32")
    first, second = np.array(speech), np.array(speech[::-1])
    half = len(speech) // 2
    first[half:] = second[:half] = 0
    hum = [0.1 * np.sin(2 * np.pi * pitch * np.arange(len(speech)) / rate) for pitch in (110, 165, 220, 275)]
    return np.stack([first, second, *hum], 1).astype(np.float32)


@pytest.fixture
def stereo(tracks, tmp_path):
    sf.write(tmp_path / "both.wav", tracks[:, :2], 16_000, subtype="FLOAT")
    return tmp_path / "both.wav"


@pytest.fixture
def many(tracks, tmp_path):
    sf.write(tmp_path / "six.wav", tracks, 16_000, subtype="FLOAT")
    return tmp_path / "six.wav"


def test_each_speaker_is_a_channel(stereo, many, tracks):
    for path, channel, track in (
        (stereo, "left", 0),
        (stereo, "right", 1),
        (many, "left", 0),
        (many, "right", 1),
        (many, "3", 2),
        (many, "6", 5),
    ):
        np.testing.assert_array_equal(read_audio(path, channel=channel), tracks[:, track])
        check_header(path, channel)
    np.testing.assert_allclose(read_audio(stereo), tracks[:, :2].mean(1), atol=1e-6)
    part = read_audio(stereo, start=0.5, duration=1.0, channel="right")
    np.testing.assert_array_equal(part, tracks[8000:24_000, 1])


def test_a_mono_sound_has_its_only_channel_on_both_sides(tmp_path, tracks):
    sf.write(tmp_path / "one.wav", tracks[:, 0], 16_000, subtype="FLOAT")
    for channel in ("mix", "left", "right"):
        np.testing.assert_array_equal(read_audio(tmp_path / "one.wav", channel=channel), tracks[:, 0])


def test_a_channel_that_is_not_there_is_refused_with_those_that_are(stereo, many, tmp_path, tracks):
    sf.write(tmp_path / "one.wav", tracks[:, 0], 16_000)
    for path, channel, says in (
        (stereo, "3", "both.wav' has 2 channels and no number 3"),
        (many, "7", "six.wav' has 6 channels"),
        (tmp_path / "one.wav", "4", "one.wav' has only one channel"),
    ):
        for read in (read_audio, check_header):
            with pytest.raises(HiSTalkError, match=says):
                read(path, channel=channel)


def test_what_is_broken_in_another_channel_does_not_matter(tmp_path, tracks):
    broken = np.array(tracks[:, :2])
    broken[1000, 1] = np.nan
    sf.write(tmp_path / "a.wav", broken, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", channel="left"), tracks[:, 0])
    with pytest.raises(HiSTalkError, match="0.062 s"):
        read_audio(tmp_path / "a.wav", channel="right")


@pytest.mark.parametrize(
    "word, found", [("Left", "left"), (" RIGHT ", "right"), (1, "left"), ("2", "right"), ("03", "3")]
)
def test_words_and_numbers_name_channels(word, found):
    assert read_channel(word) == found


@pytest.mark.parametrize("word", ["", "0", "-1", "65", "1.5", "links", "²", "٣", None, True, [1], "9" * 5000])
def test_anything_else_does_not(word):
    with pytest.raises(ValueError):
        read_channel(word)


def test_a_manifest_has_a_channel_a_row_and_the_ledger_knows_it(stereo):
    path = stereo.with_name("jobs.csv")
    path.write_text("audio,name,channel\nboth.wav,anna,left\nboth.wav,ben,2\nboth.wav,both,\nboth.wav,none,links\n")
    anna, ben, both, none = read_manifest(path, Job())
    assert (anna.channel, ben.channel, both.channel) == ("left", "right", "mix")
    assert none.problems == ("'channel' is 'links': write mix, left, right or a channel's number from 1.",)
    assert len({str(each.settings()) for each in (anna, ben, both)}) == 3
    assert both.settings() == Job().settings() | {"bake": "basis"}, "an older ledger's clips stay done"
    (by_default,) = read_manifest(stereo.parent, Job(channel="right"))
    assert by_default.channel == "right"


def test_two_heads_of_the_panel_speak_a_channel_each(blender, stereo, tracks, stored_performance, monkeypatch):
    """By file, by strip and by timeline, one after the other: nobody gets what another channel made."""
    heard = []

    def perform_clip(sound, weights, device, progress):
        heard.append(sound.between(0, len(sound)) / sound.gain)
        return stored_performance

    monkeypatch.setattr(job, "perform_clip", perform_clip)
    blender.add_head()
    blender.add_strip(frame=1, path=stereo)
    for settings in ({"audio": "FILE", "file": str(stereo)}, {"audio": "STRIP"}, {"audio": "TIMELINE"}):
        for channel, track in (("left", 0), ("right", 1)):
            blender.bake(channel=channel, **settings)
            sound = heard.pop()
            count = min(len(sound), len(tracks))
            assert np.corrcoef(sound[:count], tracks[:count, track])[0, 1] > 0.99 and not heard
    blender.bake(channel="number", channel_number=2, audio="STRIP")
    assert not heard, "number 2 is the right channel, which was heard already"


def test_the_panel_refuses_a_number_that_a_mixdown_does_not_have(blender, stereo):
    import bpy

    blender.add_head()
    blender.add_strip(frame=1, path=stereo)
    settings = bpy.context.object.histalk
    settings.channel, settings.channel_number = "number", 5
    for audio, says in (("TIMELINE", "no channel 5"), ("STRIP", "2 channels and no number 5")):
        settings.audio = audio
        with pytest.raises(RuntimeError, match=says):
            bpy.ops.histalk.bake()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no torch for this Python here")
def test_the_command_line_takes_one_speaker(stereo, tracks, tmp_path):
    def run(*words, code=0):
        done = subprocess.run([HISTALK, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done

    said = run("synthesize", "both.wav", "x.npz", "--channel", "7", code=2).stderr
    assert said == "histalk: 'both.wav' has 2 channels and no number 7: choose mix, left, right or another number.\n"
    assert (
        "write mix, left, right or" in run("bake", "both.wav", "--out", "x.blend", "--channel", "links", code=2).stderr
    )
    (tmp_path / "jobs.csv").write_text("audio,name,channel\nboth.wav,anna,\nboth.wav,ben,right\n")
    run("batch", "jobs.csv", "--out", "out", "--outputs", "npz", "--channel", "left")
    moved = [np.abs(np.load(tmp_path / "out" / f"{name}.npz")["displacements"]).max((1, 2)) for name in ("anna", "ben")]
    half = len(moved[0]) // 2
    assert moved[0][: half - 5].mean() > 3 * moved[0][half + 10 :].mean()
    assert moved[1][half + 5 :].mean() > 3 * moved[1][: half - 10].mean()
