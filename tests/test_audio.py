"""Any file an animator drops in is read, or refused in one sentence."""

import numpy as np
import pytest
import soundfile as sf

from histalk_blender.audio import RATE, is_silent, normalise_level, read_audio
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
