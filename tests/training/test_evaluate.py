"""The table shows what a predictor did on every data set, and a checkpoint trained on one is measured on it."""

import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import tiny_options

from histalk_blender.cli.main import main
from histalk_blender.network import HiSTalk, save_checkpoint
from histalk_blender.network.config import whisper_tiny
from histalk_blender.training.datasets import open_data_set
from histalk_blender.training.evaluation.evaluate import Evaluation, evaluate, network
from histalk_blender.training.evaluation.report import phone_errors, table
from histalk_blender.training.evaluation.scoring import score
from histalk_blender.training.examples import sources
from histalk_blender.training.loop import train
from histalk_blender.training.teacher.phones import ARPABET


def histalk(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def test_a_perfect_answer_has_no_error_and_a_shifted_one_what_it_was_shifted_by(corpus):
    data = open_data_set("corpus", corpus)
    clips = data.recordings("test")
    row = score(clips, lambda clip: clip.motion(), data.topology).row
    assert row["vertex_error_mm"] == row["root_lve_mm"] == row["fdd"] == row["mtm_ms"] == 0
    assert row["lrp"] == row["jitter"] == row["closure_recall"] == 1 and row["opening_correlation"] == pytest.approx(1)
    shifted = score(clips, lambda clip: clip.motion() + np.float32([0.003, 0, 0.004]), data.topology).row
    assert shifted["vertex_error_mm"] == pytest.approx(5, rel=1e-3) and shifted["root_lve_mm"] == pytest.approx(
        5, rel=1e-3
    )
    assert shifted["lve"] == pytest.approx(25e-6, rel=1e-3) and shifted["mtm_ms"] == 0
    still = score(clips, lambda clip: 0 * clip.motion(), data.topology).row
    assert still["opening_correlation"] is None and still["mtm_ms"] is None and still["jitter"] == 0


@pytest.mark.slow
def test_the_corpus_gives_one_table_json_and_pictures(corpus, tmp_path):
    done = histalk("evaluate", "--root", corpus, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "test_known prompts (1 clips)" in done.output and "lips: 425 vertices, head.npz" in done.output
    names = re.findall(r"^\| ([a-z ]+) \| \d", done.output, re.M)
    assert names == ["network", "mean face", "loudness jaw", "linear mel", "the teacher"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "evaluation.json",
        "scores.png",
        "lips.png",
        "errors.png",
    }
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    rows = told["groups"]["test_known prompts"]
    assert rows["network"]["opening_correlation"] > 0.8 > rows["loudness jaw"]["opening_correlation"]
    assert rows["network"]["vertex_error_mm"] < rows["mean face"]["vertex_error_mm"]
    assert told["masks"]["lips"] and "third difference" in told["definitions"]["jitter"]


def test_lips_that_move_in_silence_are_measured_and_counted(corpus):
    data = open_data_set("corpus", corpus)
    clips = data.recordings("train")
    frames = len(clips[0].motion())
    object.__setattr__(clips[0], "phones", [["SIL", 0, 0.5], ["AA", 0.5, frames / 30]])
    row = score(clips, lambda clip: 0 * clip.motion() + np.float32([0.0003, 0, 0.0004]), data.topology).row
    assert row["silence_mm"] == pytest.approx(0.5, rel=1e-3) and row["silence_frames"] == 10, "up to 0.3 s"
    object.__setattr__(clips[0], "phones", [["AA", 0, frames / 30]])
    row = score(clips, lambda clip: clip.motion(), data.topology).row
    assert row["silence_mm"] is None and row["silence_frames"] == 0


def test_the_report_ends_with_the_worst_phones_of_strangers(corpus, model):
    found = evaluate(open_data_set("corpus", corpus), model, "train", baselines=False)
    assert list(phone_errors(found)) == ["known voices"] and "worst phones" not in table(found)
    (scores,) = found.groups.values()
    sums = np.zeros((len(ARPABET), 4))
    for place, (phone, times) in enumerate({"AA": 29, "S": 30, "T": 30, "N": 40, "K": 50, "L": 60, "R": 70}.items()):
        sums[ARPABET.index(phone)] = times, 100, -0.01 * place, 0.1 * (place + 1)
    sums[ARPABET.index("R"), 2] = 0.05
    scores["network"].phone_errors = sums
    halves = {"test_stranger readers": scores, "test_stranger commands": scores, "test_known prompts": scores}
    found = Evaluation(found.data, found.split, found.weights, halves, found.neutral)
    told = phone_errors(found)
    assert (
        told["known voices"]["S"]
        == pytest.approx({"occurrences": 30, "frames": 100, "error_mm": 2.0, "signed_mm": -0.1})
        and told["strangers"]["S"]["occurrences"] == 60
    )
    halves.pop("test_stranger commands")
    lines = table(found).splitlines()
    assert lines[-5] == "R: 7.00 mm off, +0.50 on average (too open), 70 times"
    assert [line.split(":")[0] for line in lines[-5:]] == ["R", "L", "K", "N", "T"] and "too shut" in lines[-1]
    assert "AA:" not in table(found), "29 times are too few"


def test_the_bundled_weights_are_measured_on_vocaset_at_the_size_of_each_head(vocaset_files, model):
    data = open_data_set("vocaset", vocaset_files)
    predict = network(model, data.topology)
    plain, larger = data.recordings("train")[0], data.recordings("train")[4]
    object.__setattr__(larger, "samples", plain.samples)
    a, b = predict(plain), predict(larger)
    assert a.shape == (24, 5023, 3)
    np.testing.assert_allclose(1.04 * a, b, atol=1e-4)
    done = histalk("evaluate", "--dataset", "vocaset", "--root", vocaset_files)
    assert done.exit_code == 0 and "LVE 1e-5 m²" in done.output and "| loudness |" in done.output


@pytest.mark.slow
def test_weights_trained_on_biwi_are_measured_on_both_its_halves(biwi_files, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "COMPONENTS", 8)
    data = open_data_set("biwi", biwi_files)
    path = train(tiny_options(data.root, tmp_path, 1, data=data, batch_seconds=1.0))
    done = histalk("evaluate", "--dataset", "biwi", "--root", biwi_files, "--weights", path, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert (
        "test-a (6 of 24 clips)" in done.output
        and "test-b (8 of 32 clips)" in done.output
        and "LVE 1e-4 unit²" in done.output
    )
    assert not (tmp_path / "out" / "lips.png").exists(), "no landmarks, no lip tracks"
    rows = json.loads((tmp_path / "out" / "evaluation.json").read_text())["groups"]["test-a"]
    assert rows["network"]["closure_recall"] is None and rows["the reference"]["lve"] == 0


@pytest.mark.parametrize(
    "arguments, says",
    [
        ((), "--root"),
        (("--root", "{tmp}/none"), "No folder at"),
        (("--root", "{tmp}"), "holds no corpus"),
        (("--dataset", "vocaset", "--root", "{tmp}"), "sentence21.npy' is missing"),
        (("--dataset", "biwi", "--root", "{biwi}"), "no output for 'biwi'"),
        (("--dataset", "biwi", "--root", "{biwi}", "--split", "dev"), "test-a, test-b"),
        (("--dataset", "biwi", "--root", "{biwi}", "--weights", "{tmp}/none.safetensors"), "No weights at"),
        (("--dataset", "biwi", "--root", "{biwi}", "--out", "{biwi}/templates.pkl"), "--out names a folder"),
    ],
)
def test_wrong_input_ends_with_one_sentence_and_code_2(biwi_files, tmp_path, arguments, says):
    done = histalk("evaluate", *(a.format(tmp=tmp_path, biwi=biwi_files) for a in arguments))
    assert done.exit_code == 2 and says in done.output and done.output.count("\n") == 1, done.output


def test_training_names_what_is_missing_too(tmp_path):
    for arguments in (
        (),
        ("--dataset", "vocaset", "--root", tmp_path),
        ("--dataset", "biwi", "--corpus", tmp_path),
        ("--corpus", tmp_path, "--lips", "lips.txt"),
    ):
        done = histalk("train", "--out", tmp_path / "run", *arguments)
        assert done.exit_code == 2 and done.output.count("\n") == 1


def test_another_rate_than_the_datas_is_resampled(biwi_files, tmp_path):
    model = HiSTalk(whisper_tiny(0).with_topology("biwi", 23370)).eval()
    torch.nn.init.normal_(model.outputs["biwi"].basis)
    save_checkpoint(model, tmp_path / "w.safetensors")
    data = open_data_set("biwi", biwi_files)
    assert len(network(model, data.topology)(data.recordings("val")[0])) == 20
