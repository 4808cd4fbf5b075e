"""A long recording is decoded a part at a time, and is the same as if it were held whole."""

import tracemalloc

import numpy as np
import pytest
import soundfile as sf

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio import clip as audio_clip
from histalk_blender.audio.clip import AudioClip, open_clip, read_audio
from histalk_blender.audio.loudness import is_silent, normalise_loudness
from histalk_blender.errors import HiSTalkError


@pytest.fixture
def long(monkeypatch):
    """Clips longer than a second are not kept."""
    monkeypatch.setattr(audio_clip, "KEPT", SAMPLE_RATE)


def rumble(seconds, rate=44_100, channels=2):
    random = np.random.default_rng(0)
    return np.cumsum(random.normal(0, 0.01, (round(seconds * rate), channels)), 0) * 0.02


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("start, duration", [(0.0, None), (1.3, 14.2)])
def test_windows_of_a_long_file_are_those_of_the_whole(tmp_path, long, name, start, duration):
    path = tmp_path / name
    sf.write(path, rumble(20), 44_100)
    whole = normalise_loudness(read_audio(path, start, duration))
    clip = open_clip(path, start, duration)
    assert len(clip) == len(whole) and not clip.silent
    for first in [*range(0, len(whole), 70_000), 30_000, 0]:  # windows that overlap, and then earlier ones again
        np.testing.assert_array_equal(clip.between(first, first + 100_000), whole[first : first + 100_000])
    clip.close()
    np.testing.assert_array_equal(clip.between(90_000, 91_000), whole[90_000:91_000])


def test_of_channels_that_cancel_the_loudest_is_taken(tmp_path, long):
    wave = rumble(8, channels=1)
    sf.write(tmp_path / "a.wav", np.concatenate([wave, -0.9 * wave], 1), 44_100)
    whole = normalise_loudness(read_audio(tmp_path / "a.wav"))
    np.testing.assert_array_equal(open_clip(tmp_path / "a.wav").between(20_000, 60_000), whole[20_000:60_000])


def test_samples_are_normalised_as_a_file_is(speech):
    np.testing.assert_array_equal(AudioClip.of(speech).between(5000, 9000), normalise_loudness(speech)[5000:9000])
    assert AudioClip.of(np.zeros(SAMPLE_RATE, np.float32)).silent and is_silent(np.zeros(SAMPLE_RATE, np.float32))


def test_an_hour_is_never_held_whole(tmp_path):
    """Tracemalloc sees numpy's arrays: 12 minutes would be 46 MB."""
    path = tmp_path / "long.wav"
    with sf.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        for _ in range(12):
            file.write(rumble(60, SAMPLE_RATE, 1))
    tracemalloc.start()
    clip = open_clip(path)
    total = sum(
        float(np.square(clip.between(first, first + 48 * SAMPLE_RATE)).sum())
        for first in range(0, len(clip), 38 * SAMPLE_RATE)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 0 and len(clip) == 720 * SAMPLE_RATE and peak < 26e6


@pytest.mark.parametrize("damage, says", [("cut", "a.wav.*changed while"), ("gone", "No audio file at .*a.wav")])
def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, long, damage, says):
    path = tmp_path / "a.wav"
    sf.write(path, rumble(20, SAMPLE_RATE, 1), SAMPLE_RATE)
    clip = open_clip(path)
    if damage == "cut":
        sf.write(path, rumble(3, SAMPLE_RATE, 1), SAMPLE_RATE)
    else:
        path.unlink()
    with pytest.raises(HiSTalkError, match=says):
        clip.between(10 * SAMPLE_RATE, 11 * SAMPLE_RATE)


def test_a_long_recording_moves_the_head_as_its_samples_do(tmp_path, speech, model, head, monkeypatch):
    from histalk_blender.synthesis import synthesize

    sf.write(tmp_path / "a.wav", np.tile(speech, 4), SAMPLE_RATE, subtype="FLOAT")
    samples = read_audio(tmp_path / "a.wav")
    kept = synthesize(samples, model, head, window_s=9.6, overlap_s=4.8, levels=False)
    monkeypatch.setattr(audio_clip, "KEPT", SAMPLE_RATE)
    windowed = synthesize(open_clip(tmp_path / "a.wav"), model, head, window_s=9.6, overlap_s=4.8, levels=False)
    np.testing.assert_allclose(windowed.motion.weights, kept.motion.weights, atol=1e-6)
