"""Any file an animator drops in is read, or refused in one sentence."""

import numpy as np
import pytest
import soundfile as sf

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio.clip import read_audio
from histalk_blender.audio.loudness import is_silent, normalise_loudness
from histalk_blender.audio.opening import is_lossless
from histalk_blender.errors import HiSTalkError


def tone(rate, seconds=1.0, channels=1):
    wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, 1).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("rate, channels", [(8000, 1), (44_100, 2), (48_000, 6)])
def test_formats_rates_and_channels(tmp_path, name, rate, channels):
    if name == "a.mp3" and channels > 2:
        channels = 2
    path = tmp_path / name
    sf.write(path, tone(rate, channels=channels), rate)
    samples = read_audio(path)
    assert samples.dtype == np.float32 and abs(len(samples) - SAMPLE_RATE) < 0.06 * SAMPLE_RATE
    spectrum = np.abs(np.fft.rfft(samples[:SAMPLE_RATE] * np.hanning(len(samples[:SAMPLE_RATE]))))
    assert abs(spectrum.argmax() * SAMPLE_RATE / len(samples[:SAMPLE_RATE]) - 220) < 3


def wrong(folder, kind):
    path = folder / "a.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no audio at all, whatever its name says")
    elif kind == "nan":
        wave = tone(16_000)
        wave[100] = np.nan
        sf.write(path, wave, 16_000, subtype="FLOAT")
    elif kind == "short":
        sf.write(path, tone(16_000, 0.05), 16_000)
    elif kind == "header":
        sf.write(path, tone(16_000), 16_000)
        path.write_bytes(path.read_bytes()[:20])
    elif kind == "truncated":
        path = path.with_suffix(".flac")
        random = np.random.default_rng(0).normal(0, 0.1, 160_000)
        sf.write(path, random, 16_000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize(
    "kind, says",
    [
        ("missing", "No audio file"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "not audio"),
        ("nan", "not numbers"),
        ("short", "at least"),
        ("header", "not audio"),
        ("truncated", "before its end.*copy"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence_that_names_them(tmp_path, kind, says):
    path = wrong(tmp_path, kind)
    with pytest.raises(HiSTalkError, match=says) as caught:
        read_audio(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_level_is_even_whatever_the_recording(speech):
    loud, quiet = normalise_loudness(speech), normalise_loudness(speech * 0.1)
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_silence_stays_silent():
    silence = np.zeros(SAMPLE_RATE, np.float32)
    assert is_silent(silence) and (normalise_loudness(silence) == 0).all()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_segment_equals_that_part_of_the_whole(tmp_path, name, packed):
    path = tmp_path / name
    sf.write(path, np.cumsum(np.random.default_rng(0).normal(0, 0.01, 132_300)) * 0.1, 44_100)
    source = path.read_bytes() if packed else path
    whole, segment = read_audio(source), read_audio(source, start=0.8, duration=1.5)
    assert len(segment) == 1.5 * SAMPLE_RATE
    inner = slice(SAMPLE_RATE // 4, -SAMPLE_RATE // 4)  # the resampler rings at the cuts
    np.testing.assert_allclose(segment[inner], whole[round(0.8 * SAMPLE_RATE) :][: len(segment)][inner], atol=1e-3)


def test_a_segment_that_reaches_past_the_end_is_shorter(tmp_path):
    sf.write(tmp_path / "a.wav", tone(SAMPLE_RATE, 2.0), SAMPLE_RATE)
    assert len(read_audio(tmp_path / "a.wav", start=1.5, duration=10)) == SAMPLE_RATE // 2
    with pytest.raises(HiSTalkError, match="a.wav' ends at 2.0 s, before 3.0 s"):
        read_audio(tmp_path / "a.wav", start=3)


def test_ten_seconds_of_a_long_recording_are_no_long_recording(tmp_path):
    sf.write(tmp_path / "a.flac", np.zeros(2 * 3600 * 8000, np.int16), 8000)
    assert len(read_audio(tmp_path / "a.flac", start=5000, duration=10)) == 10 * SAMPLE_RATE
    with pytest.raises(HiSTalkError, match="hour or less"):
        read_audio(tmp_path / "a.flac", start=10)


@pytest.mark.parametrize("source, says", [(b"", "is empty"), (b"this is no audio" * 99, "not audio")])
def test_a_packed_sound_is_refused_by_the_name_of_its_strip(source, says):
    with pytest.raises(HiSTalkError, match=says) as caught:
        read_audio(source, name="Anna")
    assert str(caught.value).startswith("'Anna'") and "0x" not in str(caught.value)


@pytest.mark.parametrize("name, lossless", [("a.wav", True), ("a.flac", True), ("a.ogg", False), ("a.mp3", False)])
def test_only_lossless_sound_starts_at_the_same_sample_for_all(tmp_path, name, lossless):
    sf.write(tmp_path / name, tone(SAMPLE_RATE), SAMPLE_RATE)
    assert is_lossless(tmp_path / name) is is_lossless((tmp_path / name).read_bytes()) is lossless
    (tmp_path / "a.mp4").write_text("what libsndfile cannot read")
    assert not is_lossless(tmp_path / "a.mp4")


def cut(path, share=0.5):
    """Noise of 6.6 s in a file of which the last part is missing."""
    sf.write(path, np.random.default_rng(0).normal(0, 0.1, 105_304), 16_000)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.rf64", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_breaks_off_is_refused_but_for_a_segment_before_that(tmp_path, name, packed):
    path = cut(tmp_path / name)
    source = path.read_bytes() if packed else path
    for segment in ({}, {"start": 0.5}, {"start": 1.0, "duration": 5.0}):
        with pytest.raises(HiSTalkError, match="before its end.*: copy or export it again") as caught:
            read_audio(source, **segment, name="Anna")
        assert ("Anna" if packed else name) in str(caught.value)
    if name != "a.flac":  # its decoder loses sync where it reads ahead
        assert len(read_audio(source, start=0.5, duration=0.5)) == SAMPLE_RATE // 2


def test_a_file_that_lacks_only_its_last_moments_is_refused_too(tmp_path):
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
        with pytest.raises(HiSTalkError, match="before its end"):
            read_audio(cut(tmp_path / name, 0.95))


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.mp3"])
def test_what_others_append_to_a_whole_file_does_not_matter(tmp_path, name):
    whole = cut(tmp_path / name, 1.0)
    length = len(read_audio(whole))
    for tail in (b"TAG" + b"x" * 125, b"LIST" + (26).to_bytes(4, "little") + b"INFO" + b"x" * 22, b"\0"):
        assert abs(len(read_audio(whole.read_bytes() + tail)) - length) < 0.02 * length


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
@pytest.mark.parametrize("packed", [False, True])
def test_a_wav_from_a_pipe_does_not_know_its_size(tmp_path, size, packed):
    path = cut(tmp_path / "a.wav", 1.0)
    data = path.read_bytes()
    path.write_bytes(data[:40] + size.to_bytes(4, "little") + data[44:])
    assert len(read_audio(path.read_bytes() if packed else path)) == 105_304


@pytest.mark.parametrize("packed", [False, True])
def test_nor_does_a_large_one(tmp_path, packed):
    path = cut(tmp_path / "a.rf64", 1.0)
    data = path.read_bytes()
    assert data[12:16] == b"ds64"
    path.write_bytes(data[:20] + bytes(24) + data[44:])
    assert len(read_audio(path.read_bytes() if packed else path)) == 105_304


def test_a_wav_of_odd_size_without_its_pad_byte_is_whole(tmp_path):
    sf.write(tmp_path / "a.wav", np.zeros(16_001), 16_000, subtype="PCM_U8")
    data = (tmp_path / "a.wav").read_bytes()
    assert len(read_audio(data[: 44 + 16_001])) == 16_001


def without_length(path):
    """The bytes of an mp3 without its first frame, which says how long it is."""
    data = path.read_bytes()
    return data[data.index(data[:2], 4) :]


def test_an_mp3_that_does_not_say_how_long_it_is_is_read_as_far_as_it_goes(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 105_304)
    sf.write(tmp_path / "a.mp3", noise, 16_000, bitrate_mode="CONSTANT", compression_level=0.5)
    data = without_length(tmp_path / "a.mp3")
    assert len(read_audio(data)) > 100_000
    assert 45_000 < len(read_audio(data[: len(data) // 2])) < 60_000
    sf.write(tmp_path / "b.mp3", np.concatenate([noise * 0, noise]), 16_000, bitrate_mode="VARIABLE")
    length = len(read_audio(without_length(tmp_path / "b.mp3")))
    assert abs(length - 210_608) < 4000, "its first frame lets libsndfile guess at more"
    sf.write(tmp_path / "c.mp3", np.concatenate([noise, noise * 0]), 16_000, bitrate_mode="VARIABLE")
    (tmp_path / "c.mp3").write_bytes(without_length(tmp_path / "c.mp3"))
    with pytest.raises(HiSTalkError, match="c.mp3' does not say how long it is"):
        read_audio(tmp_path / "c.mp3")
    assert len(read_audio(tmp_path / "c.mp3", duration=1)) == SAMPLE_RATE


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_channels_that_cancel_each_other_are_not_silent(tmp_path, rate):
    wave = tone(rate, 10.0)
    sf.write(tmp_path / "one.wav", wave, rate)
    sf.write(tmp_path / "two.wav", np.hstack([-0.8 * wave, wave]), rate)
    np.testing.assert_allclose(read_audio(tmp_path / "two.wav"), read_audio(tmp_path / "one.wav"), atol=1e-3)
    segment = {"start": 7.0, "duration": 2.0}
    assert not is_silent(read_audio(tmp_path / "two.wav", **segment))


def test_channels_that_do_not_cancel_are_mixed(tmp_path):
    left, right = np.random.default_rng(0).normal(0, 0.1, (2, 32_000))
    for pair in ((left, right), (left, 0 * left), (left, left)):
        sf.write(tmp_path / "a.wav", np.stack(pair, 1), 16_000, subtype="FLOAT")
        np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), np.mean(pair, 0), atol=1e-5)
