"""Epic's Live Link Face recordings, for whatever imports them."""

import csv

import numpy as np
import pytest
from assets import SPEECH
from click.testing import CliRunner

from histalk_blender.batch.job import Job
from histalk_blender.batch.manifest import read_manifest
from histalk_blender.batch.outputs import write_outputs
from histalk_blender.cli import main as cli
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.motion.arkit_files import timecode, write_arkit_weights

# The header of a recording by the app itself.
RECORDED = (
    "Timecode,BlendshapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,EyeWideRight,"
    "JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,MouthSmileLeft,"
    "MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,MouthStretchRight,"
    "MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,MouthLowerDownLeft,"
    "MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,BrowOuterUpLeft,"
    "BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,TongueOut,HeadYaw,HeadPitch,"
    "HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)


def seconds_of(text, fps):
    hours, minutes, seconds, frames = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(frames) / fps


def read(path):
    """Rows as an importer takes them: by the columns' names."""
    assert path.read_text().partition("\n")[0] == RECORDED
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_recording_is_laid_out_as_the_app_does(tmp_path):
    weights = np.random.default_rng(0).random((70, 52)).astype(np.float32)
    write_arkit_weights(tmp_path / "take.csv", weights, 60.0, "livelink")
    rows = read(tmp_path / "take.csv")
    assert len(rows) == 70 and [rows[i]["Timecode"] for i in (0, 59, 60)] == [
        "00:00:00:00.000",
        "00:00:00:59.000",
        "00:00:01:00.000",
    ]
    for row, frame in zip(rows, weights):
        assert row["BlendshapeCount"] == "61" and None not in row.values()
        found = [float(row[unit[0].upper() + unit[1:]]) for unit in ARKIT_BLENDSHAPES]
        np.testing.assert_allclose(found, frame, atol=1e-6)
        assert {float(value) for name, value in row.items() if name.endswith(("Yaw", "Pitch", "Roll"))} == {0}


@pytest.mark.parametrize("fps", [24, 25, 30, 60, 24 / 1.001, 30 / 1.001, 60 / 1.001, 12.5])
def test_timecodes_say_when_a_frame_is_shown(fps):
    told = [timecode(frame, fps) for frame in [*range(200), 107_892, 215_999]]
    for frame, text in zip([*range(200), 107_892, 215_999], told):
        assert seconds_of(text, fps) == pytest.approx(frame / fps, abs=1.1e-3 / fps)
        assert float(text.split(":")[3]) < fps and all(len(part) == 2 for part in text.split(":")[:3])
    assert len(set(told)) == len(told)


def test_only_csv_is_such_a_recording(tmp_path):
    with pytest.raises(HiSTalkError, match="'.*take.json' must end in .csv"):
        write_arkit_weights(tmp_path / "take.json", np.zeros((2, 52)), 30.0, "livelink")
    said = CliRunner().invoke(
        cli.main, ["synthesize", str(SPEECH), str(tmp_path / "a.npz"), "--arkit-layout", "livelink"]
    )
    assert said.exit_code == 2 and "goes with --arkit" in said.output
    arguments = ["--arkit", str(tmp_path / "a.json"), "--arkit-layout", "livelink"]
    said = CliRunner().invoke(cli.main, ["synthesize", str(SPEECH), str(tmp_path / "a.npz"), *arguments])
    assert said.exit_code == 2 and "must end in .csv" in said.output and not list(tmp_path.iterdir())


def test_the_command_line_and_a_batch_write_one(tmp_path, stored_performance, monkeypatch):
    monkeypatch.setattr("histalk_blender.cli.common.predict_file", lambda *_, **__: stored_performance)
    arguments = ["--arkit", str(tmp_path / "take.csv"), "--arkit-layout", "livelink"]
    said = CliRunner().invoke(cli.main, ["synthesize", str(SPEECH), str(tmp_path / "a.npz"), *arguments])
    assert said.exit_code == 0, said.output
    jaw = np.array([float(row["JawOpen"]) for row in read(tmp_path / "take.csv")])
    np.testing.assert_allclose(jaw, stored_performance.arkit_weights[:, ARKIT_BLENDSHAPES.index("jawOpen")], atol=1e-5)
    (tmp_path / "jobs.csv").write_text(f"audio,name,outputs,fps,delay,jaw\n{SPEECH},hero,livelink,60,0.1,0.5\n")
    (job,) = read_manifest(tmp_path / "jobs.csv", Job())
    written = write_outputs(job, stored_performance, tmp_path)
    assert not job.problems and [output["path"] for output in written.outputs] == ["hero.csv"]
    at_60 = np.array([float(row["JawOpen"]) for row in read(tmp_path / "hero.csv")])
    assert len(at_60) == 2 * len(jaw) + 6  # the face begins 0.1 s after the sound
    np.testing.assert_allclose(at_60[6::2], jaw / 2, atol=1e-5)
