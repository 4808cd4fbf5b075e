"""The command line as a stranger uses it."""

import os
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.bake.actions import curve_bags
from histalk_blender.bake.curves import key_path
from histalk_blender.cli.main import main

# For a child in another folder.
HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def histalk(*arguments):
    code = "from histalk_blender.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def test_synthesize_writes_the_motion(tmp_path, performance):
    out = tmp_path / "out.npz"
    done = histalk("synthesize", SPEECH, out, "--arkit", tmp_path / "units.csv")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "units.csv").read_text().splitlines()) == len(performance.displacements) + 1
    with np.load(out) as data:
        np.testing.assert_allclose(data["displacements"], performance.displacements, atol=1e-6)
        assert data["level_displacements"].shape == (4, len(data["displacements"]), 68, 3)


def test_an_arkit_bake_gives_the_head_its_units_and_their_curves(tmp_path, head, spoken):
    blend = tmp_path / "out.blend"
    done = histalk("bake", SPEECH, "--out", blend, "--bake", "arkit", "--fps", "30")
    assert done.returncode == 0 and "52 keys" in done.stdout, done.stderr
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    bpy.context.scene.frame_set(61)
    evaluated = bpy.data.objects["HiSTalk Head"].evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    moved = np.array([vertex.co[:] for vertex in evaluated.vertices])
    assert np.linalg.norm(moved - head.vertices - spoken.displacements()[60], axis=1).max() < 0.003


def test_bake_writes_a_file_in_which_the_head_speaks(tmp_path, performance):
    blend = tmp_path / "out.blend"
    done = histalk("bake", SPEECH, "--out", blend, "--bake", "cache", "--fps", "25", "--start", "11")
    assert done.returncode == 0, done.stderr
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".blend", ".pc2"]
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene = bpy.context.scene
    assert scene.render.fps == 25 and scene.frame_start == 11
    strip = scene.sequence_editor.strips[0]
    assert strip.type == "SOUND" and strip.frame_final_start == 11
    head = bpy.data.objects["HiSTalk Head"]
    assert head.modifiers[0].filepath == "//out.pc2", "the folder may be moved as a whole"
    assert strip.sound.filepath.startswith("//")
    scene.frame_set(11 + 50)
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    got = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", got)
    expected = performance.neutral_vertices + performance.displacements[60]
    np.testing.assert_allclose(got.reshape(-1, 3), expected, atol=1e-5)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_bake_takes_frames_and_a_mapping(tmp_path, capfd, model):
    (tmp_path / "map.json").write_text('{"jawOpen": null}')
    flags = "--bake", "arkit", "--frames", "21-40", "--mapping", tmp_path / "map.json", "--start", "11"
    code, stdout, _ = here(capfd, "bake", SPEECH, "--out", tmp_path / "out.blend", *flags)
    assert code == 0 and "20 frames, 51 keys" in stdout
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out.blend"))
    keys = bpy.data.objects["HiSTalk Head"].data.shape_keys
    curves = {curve.data_path: curve for bag in curve_bags(keys.animation_data) for curve in bag.fcurves}
    assert key_path("mouthClose") in curves and key_path("jawOpen") not in curves
    assert {curve.range()[0] for curve in curves.values()} == {21} and {
        curve.range()[1] for curve in curves.values()
    } == {40}
    bpy.ops.wm.read_factory_settings(use_empty=True)
    (tmp_path / "map.json").write_text('{"jaw": "Jaw"}')
    code, _, stderr = here(capfd, "bake", SPEECH, "--out", tmp_path / "out.blend", *flags)
    assert code == 2 and stderr.count("\n") == 1 and "map.json" in stderr and "(jaw)" in stderr


def test_wrong_audio_ends_with_one_sentence_code_2_and_no_output(tmp_path):
    done = histalk("synthesize", tmp_path / "in.wav", tmp_path / "out.npz")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "in.wav" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.npz").exists()


def here(capfd, *arguments):
    """As `histalk`, but without a process of its own: code, stdout and stderr, C libraries' lines among them."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code, *capfd.readouterr()


def wrong(folder, kind):
    if kind in ("wav", "flac", "ogg", "mp3"):
        path = folder / f"in.{kind}"
        sf.write(path, np.random.default_rng(0).normal(0, 0.1, 105_304), 16_000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path
    path = folder / "in.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no audio")
    elif kind == "nan":
        sf.write(path, np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    elif kind == "short":
        sf.write(path, np.full(1599, 0.1), 16_000)
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "nan", "short", "wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("command", ["synthesize", "bake"])
def test_stderr_holds_our_sentence_alone_whatever_is_wrong_with_the_audio(tmp_path, capfd, kind, command):
    audio = wrong(tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    out = (tmp_path / "out.npz",) if command == "synthesize" else ("--out", tmp_path / "out.blend")
    code, stdout, stderr = here(capfd, command, audio, *out)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("histalk: ") and stderr.count("\n") == 1 and audio.name in stderr
    assert sorted(tmp_path.iterdir()) == before


def test_silence_gives_a_resting_face_and_a_tenth_of_a_second_is_enough(tmp_path, capfd, model):
    silent, shortest, out = tmp_path / "silent.mp3", tmp_path / "shortest.wav", tmp_path / "out.npz"
    sf.write(silent, np.zeros(16_000), 16_000)
    assert here(capfd, "synthesize", silent, out) == (0, f"{out}\n", "")
    with np.load(out) as data:
        assert len(data["displacements"]) == 30 and not data["displacements"].any()
    sf.write(shortest, np.random.default_rng(0).normal(0, 0.1, 4410), 44_100)
    assert here(capfd, "synthesize", shortest, out) == (0, f"{out}\n", "")
    with np.load(out) as data:
        assert len(data["displacements"]) == 3 and np.isfinite(data["displacements"]).all()


@pytest.mark.parametrize("device", ["banana", "cuda:7", "cuda:", "cuda:x", "CPU", ""])
@pytest.mark.parametrize("command", ["synthesize", "bake"])
def test_a_device_that_there_is_not_is_refused(tmp_path, capfd, monkeypatch, device, command):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    out = (tmp_path / "out.npz",) if command == "synthesize" else ("--out", tmp_path / "out.blend")
    code, stdout, stderr = here(capfd, command, SPEECH, *out, "--device", device)
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1 and f"no device '{device}'" in stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_a_bake_is_saved_leaves_no_half_written_file(tmp_path, capfd, monkeypatch, model):
    from histalk_blender import files

    audio, saved = tmp_path / "in.wav", []
    sf.write(audio, np.zeros(16_000), 16_000)

    def interrupted(temporary, path):
        saved.append(temporary.stat().st_size)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "commit_file", interrupted)
        code, _, _ = here(capfd, "bake", audio, "--out", tmp_path / "out.blend")
    assert saved and code == 130
    assert list(tmp_path.iterdir()) == [audio]
    code, stdout, _ = here(capfd, "bake", audio, "--out", tmp_path / "out.blend")
    assert code == 0 and "30 frames" in stdout, "silence is baked as a face at rest"
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_a_wrong_output_place_is_refused_before_the_work(tmp_path):
    done = histalk("synthesize", SPEECH, tmp_path / "out.npz", "--arkit", tmp_path / "units.txt")
    assert done.returncode == 2 and ".csv or .json" in done.stderr
    done = histalk("synthesize", SPEECH, tmp_path / "none" / "out.npz")
    assert done.returncode == 2 and "does not exist" in done.stderr


def test_wrong_weights_are_refused(tmp_path):
    done = histalk("synthesize", SPEECH, tmp_path / "o.npz", "--weights", tmp_path / "none.safetensors")
    assert done.returncode == 2 and "No weights at" in done.stderr


# A child that strikes itself at a given moment: by the clock it might be over too soon, or not that far.
STRUCK = """
import os, signal, sys
from histalk_blender import files
from histalk_blender.cli import main as cli
from histalk_blender.audio import clip as sound
from histalk_blender.synthesis import engine
moment, heard = sys.argv.pop(1), engine.synthesize_many

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background is born deaf to it

def strike(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)

def listening(*arguments, **options):
    return heard(*arguments, **options | {"progress": strike})

if moment == "decoding":
    sound.open_clip = strike
elif moment == "listening":
    engine.synthesize_many = listening
elif moment == "saving":
    files.commit_file = strike
cli.main()
"""


@pytest.mark.parametrize(
    "command, moment",
    [("synthesize", "decoding"), ("synthesize", "listening"), ("synthesize", "saving"), ("bake", "listening")],
)
def test_ctrl_c_leaves_no_half_written_file(tmp_path, command, moment):
    long = tmp_path / "long.wav"
    samples, rate = sf.read(SPEECH)
    sf.write(long, np.tile(samples, 10), rate)
    out = "out.npz" if command == "synthesize" else "--out=out.blend"
    child = [sys.executable, "-c", STRUCK, moment, command, long, out]
    done = subprocess.run(child, capture_output=True, text=True, cwd=tmp_path, env=HERE)
    assert done.returncode == 130 and "Traceback" not in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


def test_a_preview_is_a_film_with_sound_and_stdout_holds_only_paths(tmp_path):
    short = tmp_path / "short.wav"
    samples, rate = sf.read(SPEECH)
    sf.write(short, samples[: rate // 2], rate)
    film = tmp_path / "film.mp4"
    done = histalk("bake", short, "--out", tmp_path / "o.blend", "--preview", film)
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [str(tmp_path / "o.blend"), str(film)]
    again = histalk("bake", short, "--shot", tmp_path / "o.blend", "--out", tmp_path / "p.blend")
    assert [line.split("  ")[0] for line in again.stdout.splitlines()] == [str(tmp_path / "p.blend")], again.stderr
    assert b"\xa9day" not in film.read_bytes(), "the clock would make equal films differ"
    strips = bpy.context.scene.sequence_editor_create().strips
    picture, sound = strips.new_movie("film", str(film), 1, 1), strips.new_sound("sound", str(film), 2, 1)
    assert picture.frame_duration == 15 and sound.frame_duration >= 10
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--smoothing", "2", "a number from 0 to 1 s"),
        ("--jaw", "nan", "a number from 0 to 3"),
        ("--delay", "soon", "a number from -5 to 5 s"),
        ("--tolerance", "0", "a number from 0.001 to 10 mm"),
        ("--bake", "all", "one of basis, cache, keys, arkit"),
        ("--fps", "0", "a number from 1 to 240 frames a second"),
        ("--start", "1.5", "a whole frame number"),
        ("--frames", "20-11", "the first and the last frame, as in 11-250"),
        ("--channel", "0", "mix, left, right or a channel's number from 1"),
    ],
)
def test_bake_and_batch_refuse_the_same_values_in_the_same_words(tmp_path, capfd, flag, value, said):
    for command in (("bake", SPEECH), ("batch", tmp_path)):
        code, _, stderr = here(capfd, *command, "--out", tmp_path / "out.blend", flag, value)
        assert code == 2 and f"Invalid value for '{flag}': '{value}': write {said}." in stderr, stderr
