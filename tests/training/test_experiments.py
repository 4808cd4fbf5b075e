"""Every variant of the paper's experiments is another network, and the command goes through and goes on."""

import dataclasses

import pytest
import torch
from click.testing import CliRunner

from histalk_blender.cli import main
from histalk_blender.network.config import small
from histalk_blender.training import experiments
from histalk_blender.training.experiments import VARIANTS, Plan, run
from histalk_blender.training.loop import TrainOptions


def network(name):
    changes, build = VARIANTS[name]
    torch.manual_seed(0)
    model = build(dataclasses.replace(small(10), acoustic_layers=1, **changes)).eval()
    torch.nn.init.normal_(model.outputs["histalk"].basis)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_speaks_and_lacks_what_its_name_says(name):
    wave = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1
    model = network(name)
    out = model.components(wave)
    assert model(wave).displacements.shape == (1, 30, 10, 3) and out.fine.std() > 0
    assert out.sparse.shape == (1, 30, 68, 3) and out.phone_logits.shape == network("full").components(wave).phone_logits.shape
    still = out.levels.abs().amax((0, 2, 3, 4)) == 0
    gone = {"frame level only": [1, 2, 3], "without frame": [0], "without phoneme": [1], "without word": [2],
            "without utterance": [3], "autoregressive": [0, 1, 2, 3], "per frame": [0, 1, 2, 3]}  # fmt: skip
    assert still.nonzero().flatten().tolist() == gone.get(name, [])
    if name == "without gating":
        assert (out.gates == 0.25).all()
    if name in ("one branch", "frame level only"):
        assert len(model.s2d.branches) == {"one branch": 1, "frame level only": 2}[name]
    assert bool(out.coarse.any()) == (name not in ("without CMG", "autoregressive", "per frame"))


@torch.no_grad()
def test_the_autoregressive_rival_hears_only_what_came_before_in_its_motion():
    model = network("autoregressive")
    speech = torch.randn(1, 20, 384)
    early, changed = model.motion(speech), speech.clone()
    changed[:, 10:] += 1
    late = model.motion(changed)
    torch.testing.assert_close(early[:, :10], late[:, :10])
    assert (early[:, 19] - late[:, 19]).abs().max() > 1e-3


def test_rivals_are_of_about_the_same_size():
    sizes = {name: sum(p.numel() for p in network(name).parameters()) for name in ("full", "autoregressive", "per frame")}
    assert all(0.75 < size / sizes["full"] < 1.35 for size in sizes.values()), sizes


def test_the_command_trains_scores_and_goes_on(corpus, tmp_path, monkeypatch):
    budget = TrainOptions(corpus, tmp_path, steps=1, warm_minutes=0, lengths=(1.0,), seconds=1.0, workers=0, device="cpu")
    plan = Plan(corpus, tmp_path / "out", budget, ("full", "per frame"), seeds=1)
    table, picture = run(plan)
    text = table.read_text()
    assert "| full | " in text and "| per frame | " in text and "Strangers" in text and picture.stat().st_size > 5000
    monkeypatch.setattr(experiments, "train", None)
    assert run(plan)[0].read_text() == text, "what is scored is not run again"


def test_an_unknown_variant_is_refused(tmp_path):
    done = CliRunner().invoke(main, ["experiments", "--corpus", str(tmp_path), "--out", str(tmp_path), "--variant", "best"])
    assert done.exit_code == 2 and "without gating" in done.output
