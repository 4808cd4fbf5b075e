"""A manifest is read whole, and all that is wrong with it is told at once, row by row."""

import json

import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.batch.job import Job
from histalk_blender.batch.manifest import read_manifest
from histalk_blender.errors import HiSTalkError
from histalk_blender.motion.style import Style


@pytest.fixture
def folder(tmp_path):
    sound, rate = sf.read(SPEECH)
    (tmp_path / "en").mkdir()
    for name in ("a.wav", "en/b.wav", "en/c d.wav"):
        sf.write(tmp_path / name, sound[:rate], rate)
    return tmp_path


def table(folder, text, name="jobs.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_row_overrides_the_batch_and_paths_are_the_manifests(folder):
    path = table(folder, "audio,name,fps,outputs,jaw\na.wav,hero/line 1,25,npz+pc2,1.2\nen/b.wav,,,,\n")
    first, second = read_manifest(path, Job(outputs=("mdd",), fps=24.0, style=Style(lips=0.8)))
    assert first.audio == folder / "a.wav" and first.name == "hero/line 1" and first.outputs == ("pc2", "npz")
    assert first.fps == 25 and first.style == Style(lips=0.8, jaw=1.2) and not first.problems
    assert second.name == "en/b" and second.outputs == ("mdd",) and second.fps == 24 and second.style == Style(lips=0.8)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_usual_table_is_read(folder, separator):
    path = table(folder, "\ufeffAudio,FPS\r\nen/c d.wav,30\r\n\r\na.wav,25\r\n".replace(",", separator))
    assert [(job.row, job.name, job.fps, job.problems) for job in read_manifest(path, Job())] == [
        (1, "en/c d", 30, ()),
        (2, "a", 25, ()),
    ]


def test_lines_of_json_and_a_folder_are_manifests_too(folder):
    rows = [{"audio": "a.wav", "start": 101, "outputs": ["abc", "usd"]}, {"audio": "en/b.wav", "smoothing": 0.1}]
    one, two = read_manifest(table(folder, "\n".join(map(json.dumps, rows)), "jobs.jsonl"), Job())
    assert one.start == 101 and one.outputs == ("abc", "usd") and two.style.smoothing == 0.1
    sf.write(folder / "a.flac", sf.read(SPEECH)[0][:9000], 16_000)
    (folder / "notes.txt").write_text("no sound")
    assert [job.name for job in read_manifest(folder, Job())] == ["a.flac", "a.wav", "en/b", "en/c d"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("gone.wav,", "gone.wav"),
        (",", "fill in 'audio'"),
        ("a.wav,name=../a", "'../a' cannot be"),
        ("a.wav,name=/tmp/a", "cannot be"),
        ("a.wav,name=x/../../y", "cannot be"),
        ("a.wav,name=a:b", "cannot be"),
        ("a.wav,name=.hidden", "cannot be"),
        ("a.wav,fps=nan", "'fps' is 'nan'"),
        ("a.wav,fps=0", "from 1 to 240"),
        ("a.wav,start=1.5", "whole frame"),
        ("a.wav,frames=9-1", "as in 11-250"),
        ("a.wav,outputs=obj", "some of blend"),
        ("a.wav,bake=all", "one of basis"),
        ("a.wav,shot=shot.blend", "No .blend"),
        ("a.wav,object=Head", "fill in 'shot'"),
        ("a.wav,lips=9", "0 to 3"),
    ],
)
def test_what_is_wrong_with_a_row_is_its_own(folder, row, said):
    audio, _, setting = row.partition(",")
    column, _, value = setting.partition("=")
    path = table(folder, f"audio,{column or 'name'},delay\n{audio},{value},0.1\nen/b.wav,,\n")
    bad, good = read_manifest(path, Job())
    assert len(bad.problems) == 1 and said in bad.problems[0] and not good.problems


def test_a_row_has_frames_and_a_mapping_of_its_own(folder):
    (folder / "map.json").write_text('{"jawOpen": "Jaw", "browInnerUp": null}')
    (folder / "wrong.json").write_text("[]")
    path = table(folder, "audio,frames,mapping\na.wav,-5-20,map.json\nen/b.wav,,\nen/c d.wav,,wrong.json\n")
    own, plain, wrong = read_manifest(path, Job(frames=(1, 9)))
    assert own.frames == (-5, 20) and own.mapping == {"jawOpen": "Jaw", "browInnerUp": None} and not own.problems
    assert plain.frames == (1, 9) and not plain.mapping and not plain.problems
    assert "wrong.json' is not a mapping" in wrong.problems[0]
    settings = own.bake_settings(None)
    assert settings.frames == own.frames and settings.mapping == own.mapping and not own.has_settings("{}")


def test_two_rows_of_one_name_and_too_many_cells_are_told(folder):
    path = table(folder, "audio,name\na.wav,Line\nen/b.wav,line\nen/b.wav,x,y\n")
    jobs = read_manifest(path, Job())
    assert not jobs[0].problems and "row 1" in jobs[1].problems[0] and "more cells" in jobs[2].problems[0]
    assert len({job.name for job in jobs}) == 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.csv", "audio,fsp\na.wav,1\n", "did you mean 'fps'"),
        ("jobs.csv", "audio,blend\na.wav,x.blend\n", "'blend', which is called 'shot' now"),
        ("jobs.csv", "name\na\n", "no column 'audio'"),
        ("jobs.csv", "audio\n", "names no clips"),
        ("jobs.jsonl", '{"audio"', "line 1"),
        ("jobs.jsonl", "[1]", "line 1"),
        ("jobs.txt", "a.wav", "must be a .csv"),
    ],
)
def test_a_manifest_that_is_none_is_refused(folder, name, text, said):
    with pytest.raises(HiSTalkError, match=said.replace("'", ".")):
        read_manifest(table(folder, text, name), Job())
    with pytest.raises(HiSTalkError, match="nowhere"):
        read_manifest(folder / "nowhere.csv", Job())
