"""One row of a manifest never stops the others, nor takes their files."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.batch.job import Job
from histalk_blender.batch.manifest import read_manifest
from histalk_blender.errors import HiSTalkError

ROOT = Path(__file__).parents[2]
HERE = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
HALF = b'{"audio": "caf\xe9.wav"}'  # Latin-1


@pytest.fixture
def folder(tmp_path):
    sound, rate = sf.read(SPEECH)
    place = tmp_path / "in"
    (place / "sounds.wav").mkdir(parents=True)
    for name in ("a.wav", "b.wav", "lines\u2028apart.wav"):
        sf.write(place / name, sound[: rate // 3], rate)
    os.mkfifo(place / "pipe.wav")
    os.mkfifo(place / "pipe.blend")
    (place / "loop.wav").symlink_to("loop.wav")
    return place


def histalk(*arguments, **environment):
    code = "from histalk_blender.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(os.fspath, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=200, env=HERE | environment
    )


def problems(folder, text, name="jobs.jsonl", out="out", **defaults):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return read_manifest(folder / name, Job(**defaults), folder / out)


# A row, and a piece of what must be said of it.
BROKEN = {
    '{"audio": "pipe.wav"}': "a pipe",
    '{"audio": "/dev/zero"}': "a device",
    '{"audio": "sounds.wav"}': "a folder",
    '{"audio": "a.wav", "shot": "pipe.blend"}': "a pipe",
    '{"audio": "loop.wav"}': "loop.wav",
    '{"audio": "a\\u0000.wav"}': "no file can have such a name",
    '{"audio": "a\\ud800.wav"}': "not UTF-8",
    '{"audio": "a.wav", "name": "\\udce9"}': "not UTF-8",
    '{"audio": "a.wav", "object": "\\ud83d"}': "not UTF-8",
    '{"audio": "%s.wav"}' % ("a" * 300): "too long",
    '{"audio": "%s"}' % ("a/" * 3000): "too long",
    '{"audio": "a.wav", "name": "%s"}' % ("é" * 150): "cannot be the name",
    "[" * 100_000: "no row of JSON",
    '{"audio": ' * 50_000: "no row of JSON",
    '{"audio": "a.wav", "fps": 1%s}' % ("0" * 400): "'fps' is '1000",
    '{"audio": "a.wav", "start": 1%s}' % ("0" * 5000): "no row of JSON",
    '{"audio": "a.wav", "fps": NaN}': "'fps' is 'nan'",
    '{"audio": "a.wav", "lips": -Infinity}': "'lips' is '-inf'",
    '{"audio": "a.wav", "jaw": true}': "'jaw' is 'True'",
    '{"audio": "a.wav", "audio": "b.wav"}': "'audio' twice",
    '{"audio": "a.wav", "Name": "x", "name": "y"}': "'name' twice",
    '{"audio": ["a.wav"]}': "write text",
    '{"audio": {"a": [1]}}': "write text",
    '{"audio": 7}': "write text",
    '{"audio": "a.wav", "fps": {"a": []}}': "'fps' is",
    '{"audio": "a.wav", "outputs": [["pc2"]]}': "'outputs' is",
    '{"audio": "a.wav", "nmae": "x"}': "did you mean 'name'",
    "7": "no row of JSON",
    '"a.wav"': "no row of JSON",
    '{"audio": "a.wav"': "no row of JSON",
    '{"audio": ""}': "names no sound",
    '{"audio": "a.wav", "name": "x/"}': "cannot be",
    '{"audio": "a.wav", "name": "NUL"}': "cannot be",
    '{"audio": "a.wav", "name": "con.line"}': "cannot be",
    '{"audio": "a.wav", "name": "x."}': "cannot be",
    '{"audio": "a.wav", "name": "/x"}': "cannot be",
}


def test_what_is_broken_in_a_line_is_that_row_s_own(folder):
    for row, said in BROKEN.items():
        lines = ['{"audio": "a.wav", "name": "first"}', row, '{"audio": "b.wav", "name": "last"}']
        first, broken, last = problems(folder, "\n".join(lines))
        assert not first.problems and not last.problems and last.row == 3, row[:80]
        assert said in " ".join(broken.problems), (row[:80], broken.problems)
        assert all(len(sentence) < 900 and sentence.isprintable() for sentence in broken.problems)
        json.dumps(broken.settings()), broken.name.encode()


def test_a_line_ends_at_a_line_feed_and_nowhere_else(folder):
    inside = ["\u2028", "\u2029", "\x85"]
    lines = [json.dumps({"audio": "a.wav", "name": f"x{c}y"}, ensure_ascii=False) for c in inside]
    jobs = problems(folder, "\ufeff" + "\r\n".join(lines) + "\r\n\r\n" + "\ufeff" + '{"audio": "lines\u2028apart.wav"}')
    assert [(job.row, job.problems) for job in jobs] == [(1, ()), (2, ()), (3, ()), (4, ())]
    assert [job.name for job in jobs] == [*(f"x{c}y" for c in inside), "lines\u2028apart"]
    inside = ["\u2028", "\x85", "\x1c", "\x0b", "\x0c"]
    jobs = problems(
        folder, "audio,object\n" + "".join(f"a.wav,x{c}y\n" for c in inside), "jobs.csv", shot=folder / "a.wav"
    )
    assert [job.object for job in jobs] == [f"x{c}y" for c in inside] and len(jobs) == 5


def test_a_broken_row_of_a_table_takes_no_other_with_it(folder):
    lines = [
        b"audio,name,,",
        b'"a.wav,unclosed',
        b"b.wav,good,,",
        b"b.wav,caf\xe9",
        b"b.wav," + b"q" * 200_000,
        b"b.wav,x\0y",
        b'b.wav,"two',
        b'lines"',
        b"b.wav,last",
        b"b.wav,z,,surplus",
        b",,,",
        b"b.wav,end",
    ]
    jobs = problems(folder, b"\r\n".join(lines), "jobs.csv")
    good = [job.name for job in jobs if not job.problems]
    assert good == ["good", "last", "end"] and len(jobs) == 10
    said = [" ".join(job.problems) for job in jobs if job.problems]
    pieces = ["quotes", "not UTF-8", "field larger", "cannot be", "quotes", "cannot be", "more cells"]
    assert all(piece in sentence for piece, sentence in zip(pieces, said, strict=True)), said


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("jobs.csv", b"\xff\xfea\0u\0", "UTF-8"),
        ("jobs.csv", os.urandom(5000) + b"\xff\n", "jobs.csv"),
        ("jobs.csv", b"audio,name,Audio\na.wav,x,b.wav\n", "twice"),
        ("jobs.csv", b"audio\ra.wav\r", "new-line"),
        ("jobs.csv", b"audio,\x1b[2J\na.wav,x\n", r"\x1b[2j"),
        ("jobs.jsonl", b"\0" * 5000, "line 1"),
        ("jobs.jsonl", b'[\n{"audio": "a.wav"},\n', "column 'audio'"),
        ("jobs.csv", b"", "names no clips"),
    ],
)
def test_a_manifest_that_is_none_is_refused_in_one_sentence(folder, name, data, said):
    if "column 'audio'" in said:
        data = b'[\n{"name": "a.wav"}\n'
    with pytest.raises(HiSTalkError) as refused:
        problems(folder, data, name)
    assert said in str(refused.value) and str(refused.value).isprintable()


def test_a_manifest_that_is_no_file_is_refused_and_not_waited_for(folder):
    for name, kind in (("pipe.csv", "a pipe"), ("pipe.jsonl", "a pipe")):
        os.mkfifo(folder / name)
        with pytest.raises(HiSTalkError, match=kind):
            read_manifest(folder / name, Job())
    with open(folder / "huge.csv", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(HiSTalkError, match="split it"):
        read_manifest(folder / "huge.csv", Job())


# Names of rows, one after the other; True = it is made, False = it would take another's place.
NAMES = {
    "x": True,
    "x.part": True,
    "X": False,
    "a/b": True,
    "a//b": False,
    "A/B": False,
    "line (row 8)": True,
    "line": True,
    "LINE": False,
    "row 3": True,
    "caf\u00e9": True,
    "cafe\u0301": False,
    "Stra\u00dfe": True,
    "STRASSE": False,
    "x.pc2/y": False,
    "y/z": True,
    "y.pc2": True,
    "y.pc2/z": True,
    "y.pc2.pc2/z": False,
    "report": True,
    "report/x": False,
    "Report/x": False,
    "ledgers/x": False,
    "histalk.sqlite": True,
    "histalk.sqlite/x": False,
    "report.html": True,
    "report.html/x": False,
    "x.png/y": False,
    "\u212b": True,
    "\u00c5": False,
}


def test_no_two_rows_are_one_file_on_any_file_system(folder):
    jobs = problems(folder, "\n".join(json.dumps({"audio": "a.wav", "name": name}) for name in NAMES))
    for (name, made), job in zip(NAMES.items(), jobs, strict=True):
        assert bool(job.problems) != made, (name, job.problems)
    assert len({job.name for job in jobs}) == len(jobs), "the ledger has one entry a row"


def test_what_is_read_is_never_written_over(folder):
    (folder / "shot.blend").write_bytes(b"a .blend")
    (folder / "hero.mp4").write_bytes(b"a film")
    (folder / "elsewhere").symlink_to(folder)
    (folder / "linked.mp4").symlink_to("hero.mp4")
    rows = [
        {"audio": "hero.mp4", "name": "hero", "outputs": "mp4"},
        {"audio": "a.wav", "name": "Hero", "outputs": "mp4"},
        {"audio": "a.wav", "name": "elsewhere/hero", "outputs": "mp4"},
        {"audio": "linked.mp4", "name": "fine"},
        {"audio": "a.wav", "name": "linked", "outputs": "mp4"},
        {"audio": "a.wav", "name": "shot", "outputs": "blend"},
        {"audio": "b.wav", "name": "b", "shot": "shot.blend", "outputs": "abc"},
        {"audio": "b.wav", "name": "c", "outputs": "abc", "bake": "cache"},
        {"audio": "b.wav", "name": "c", "outputs": "pc2"},
    ]
    jobs = problems(folder, "\n".join(map(json.dumps, rows)), out=".")
    wrong = {job.row: job.problems[0] for job in jobs if job.problems}
    assert wrong.keys() == {1, 2, 3, 5, 6, 9} and all("overwrite" in wrong[row] for row in (1, 2, 3, 5, 6))


def test_a_folder_of_sounds_names_each_once_and_leaves_its_outputs_out(folder):
    for name in ("a.flac", "a.wav.wav", "A.ogg"):
        (folder / name).write_bytes(b"1")
    (folder / "out").mkdir()
    (folder / "out" / "made.wav").write_bytes(b"1")
    jobs = read_manifest(folder, Job(), folder / "out")
    names = {job.audio.name: job.name for job in jobs}
    assert names["a.wav"] == "a.wav" and names["a.wav.wav"] == "a.wav.wav" and names["b.wav"] == "b"
    assert "made.wav" not in names and [job.name for job in jobs if job.problems] == ["loop", "pipe"]


def test_a_night_with_a_stranger_s_rows_ends_and_the_good_ones_are_whole(folder, tmp_path):
    pytest.importorskip("torch")
    good = ["x", "x.part", "line\u2028two", "a/b", "café", "line (row 2)"]
    lines = [json.dumps({"audio": "a.wav", "name": name}, ensure_ascii=False).encode() for name in good]
    bad = [row.encode("utf-8", "surrogatepass") for row in BROKEN]
    place = tmp_path / "line.jsonl"
    os.link(folder / "a.wav", tmp_path / "a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    place.write_bytes(
        b"\n".join([*lines[:3], *bad, HALF, b'{"audio": "a.wav", "name": "x/under.the.file"}', *lines[3:]])
    )
    out = tmp_path / "out"
    out.mkdir()
    (out / "x").write_text("a file, where a row needs a folder")
    done = histalk("batch", place, "--out", out, PYTHONIOENCODING="ascii:strict", LANG="C")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert f"{len(good)} done, {len(bad) + 2} failed" in done.stdout
    sizes = {(out / f"{name}.pc2").stat().st_size for name in good}
    assert len(sizes) == 1 and sizes.pop() > 100_000
    with open(out / "report.csv", newline="", encoding="utf-8-sig") as file:
        told = list(csv.DictReader(file))
    assert sum(row["state"] == "done" for row in told) == len(good) and all(
        row["error"] for row in told if row["state"] == "failed"
    )
    (under,) = [row["error"] for row in told if row["name"] == "x/under.the.file"]
    assert "is a file where" in under
    again = histalk("batch", "--out", out, "--status", PYTHONIOENCODING="ascii:strict")
    assert again.returncode == 1 and f"{len(good)} done" in again.stdout


def test_a_folder_with_names_that_are_not_utf_8_is_told_row_by_row(tmp_path):
    place = os.fsencode(tmp_path) + b"/in"
    os.mkdir(place)
    for name in (b"caf\xe9.wav", b"esc\x1b[31m.wav"):
        with open(place + b"/" + name, "wb") as file:
            file.write(b"1")
    done = histalk("batch", tmp_path / "in", "--out", tmp_path / "out", "--dry-run", PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "not UTF-8" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout and r"caf\udce9" in done.stderr
