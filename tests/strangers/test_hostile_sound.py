"""Sounds that are damaged, lie about themselves or were made to do harm: read as far as they are sound, or refused."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.audio.clip import AudioClip, open_clip, read_audio
from histalk_blender.audio.loudness import normalise_loudness
from histalk_blender.audio.opening import check_header
from histalk_blender.errors import HiSTalkError

RATE = 16_000
GIGABYTE = 1 << 30


@pytest.fixture(scope="session")
def voice3():
    """Three seconds of speech."""
    return sf.read(SPEECH, dtype="float32")[0][: 3 * RATE]


def stored(path, data, size=None):
    path.write_bytes(data)
    if size:
        os.truncate(path, size)  # sparse: zeros that take no room
    return path


def written(path, samples, rate=RATE, **options):
    sf.write(path, samples, rate, **options)
    return path


def wav(data=bytes(64_000), channels=1, rate=RATE, bits=16, codec=1, size=None, before=b""):
    """A wav of our own making; `size` is what its header says."""
    align = channels * bits // 8
    form = struct.pack("<HHIIHH", codec, channels & 0xFFFF, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, bits)
    size = len(data) if size is None else size
    return b"RIFF\xff\xff\xff\xffWAVE" + before + b"fmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size) + data


def refused(path, says):
    with pytest.raises(HiSTalkError, match=says) as caught:
        open_clip(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, start, size",
    [
        ("zeros.wav", b"RIFF\xff\xff\xff\xffWAVE", 4 * GIGABYTE),
        ("zeros.aiff", b"FORM\xff\xff\xff\xffAIFF", GIGABYTE),
        ("zeros.w64", b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + bytes(24), GIGABYTE),
        ("zeros.caf", b"caff\0\1\0\0", GIGABYTE),
        ("zeros.flac", b"fLaC", GIGABYTE),
        ("zeros.ogg", b"OggS", GIGABYTE),
        ("zeros.au", b".snd" + b"\xff" * 8 + bytes(12), GIGABYTE),
        ("zeros.mp3", b"\xff\xfb\x90\x64", GIGABYTE),
        ("zeros.sph", b"NIST_1A\n   1024\n", GIGABYTE),
        ("chunks.wav", wav(before=b"junk\0\0\0\0" * 500_000), None),
        ("list.wav", wav(before=b"LIST\xf0\xff\xff\xffINFOIART\xff\xff\xff\x7f" + b"x" * 60), None),
        ("rate.wav", wav(rate=1), None),
        ("rate.wav", wav(rate=100), None),
        ("rate.wav", wav(rate=2_000_000_000), None),
        ("rate.wav", wav(rate=4_000_000_000), None),
        ("rate.wav", wav(rate=0), None),
        ("none.wav", wav(channels=0), None),
        ("many.wav", wav(bytes(2048 * RATE), channels=1024), None),
        ("most.wav", wav(channels=65_535), None),
        ("bits.wav", wav(bits=999), None),
        ("hours.wav", wav(b"", size=0xFFFFFFFF), 2 * GIGABYTE),
        ("raw.raw", b"no header at all" * 999, None),
        ("raw.vox", b"no header at all" * 999, None),
        ("list.m4a", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", None),
    ],
)
def test_a_header_that_cannot_be_true_is_refused_by_what_it_says_alone(tmp_path, name, start, size):
    path = stored(tmp_path / name, start, size)
    refused(path, ".")
    with pytest.raises(HiSTalkError):
        check_header(path)


def test_memory_stays_small_whatever_a_file_holds_or_promises(tmp_path, voice3):
    """In processes that may have no more: 64 channels, gigabytes behind an mp3, tags of 256 MB, pictures of 320 MB."""
    written(tmp_path / "a.mp3", voice3)
    written(tmp_path / "a.flac", voice3)
    written(tmp_path / "a.ogg", voice3)
    mp3, flac = (tmp_path / "a.mp3").read_bytes(), (tmp_path / "a.flac").read_bytes()
    stored(tmp_path / "sparse.mp3", mp3, 6 * GIGABYTE)
    stored(tmp_path / "unsized.mp3", mp3[mp3.index(mp3[:2], 4) :], 6 * GIGABYTE)
    with open(stored(tmp_path / "tag.mp3", b"ID3\4\0\0\x7f\x7f\x7f\x7f"), "r+b") as file:
        file.seek((1 << 28) - 1 + 10)
        file.write(mp3)
    with open(stored(tmp_path / "pictures.flac", b"fLaC\0" + flac[5:42]), "r+b") as file:
        file.seek(42)
        for _ in range(20):
            file.write(b"\x06\xff\xff\xff")
            file.seek(0xFFFFFF, os.SEEK_CUR)
        file.write(b"\x81\0\0\0" + flac[flac.index(b"\xff\xf8") :])
    stored(tmp_path / "sparse.ogg", (tmp_path / "a.ogg").read_bytes(), 6 * GIGABYTE)
    stored(tmp_path / "wide.wav", wav(bytes(128 * RATE), channels=64))
    code = (
        "import sys, resource, pathlib; from histalk_blender.audio.clip import open_clip\n"
        "from histalk_blender.errors import HiSTalkError\n"
        "before = int(open('/proc/self/status').read().split('VmSize:')[1].split()[0]) << 10\n"
        "resource.setrlimit(resource.RLIMIT_AS, (before + (160 << 20),) * 2)\n"
        "for path in map(pathlib.Path, sys.argv[1:]):\n"
        "    try: print(path.name, open_clip(path).seconds)\n"
        "    except HiSTalkError as error: print(error)\n"
    )
    names = ["sparse.mp3", "unsized.mp3", "tag.mp3", "pictures.flac", "sparse.ogg", "wide.wav"]
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 6, done.stderr
    assert "hour or less" in lines[1]
    assert [float(line.split()[1]) for line in (*lines[:1], *lines[2:])] == pytest.approx([3, 3, 3, 3, 1], abs=0.06)


def unsized(flac, total=b"\0\0\0\0\0"):
    """A FLAC as streaming writers leave it: they do not come back to fill in how long it is."""
    return flac[:21] + bytes([flac[21] & 0xF0 | total[0]]) + total[1:] + flac[26:]


@pytest.mark.parametrize("packed", [False, True])
def test_a_flac_that_does_not_say_how_long_it_is_is_read_to_its_end(tmp_path, voice3, packed):
    path = stored(tmp_path / "a.flac", unsized(written(tmp_path / "a.flac", voice3).read_bytes()))
    check_header(path)
    source = path.read_bytes() if packed else path
    np.testing.assert_allclose(read_audio(source), voice3, atol=1e-4)
    np.testing.assert_allclose(read_audio(source, start=1.0, duration=1.0), voice3[RATE : 2 * RATE], atol=1e-4)
    with pytest.raises(HiSTalkError, match="ends at 3.0 s, before 4.0 s"):
        read_audio(source, start=4.0)
    half = path.read_bytes()[: path.stat().st_size // 2]
    with pytest.raises(HiSTalkError, match="before its end"):
        read_audio(half, name="half")
    with pytest.raises(HiSTalkError, match="hour or less"):
        read_audio(unsized(path.read_bytes(), b"\x0f\xff\xff\xff\xff"), name="lies")
    silence = stored(path, unsized(written(path, np.zeros(3_700_000, np.int16), 1000).read_bytes()))
    refused(silence, "hour or less")


@pytest.mark.parametrize("granule", [(1 << 63) - 1, -5, 1 << 40])
@pytest.mark.parametrize("codec, rate", [("VORBIS", RATE), ("OPUS", 48_000)])
def test_an_ogg_whose_last_page_lies_does_not_lose_its_end_in_silence(tmp_path, voice3, granule, codec, rate):
    samples = np.repeat(voice3, rate // RATE)
    data = bytearray(written(tmp_path / "a.ogg", samples, rate, subtype=codec).read_bytes())
    last = data.rfind(b"OggS")
    data[last + 6 : last + 14] = struct.pack("<q", granule)
    refused(stored(tmp_path / "a.ogg", data), "before its end|hour or less")


@pytest.mark.parametrize(
    "form, codec",
    [
        ("WAV", "GSM610"),
        ("WAV", "G721_32"),
        ("WAV", "NMS_ADPCM_16"),
        ("WAV", "NMS_ADPCM_24"),
        ("WAV", "NMS_ADPCM_32"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"),
        ("WAV", "ULAW"),
        ("AIFF", "GSM610"),
        ("AIFF", "DWVW_16"),
        ("AU", "G721_32"),
        ("AU", "G723_24"),
        ("AU", "G723_40"),
        ("W64", "GSM610"),
        ("CAF", "ALAC_16"),
    ],
)
def test_telephone_codecs_are_read_though_they_cannot_be_sought_in(tmp_path, voice3, form, codec):
    samples = voice3[::2]
    path = written(tmp_path / "a.sound", samples, 8000, format=form, subtype=codec)
    whole = read_audio(path)
    assert 0 <= len(whole) - len(voice3) < 0.05 * RATE  # they fill their last block
    kept = np.corrcoef(whole[: len(voice3)], voice3)[0, 1]
    assert kept > 0.8
    np.testing.assert_allclose(
        read_audio(path, start=1.0, duration=1.0)[4000:-4000], whole[RATE : 2 * RATE][4000:-4000], atol=2e-3
    )


def planted(path, samples, value, at=None, subtype="FLOAT"):
    samples = np.array(samples, np.float64)
    if at is None:
        samples *= value
    else:
        samples[at] = value
    return written(path, samples, subtype=subtype)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20, -1e38, 7e4, 40.0])
def test_one_sample_that_cannot_be_is_refused_with_its_time(tmp_path, voice3, value):
    refused(planted(tmp_path / "a.wav", voice3, value, 2 * RATE + 1600), "2.100 s")
    refused(planted(tmp_path / "b.wav", np.stack([0 * voice3, voice3], 1), value, (RATE, 1)), "1.000 s")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_samples_given_from_python_are_looked_at_too(voice3, value):
    samples = voice3.copy()
    samples[8000] = value
    with pytest.raises(HiSTalkError, match="0.500 s"):
        AudioClip.of(samples)


def test_one_flipped_bit_never_silences_the_rest(tmp_path, voice3):
    """Any bit of the exponent of one float sample."""
    level = np.sqrt(np.mean(normalise_loudness(voice3) ** 2))
    for bit in range(23, 31):
        samples = np.array(voice3, np.float32)
        samples.view(np.uint32)[20_000] ^= 1 << bit
        path = written(tmp_path / f"{bit}.wav", samples, subtype="FLOAT")
        try:
            heard = open_clip(path).between(0, len(voice3))
        except HiSTalkError as error:
            assert "1.250 s" in str(error)
            continue
        assert np.isfinite(heard).all() and abs(np.sqrt(np.mean(heard**2)) / level - 1) < 0.3


@pytest.mark.parametrize("value, codec", [(1e20, "FLOAT"), (1e300, "DOUBLE"), (1e12, "DOUBLE")])
def test_a_whole_file_beyond_all_measure_is_refused(tmp_path, voice3, value, codec):
    refused(planted(tmp_path / "a.wav", voice3, value, subtype=codec), "full scale|not numbers")


@pytest.mark.parametrize("scale", [10.0, 31.0, 2.0**15, 2.0**23, 2.0**31])
def test_hot_and_integer_scaled_float_files_speak_as_the_same_recording(tmp_path, voice3, scale):
    """+20 and +30 dB, and whole numbers of 16, 24 and 32 bits written as floats, as by some editors and scripts."""
    plain = open_clip(written(tmp_path / "a.wav", voice3, subtype="FLOAT"))
    other = open_clip(planted(tmp_path / "b.wav", voice3, scale))
    np.testing.assert_allclose(other.between(0, 40_000), plain.between(0, 40_000), atol=1e-4)


def test_numbers_too_small_for_floats_are_silence(tmp_path, voice3):
    assert open_clip(planted(tmp_path / "a.wav", voice3, 1e-38)).silent


def test_thousands_of_chunks_and_odd_ones_without_a_pad_hide_no_sound(tmp_path, voice3):
    data = (voice3 * 32767).astype("<i2").tobytes()
    for before in (b"junk\4\0\0\0abcd" * 3000, b"odd \3\0\0\0abc", b"odd \3\0\0\0abc\0", b"bext\0\1\0\0" + bytes(256)):
        np.testing.assert_allclose(read_audio(wav(data, before=before)), voice3, atol=1e-3)


def test_any_damage_ends_in_sound_or_in_one_sentence():
    """The decoder's process lives, too; more by hand: `python tests/strangers/fuzz_sound.py SEED COUNT`."""
    script = Path(__file__).with_name("fuzz_sound.py")
    env = {**os.environ, "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run(
        [sys.executable, str(script), "7", "360"], capture_output=True, text=True, timeout=120, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read, refusals = map(int, done.stdout.split())
    assert read + refusals == 360 and read > 50 and refusals > 50
