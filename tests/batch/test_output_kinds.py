"""A kind of output is one class: once it is in the list, command line, manifest, ledger and batch know it."""

import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.batch import output_kinds
from histalk_blender.batch.ledger_file import read_ledger
from histalk_blender.cli.main import main
from histalk_blender.files import atomic_write


class FrameCount(output_kinds.OutputKind):
    name = "txt"

    def write(self, clip, path):
        atomic_write(path, f"{len(clip.motion)} frames at {clip.fps:g}".encode())


@pytest.fixture
def folder(tmp_path):
    sound, rate = sf.read(SPEECH)
    sf.write(tmp_path / "line.wav", sound[:rate], rate)
    return tmp_path


def batch(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["batch", *map(str, arguments)])
    return left.value.code


def test_a_new_kind_is_one_class_and_its_place_in_the_list(folder, monkeypatch, capfd):
    monkeypatch.setattr(output_kinds, "OUTPUT_KINDS", (*output_kinds.OUTPUT_KINDS, FrameCount()))
    assert batch(folder, "--out", folder / "flag", "--outputs", "npz,txt") == 0
    assert (folder / "flag" / "line.txt").read_text() == "30 frames at 30"
    (row,) = read_ledger(folder / "flag" / "histalk.sqlite")
    assert [output["path"] for output in row["outputs"]] == ["line.npz", "line.txt"]
    (folder / "jobs.csv").write_text("audio,outputs,fps\nline.wav,txt,60\n")
    assert batch(folder / "jobs.csv", "--out", folder / "column") == 0
    assert (folder / "column" / "line.txt").read_text() == "60 frames at 60"
    assert not (folder / "column" / "line.pc2").exists()
    assert batch(folder, "--out", folder / "wrong", "--outputs", "text") == 2
    assert "livelink, npz, mp4, txt" in capfd.readouterr().err


def test_help_lists_all_kinds(capfd):
    with pytest.raises(SystemExit):
        main(["batch", "--help"])
    shown = "".join(capfd.readouterr().out.split())
    assert f"Someof{','.join(output_kinds.output_names())}." in shown
