"""The ledger knows what is left to do, however the last run ended."""

import dataclasses
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.batch.job import Job
from histalk_blender.batch.ledger import ATTEMPTS, Ledger, Outcome
from histalk_blender.batch.ledger_file import read_ledger
from histalk_blender.batch.manifest import read_manifest
from histalk_blender.errors import HiSTalkError
from histalk_blender.motion.style import Style


@pytest.fixture
def jobs(tmp_path):
    sound, rate = sf.read(SPEECH)
    out = []
    for i in range(4):
        sf.write(tmp_path / f"{i}.wav", sound[i * 1000 : i * 1000 + rate], rate)
        out.append(Job(row=i + 1, name=f"{i}", audio=tmp_path / f"{i}.wav", bake="basis"))
    return out


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "histalk.sqlite"


def names(found):
    return [job.name for job in found]


def finish(ledger, name, folder):
    (folder / f"{name}.pc2").write_bytes(b"1234")
    ledger.ended(Outcome(name, outputs=({"path": f"{name}.pc2", "bytes": 4, "sha256": ""},)))


def test_only_new_and_changed_clips_are_left_to_do(jobs, path):
    first = Ledger(path)
    assert names(first.begin(jobs, "m")) == ["0", "1", "2", "3"]
    for name in "012":
        finish(first, name, path.parent)
    first.close()
    again = Ledger(path)
    assert names(again.begin(jobs, "m")) == ["3"]
    assert names(again.begin(jobs, "other weights")) == ["0", "1", "2", "3"]
    again.close()


def test_a_changed_sound_or_setting_or_a_lost_output_is_made_again(jobs, path):
    ledger = Ledger(path)
    ledger.begin(jobs, "m")
    for name in "0123":
        finish(ledger, name, path.parent)
    assert names(ledger.begin(jobs, "m")) == []
    shutil.copy(jobs[3].audio, jobs[0].audio)
    jobs[1] = dataclasses.replace(jobs[1], fps=25.0)
    (path.parent / "2.pc2").write_bytes(b"12")
    assert names(ledger.begin(jobs, "m")) == ["0", "1", "2"]
    moved = [dataclasses.replace(job, row=job.row + 10) for job in jobs]
    assert names(ledger.begin(moved[3:], "m")) == [], "a row that moved is the same job"


def test_what_failed_stays_failed_until_retried_or_fixed(jobs, path):
    ledger = Ledger(path)
    ledger.begin(jobs, "m")
    ledger.ended(Outcome("0", "It is broken."))
    for name in "123":
        finish(ledger, name, path.parent)
    assert names(ledger.begin(jobs, "m")) == [] and ledger.rows(["0"])[0]["error"] == "It is broken."
    assert names(ledger.begin(jobs, "m", retry=True)) == ["0"]
    ledger.ended(Outcome("0", "It is broken."))
    shutil.copy(jobs[3].audio, jobs[0].audio)
    assert names(ledger.begin(jobs, "m")) == ["0"]


def test_a_clip_that_kills_the_process_again_and_again_fails(jobs, path):
    for _ in range(ATTEMPTS):
        ledger = Ledger(path)
        assert "2" in names(ledger.begin(jobs, "m"))
        ledger.started("2")
        ledger.close()  # as a kill would leave it
    ledger = Ledger(path)
    assert names(ledger.begin(jobs, "m")) == ["0", "1", "3"]
    (row,) = ledger.rows(["2"])
    assert row["state"] == "failed" and "try it alone" in row["error"]
    assert names(ledger.begin(jobs, "m", retry=True)) == ["0", "1", "2", "3"]


def test_an_invalid_row_has_failed_with_its_problems(jobs, path):
    jobs[1] = dataclasses.replace(jobs[1], problems=("'fps' is 'x'.", "No audio."))
    ledger = Ledger(path)
    assert names(ledger.begin(jobs, "m")) == ["0", "2", "3"]
    assert ledger.rows(["1"])[0]["error"] == "'fps' is 'x'. No audio."


def test_errors_name_a_file_that_is_no_ledger_and_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "histalk.sqlite").write_text("no ledger at all, but long enough to be read as one" * 20)
    with pytest.raises(HiSTalkError, match=r"histalk\.sqlite"):
        Ledger(tmp_path / "histalk.sqlite")
    with pytest.raises(HiSTalkError, match="--out"):
        Ledger(tmp_path / "histalk.sqlite" / "out" / "histalk.sqlite")


def test_the_table_is_as_documented(jobs, path):
    ledger = Ledger(path)
    ledger.begin(jobs, "m")
    ledger.ended(Outcome("0", "", ("A remark.",), 1.0, 0.1, 0.2, 0.3, ({"path": "0.pc2", "bytes": 4, "sha256": "ab"},)))
    with sqlite3.connect(path) as database:
        (row,) = database.execute(
            "SELECT state, seconds, decode_s, network_s, write_s, remarks FROM jobs WHERE name = '0'"
        )
    assert row == ("done", 1.0, 0.1, 0.2, 0.3, '["A remark."]')
    assert ledger.rows(["0"])[0]["outputs"] == [{"path": "0.pc2", "bytes": 4, "sha256": "ab"}]


def test_clips_of_an_older_ledger_stay_done_when_settings_are_added():
    job = Job(name="line", bake="basis", style=Style(jaw=1.2))
    older = {name: value for name, value in job.settings().items() if name != "lips"}
    assert "frames" not in older and "channel" not in older
    assert job.has_settings(json.dumps(older)) and job.has_settings(json.dumps(job.settings()))
    assert not job.has_settings(json.dumps(older | {"jaw": 1.0})) and not job.has_settings(
        json.dumps(older | {"lips": 2})
    )
    assert not dataclasses.replace(job, frames=(1, 20)).has_settings(json.dumps(older))
    assert not job.has_settings(json.dumps(older | {"frames": [1, 20]}))
    assert not any(job.has_settings(wrong) for wrong in ("", "[1]", "7", "null", "{", "[" * 100_000, None))


def test_clips_that_version_0_1_0_made_stay_done(tmp_path):
    """Its ledger and manifest as they were, and files of the sizes that it wrote."""
    database = sqlite3.connect(tmp_path / "histalk.sqlite")
    database.executescript(Path(SPEECH).with_name("ledger_by_0_1_0.sql").read_text())
    ((model,),) = database.execute("SELECT DISTINCT model FROM jobs")
    database.close()
    rows = read_ledger(tmp_path / "histalk.sqlite")
    assert [row["state"] for row in rows] == ["done", "done", "failed"]
    for output in (output for row in rows for output in row["outputs"]):
        path = tmp_path / output["path"]
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.truncate(path, output["bytes"])
    (tmp_path / "jobs.csv").write_text(
        "audio,name,outputs,fps,start,bake,jaw,smoothing,delay,channel\n"
        f"{SPEECH},hero/line 1,pc2 livelink,25,101,,1.2,0.05,0.1,\n"
        f"{SPEECH},plain,npz,,,,,,,left\n"
        "none.wav,gone,pc2,,,,,,,\n"
    )
    jobs = read_manifest(tmp_path / "jobs.csv", Job(), tmp_path)
    ledger = Ledger(tmp_path / "histalk.sqlite")
    assert names(ledger.begin(jobs, model)) == []
    assert [(row["state"], row["seconds"]) for row in ledger.rows()] == [
        ("done", 6.5815),
        ("done", 6.5815),
        ("failed", None),
    ]
    changed = [dataclasses.replace(jobs[0], fps=30.0), *jobs[1:]]
    assert names(ledger.begin(changed, model)) == ["hero/line 1"]
    ledger.close()
