"""The ledger knows what is left to do, whatever ended the run before."""

import dataclasses
import json
import shutil
import sqlite3

import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.batch.job import Job
from histalk_blender.batch.ledger import ATTEMPTS, Ledger, Outcome
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
def book(tmp_path):
    return tmp_path / "out" / "histalk.sqlite"


def names(found):
    return [job.name for job in found]


def finish(ledger, name, folder):
    (folder / f"{name}.pc2").write_bytes(b"1234")
    ledger.ended(Outcome(name, outputs=({"path": f"{name}.pc2", "bytes": 4, "sha256": ""},)))


def test_only_what_is_not_done_or_changed_is_left(jobs, book):
    first = Ledger(book)
    assert names(first.begin(jobs, "m")) == ["0", "1", "2", "3"]
    for name in "012":
        finish(first, name, book.parent)
    first.close()
    again = Ledger(book)
    assert names(again.begin(jobs, "m")) == ["3"]
    assert names(again.begin(jobs, "other weights")) == ["0", "1", "2", "3"]
    again.close()


def test_another_sound_setting_or_a_lost_output_is_done_again(jobs, book):
    ledger = Ledger(book)
    ledger.begin(jobs, "m")
    for name in "0123":
        finish(ledger, name, book.parent)
    assert names(ledger.begin(jobs, "m")) == []
    shutil.copy(jobs[3].audio, jobs[0].audio)
    jobs[1] = dataclasses.replace(jobs[1], fps=25.0)
    (book.parent / "2.pc2").write_bytes(b"12")
    assert names(ledger.begin(jobs, "m")) == ["0", "1", "2"]
    moved = [dataclasses.replace(job, row=job.row + 10) for job in jobs]
    assert names(ledger.begin(moved[3:], "m")) == [], "a row that moved is the same job"


def test_what_failed_stays_failed_until_asked_for_or_mended(jobs, book):
    ledger = Ledger(book)
    ledger.begin(jobs, "m")
    ledger.ended(Outcome("0", "It is broken."))
    for name in "123":
        finish(ledger, name, book.parent)
    assert names(ledger.begin(jobs, "m")) == [] and ledger.rows(["0"])[0]["error"] == "It is broken."
    assert names(ledger.begin(jobs, "m", retry=True)) == ["0"]
    ledger.ended(Outcome("0", "It is broken."))
    shutil.copy(jobs[3].audio, jobs[0].audio)
    assert names(ledger.begin(jobs, "m")) == ["0"]


def test_a_clip_that_ends_the_process_again_and_again_is_given_up(jobs, book):
    for _ in range(ATTEMPTS):
        ledger = Ledger(book)
        assert "2" in names(ledger.begin(jobs, "m"))
        ledger.started("2")
        ledger.close()  # as a kill would leave it
    ledger = Ledger(book)
    assert names(ledger.begin(jobs, "m")) == ["0", "1", "3"]
    (row,) = ledger.rows(["2"])
    assert row["state"] == "failed" and "try it alone" in row["error"]
    assert names(ledger.begin(jobs, "m", retry=True)) == ["0", "1", "2", "3"]


def test_a_row_that_is_wrong_has_failed_and_says_why(jobs, book):
    jobs[1] = dataclasses.replace(jobs[1], problems=("'fps' is 'x'.", "No audio."))
    ledger = Ledger(book)
    assert names(ledger.begin(jobs, "m")) == ["0", "2", "3"]
    assert ledger.rows(["1"])[0]["error"] == "'fps' is 'x'. No audio."


def test_a_file_that_is_no_ledger_and_a_folder_that_cannot_be_made_are_named(tmp_path):
    (tmp_path / "histalk.sqlite").write_text("no ledger at all, but long enough to be read as one" * 20)
    with pytest.raises(HiSTalkError, match=r"histalk\.sqlite"):
        Ledger(tmp_path / "histalk.sqlite")
    with pytest.raises(HiSTalkError, match="--out"):
        Ledger(tmp_path / "histalk.sqlite" / "out" / "histalk.sqlite")


def test_its_table_is_the_documented_one(jobs, book):
    ledger = Ledger(book)
    ledger.begin(jobs, "m")
    ledger.ended(Outcome("0", "", ("A remark.",), 1.0, 0.1, 0.2, 0.3, ({"path": "0.pc2", "bytes": 4, "sha256": "ab"},)))
    with sqlite3.connect(book) as database:
        (row,) = database.execute(
            "SELECT state, seconds, decode_s, network_s, write_s, remarks FROM jobs WHERE name = '0'"
        )
    assert row == ("done", 1.0, 0.1, 0.2, 0.3, '["A remark."]')
    assert ledger.rows(["0"])[0]["outputs"] == [{"path": "0.pc2", "bytes": 4, "sha256": "ab"}]


def test_clips_of_an_older_ledger_stay_done_though_there_are_more_settings_now():
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
