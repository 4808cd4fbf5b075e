"""Phones, cameras and screen recorders write m4a, mp4, aac, mkv: Blender reads them as it would the wav."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import aud
import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH
from mp4 import write_m4a

from histalk_blender.addon import bake_job as job
from histalk_blender.audio import conversion as foreign
from histalk_blender.audio.clip import read_audio
from histalk_blender.audio.opening import check_header
from histalk_blender.batch.folder import search_folder
from histalk_blender.batch.job import Job
from histalk_blender.batch.manifest import read_manifest
from histalk_blender.errors import HiSTalkError

RATE = 48_000
HISTALK = Path(sys.executable).with_name("histalk")


@pytest.fixture(scope="session")
def spoken_files(tmp_path_factory):
    """One sentence as a wav and in other containers, all by Blender's own encoders."""
    folder, (samples, rate) = tmp_path_factory.mktemp("phone"), sf.read(SPEECH)
    wav = folder / "line.wav"
    sf.write(wav, np.repeat(samples, RATE // rate), RATE)
    m4a = write_m4a(wav, folder / "line.m4a", RATE, 1, len(samples) * RATE // rate)
    found = {"wav": wav, "m4a": m4a, "mp4": folder / "film.mp4", "mov": folder / "film.mov", "aac": folder / "line.aac"}
    found["mp4"].write_bytes(m4a.read_bytes())
    found["mov"].write_bytes(m4a.read_bytes().replace(b"M4A ", b"qt  "))
    for name, container, codec in (
        ("mka", aud.CONTAINER_MATROSKA, aud.CODEC_FLAC),
        ("mkv", aud.CONTAINER_MATROSKA, aud.CODEC_AAC),
        ("oga", aud.CONTAINER_OGG, aud.CODEC_FLAC),
        ("ac3", aud.CONTAINER_AC3, aud.CODEC_AC3),
    ):
        found[name] = folder / f"{container}.{name}"
        aud.Sound(str(wav)).write(str(found[name]), RATE, 1, aud.FORMAT_S16, container, codec, 192_000, 1 << 16)
    return found


def lag_ms(heard, truth):
    """By how many milliseconds one is later than the other."""
    size = 1 << 19
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(truth, size))
    found = int(np.fft.irfft(spectrum).argmax())
    return (found if found < size // 2 else found - size) / 16


@pytest.mark.parametrize(
    "kind, late", [("m4a", 0), ("mp4", 0), ("mov", 0), ("mka", 0), ("oga", 0), ("mkv", 22), ("aac", 22), ("ac3", 6)]
)
def test_sound_of_phones_and_cameras_is_heard_when_its_wav_is(spoken_files, kind, late):
    """Raw aac, ac3 and Blender 4.5's mkv do not record the encoder's priming samples: all players are late."""
    truth, heard = read_audio(spoken_files["wav"]), read_audio(spoken_files[kind])
    assert -0.1 <= lag_ms(heard, truth) <= late
    assert 0 <= len(heard) - len(truth) < 0.1 * 16_000
    check_header(spoken_files[kind])


def test_a_part_of_an_m4a_and_a_packed_one_are_that_sound_too(spoken_files):
    whole = read_audio(spoken_files["m4a"])
    part = read_audio(spoken_files["m4a"].read_bytes(), start=1.0, duration=1.0)
    np.testing.assert_allclose(part[800:-800], whole[16_000:32_000][800:-800], atol=2e-3)


def test_without_blender_one_sentence_says_what_to_do(spoken_files, monkeypatch):
    monkeypatch.setattr(foreign, "is_available", lambda: False)
    for read in (read_audio, check_header):
        with pytest.raises(
            HiSTalkError, match="line.m4a' is of a kind that Blender reads: pip install .*convert it to wav"
        ):
            read(spoken_files["m4a"])


def test_what_blender_cannot_read_either_is_refused_by_name(spoken_files, tmp_path):
    data = spoken_files["m4a"].read_bytes()
    for name, content in (
        ("cut.m4a", data[: len(data) // 2].replace(b"moov", b"free")),
        ("list.m4a", b"#EXTM3U\n/etc/passwd\n"),
        ("empty.mp4", b""),
        ("text.mkv", b"not a film"),
        ("magic.mkv", b"\x1aE\xdf\xa3" + bytes(5000)),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(HiSTalkError, match=name) as caught:
            read_audio(path)
        assert "\n" not in str(caught.value)
    film = spoken_files["mkv"].read_bytes()
    (tmp_path / "cut.mkv").write_bytes(film[: len(film) // 2])
    with pytest.raises(HiSTalkError, match="cut.mkv' breaks off after"):
        read_audio(tmp_path / "cut.mkv")
    (tmp_path / "pipe.m4a").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "pipe.m4a")
    with pytest.raises(HiSTalkError, match="pipe.m4a' cannot be read, as it is a pipe"):
        read_audio(tmp_path / "pipe.m4a")


def test_the_panels_file_may_be_an_m4a(blender, spoken_files, stored_performance, monkeypatch):
    heard = []

    def perform_clip(sound, weights, device, progress):
        heard.append(sound.between(0, len(sound)))
        return stored_performance

    monkeypatch.setattr(job, "perform_clip", perform_clip)
    blender.add_head()
    blender.bake(audio="FILE", file=str(spoken_files["m4a"]))
    blender.bake(audio="FILE", file=str(spoken_files["wav"]))
    assert len(heard) == 2 and abs(lag_ms(*heard)) < 0.1


def test_a_folder_says_what_it_leaves_out(spoken_files, tmp_path, monkeypatch):
    for name in (
        "a.wav",
        "a.m4a",
        "b.m4a",
        "c/d.mkv",
        "._a.wav",
        "notes.txt",
        "x.aup3",
        "e.wav",
        "e.mp4",
        "out/f.mp4",
        "out/g.wav",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(spoken_files["wav"].read_bytes()[:99])
    (tmp_path / "elsewhere").symlink_to(spoken_files["wav"].parent)
    found = search_folder(tmp_path, tmp_path / "out")
    assert found.sounds == ["a.wav", "b.m4a", "c/d.mkv", "e.wav"]
    told = " | ".join(found.left_out)
    assert (
        "2 files (a.m4a, e.mp4) beside" in told
        and "1 hidden file (._a.wav)" in told
        and "1 linked folder (elsewhere)" in told
    )
    assert "2 files of other kinds (1 .aup3, 1 .txt)" in told and "Blender" not in told
    assert [each.name for each in read_manifest(tmp_path, Job(), tmp_path / "out")] == ["a", "b", "c/d", "e"]
    monkeypatch.setattr(foreign, "is_available", lambda: False)
    found = search_folder(tmp_path)
    assert found.sounds == ["a.wav", "e.wav", "out/g.wav"]
    assert found.left_out[0].startswith("3 sounds (b.m4a, c/d.mkv, out/f.mp4) that Blender reads: pip install bpy")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no torch for this Python here")
def test_the_command_line_speaks_an_m4a_though_it_needs_no_blender_itself(spoken_files, tmp_path):
    """In real processes: a batch, with a film that has no sound."""
    (tmp_path / "in").mkdir()
    for kind in ("wav", "m4a"):
        (tmp_path / "in" / f"{kind}.{kind}").write_bytes(spoken_files[kind].read_bytes())
    (tmp_path / "in" / "mute.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(5000))
    (tmp_path / "in" / "readme.md").write_text("no sound")
    done = subprocess.run(
        [HISTALK, "batch", "in", "--out", "out", "--outputs", "npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "left out of 'in': 1 file of other kinds (1 .md)" in done.stderr
    assert (
        "'in/mute.mkv' has no sound" in done.stderr.replace(str(tmp_path) + "/", "") and "Traceback" not in done.stderr
    )
    moved = {name: np.load(tmp_path / "out" / f"{name}.npz")["displacements"] for name in ("wav", "m4a")}
    frames = min(map(len, moved.values()))
    assert abs(len(moved["wav"]) - len(moved["m4a"])) <= 1
    error = np.abs(moved["wav"][:frames] - moved["m4a"][:frames]).max()
    assert error < 0.15 * np.abs(moved["wav"]).max()
    assert sorted(path.name for path in (tmp_path / "out").glob("*.npz")) == ["m4a.npz", "wav.npz"]
