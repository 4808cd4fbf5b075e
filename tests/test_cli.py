"""The command line as a stranger uses it."""

import signal
import subprocess
import sys
import time

import bpy
import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH


def histalk(*arguments):
    code = "from histalk_blender.cli import main; main()"
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
    done = histalk("bake", SPEECH, "--blend", blend, "--bake", "arkit", "--fps", "30")
    assert done.returncode == 0 and "52 keys" in done.stdout, done.stderr
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    bpy.context.scene.frame_set(61)
    evaluated = bpy.data.objects["HiSTalk Head"].evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    moved = np.array([vertex.co[:] for vertex in evaluated.vertices])
    assert np.linalg.norm(moved - head.vertices - spoken.displacements()[60], axis=1).max() < 0.003


def test_bake_writes_a_file_in_which_the_head_speaks(tmp_path, performance):
    blend = tmp_path / "out.blend"
    done = histalk("bake", SPEECH, "--blend", blend, "--bake", "cache", "--fps", "25", "--start", "11")
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


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "nan"])
def test_wrong_audio_ends_with_one_sentence_code_2_and_no_output(tmp_path, kind):
    audio, out = tmp_path / "in.wav", tmp_path / "out.npz"
    if kind == "folder":
        audio.mkdir()
    elif kind == "empty":
        audio.write_bytes(b"")
    elif kind == "text":
        audio.write_text("no audio")
    elif kind == "nan":
        sf.write(audio, np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    done = histalk("synthesize", audio, out)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "in.wav" in done.stderr and "Traceback" not in done.stderr
    assert not out.exists()


def test_a_wrong_output_place_is_refused_before_the_work(tmp_path):
    done = histalk("synthesize", SPEECH, tmp_path / "out.npz", "--arkit", tmp_path / "units.txt")
    assert done.returncode == 2 and ".csv or .json" in done.stderr
    done = histalk("synthesize", SPEECH, tmp_path / "none" / "out.npz")
    assert done.returncode == 2 and "does not exist" in done.stderr


def test_wrong_weights_are_refused(tmp_path):
    done = histalk("synthesize", SPEECH, tmp_path / "o.npz", "--weights", tmp_path / "none.safetensors")
    assert done.returncode == 2 and "No weights at" in done.stderr


def test_ctrl_c_leaves_no_half_written_file(tmp_path):
    long = tmp_path / "long.wav"
    samples, rate = sf.read(SPEECH)
    sf.write(long, np.tile(samples, 60), rate)
    code = "import sys; from histalk_blender.cli import main; print('begun', flush=True); main()"
    for late in (0.0, 6.0, 9.0):
        child = subprocess.Popen(
            [sys.executable, "-c", code, "synthesize", long, tmp_path / "out.npz"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        child.stdout.readline()
        time.sleep(late)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) != 0
        assert "Traceback" not in child.stderr.read()
        assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


def test_a_preview_is_a_film_with_sound_and_stdout_holds_only_paths(tmp_path):
    short = tmp_path / "short.wav"
    samples, rate = sf.read(SPEECH)
    sf.write(short, samples[: rate // 2], rate)
    film = tmp_path / "film.mp4"
    done = histalk("bake", short, "--blend", tmp_path / "o.blend", "--preview", film)
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [str(tmp_path / "o.blend"), str(film)]
    strips = bpy.context.scene.sequence_editor_create().strips
    picture, sound = strips.new_movie("film", str(film), 1, 1), strips.new_sound("sound", str(film), 2, 1)
    assert picture.frame_duration == 15 and sound.frame_duration >= 10
    bpy.ops.wm.read_factory_settings(use_empty=True)
