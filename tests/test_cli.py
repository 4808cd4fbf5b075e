"""The command line as a stranger uses it."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf

from conftest import SPEECH


def histalk(*arguments):
    code = "from histalk_blender.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def test_synthesize_writes_the_motion(tmp_path, performance):
    out = tmp_path / "out.npz"
    done = histalk("synthesize", SPEECH, out)
    assert done.returncode == 0, done.stderr
    with np.load(out) as data:
        np.testing.assert_allclose(data["displacements"], performance.displacements, atol=1e-6)
        assert data["level_displacements"].shape == (4, len(data["displacements"]), 68, 3)


def test_bake_writes_a_file_in_which_the_head_speaks(tmp_path, performance):
    bpy = pytest.importorskip("bpy", reason="Blender's module is not installed")
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
    done = histalk("synthesize", SPEECH, tmp_path / "none" / "out.npz")
    assert done.returncode == 2 and "does not exist" in done.stderr


def test_wrong_weights_are_refused(tmp_path):
    done = histalk("synthesize", SPEECH, tmp_path / "o.npz", "--weights", tmp_path / "none.safetensors")
    assert done.returncode == 2 and "No weights at" in done.stderr
