"""Any file an animator drops in is read, or refused in one sentence."""

import numpy as np
import pytest
import soundfile as sf

from histalk_blender.audio import RATE, is_lossless, is_silent, normalise_level, read_audio
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
    assert samples.dtype == np.float32 and abs(len(samples) - RATE) < 0.06 * RATE
    spectrum = np.abs(np.fft.rfft(samples[:RATE] * np.hanning(len(samples[:RATE]))))
    assert abs(spectrum.argmax() * RATE / len(samples[:RATE]) - 220) < 3


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
    [("missing", "No audio file"), ("folder", "is a folder"), ("empty", "is empty"), ("text", "not audio"),
     ("nan", "no numbers"), ("short", "at least"), ("header", "not audio"), ("truncated", "(ends after|not audio)")],
)  # fmt: skip
def test_wrong_files_are_refused_in_one_sentence_that_names_them(tmp_path, kind, says):
    path = wrong(tmp_path, kind)
    with pytest.raises(HiSTalkError, match=says) as caught:
        read_audio(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_level_is_even_whatever_the_recording(speech):
    loud, quiet = normalise_level(speech), normalise_level(speech * 0.1)
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_silence_stays_silent():
    silence = np.zeros(RATE, np.float32)
    assert is_silent(silence) and (normalise_level(silence) == 0).all()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_stretch_is_what_the_whole_holds_there(tmp_path, name, packed):
    path = tmp_path / name
    sf.write(path, np.cumsum(np.random.default_rng(0).normal(0, 0.01, 132_300)) * 0.1, 44_100)
    source = path.read_bytes() if packed else path
    whole, stretch = read_audio(source), read_audio(source, start=0.8, duration=1.5)
    assert len(stretch) == 1.5 * RATE
    inner = slice(RATE // 4, -RATE // 4)  # the resampler rings at the cuts
    np.testing.assert_allclose(stretch[inner], whole[round(0.8 * RATE) :][: len(stretch)][inner], atol=1e-3)


def test_a_stretch_that_reaches_past_the_end_gives_what_there_is(tmp_path):
    sf.write(tmp_path / "a.wav", tone(RATE, 2.0), RATE)
    assert len(read_audio(tmp_path / "a.wav", start=1.5, duration=10)) == RATE // 2
    with pytest.raises(HiSTalkError, match="a.wav' ends at 2.0 s, before 3.0 s"):
        read_audio(tmp_path / "a.wav", start=3)


def test_ten_seconds_of_a_long_recording_are_no_long_recording(tmp_path):
    sf.write(tmp_path / "a.flac", np.zeros(2 * 3600 * 8000, np.int16), 8000)
    assert len(read_audio(tmp_path / "a.flac", start=5000, duration=10)) == 10 * RATE
    with pytest.raises(HiSTalkError, match="hour or less"):
        read_audio(tmp_path / "a.flac", start=10)


@pytest.mark.parametrize("source, says", [(b"", "is empty"), (b"this is no audio" * 99, "not audio")])
def test_a_packed_sound_is_refused_by_the_name_of_its_strip(source, says):
    with pytest.raises(HiSTalkError, match=says) as caught:
        read_audio(source, name="Anna")
    assert str(caught.value).startswith("'Anna'") and "0x" not in str(caught.value)


@pytest.mark.parametrize("name, lossless", [("a.wav", True), ("a.flac", True), ("a.ogg", False), ("a.mp3", False)])
def test_only_lossless_sound_starts_at_the_same_sample_for_all(tmp_path, name, lossless):
    sf.write(tmp_path / name, tone(RATE), RATE)
    assert is_lossless(tmp_path / name) is is_lossless((tmp_path / name).read_bytes()) is lossless
    (tmp_path / "a.mp4").write_text("what libsndfile cannot read")
    assert not is_lossless(tmp_path / "a.mp4")
