"""Every variant of the paper's experiments is another network, and the command goes through and goes on."""

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from histalk_blender.audio.loudness import normalise_level
from histalk_blender.cli.main import main
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.head import load_head
from histalk_blender.network import HiSTalk, load_checkpoint, save_checkpoint, whisper_tiny
from histalk_blender.training.datasets.ours import Ours
from histalk_blender.training.examples import features
from histalk_blender.training.examples.batches import Clip
from histalk_blender.training.examples.features import Hearing
from histalk_blender.training.experiments import curves
from histalk_blender.training.experiments import run as experiments
from histalk_blender.training.experiments.middle import Bench, batches
from histalk_blender.training.experiments.run import VARIANTS, Plan, run
from histalk_blender.training.loop import TrainOptions


def network(name):
    changes, build = VARIANTS[name]
    torch.manual_seed(0)
    model = build(dataclasses.replace(whisper_tiny(10), acoustic_layers=1, **changes)).eval()
    torch.nn.init.normal_(model.outputs["histalk"].basis)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_speaks_and_lacks_what_its_name_says(name):
    wave = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1
    model = network(name)
    out = model.components(wave)
    assert model(wave).displacements.shape == (1, 30, 10, 3) and out.fine.std() > 0
    assert (
        out.sparse.shape == (1, 30, 68, 3)
        and out.phone_logits.shape == network("full").components(wave).phone_logits.shape
    )
    still = out.levels.abs().amax((0, 2, 3, 4)) == 0
    gone = {
        "frame level only": [1, 2, 3],
        "without frame": [0],
        "without phoneme": [1],
        "without word": [2],
        "without utterance": [3],
        "autoregressive": [0, 1, 2, 3],
        "per frame": [0, 1, 2, 3],
    }
    assert still.nonzero().flatten().tolist() == gone.get(name, [])
    if name == "without gating":
        assert (out.gates == 0.25).all()
    if name in ("one branch", "frame level only"):
        assert len(model.s2d.names) == {"one branch": 1, "frame level only": 2}[name]
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
    sizes = {
        name: sum(p.numel() for p in network(name).parameters()) for name in ("full", "autoregressive", "per frame")
    }
    assert all(0.75 < size / sizes["full"] < 1.35 for size in sizes.values()), sizes


def test_the_command_trains_scores_and_goes_on(corpus, tmp_path, monkeypatch):
    budget = TrainOptions(
        corpus, tmp_path, steps=1, warm_minutes=0, lengths=(1.0,), seconds=1.0, workers=0, device="cpu"
    )
    plan = Plan(corpus, tmp_path / "out", budget, ("full", "per frame"), seeds=1)
    table, picture = run(plan)
    text = table.read_text()
    assert "| full | " in text and "| per frame | " in text and "Strangers" in text and picture.stat().st_size > 5000
    monkeypatch.setattr(experiments, "train", None)
    assert run(plan)[0].read_text() == text, "what is scored is not run again"


def test_an_unknown_variant_is_refused(tmp_path):
    done = CliRunner().invoke(
        main, ["experiments", "--corpus", str(tmp_path), "--out", str(tmp_path), "--variant", "best"]
    )
    assert done.exit_code == 2 and "without gating" in done.output


@pytest.fixture(scope="module")
def hearing(corpus, tmp_path_factory):
    """Weights to hear with: one layer, by chance."""
    folder = tmp_path_factory.mktemp("hearing")
    paths = []
    for seed in range(2):
        torch.manual_seed(seed)
        paths.append(folder / f"{seed}.safetensors")
        save_checkpoint(
            HiSTalk(dataclasses.replace(whisper_tiny(len(load_head().vertices)), acoustic_layers=1)), paths[-1]
        )
    return paths


def planned(corpus, out, hearing, *variants):
    return Plan(corpus, out, TrainOptions(corpus, out, steps=2, device="cpu"), variants, seeds=1, hearing=hearing)


@pytest.mark.parametrize("name", ["full", "autoregressive", "per frame"])
def test_kept_features_give_what_sound_gives(corpus, hearing, tmp_path, name):
    bench = Bench(hearing[0], corpus, tmp_path, 60, "cpu")
    changes, build = VARIANTS[name]
    model = bench.build(build, changes, seed=0).eval()
    kept = bench.components(model, 0)
    model.acoustic = load_checkpoint(hearing[0]).acoustic
    sound = normalise_level(bench.tested[0].samples.astype(np.float32) / 32768)
    with torch.no_grad():
        heard = model.components(torch.from_numpy(sound)[None])
    for part in ("fine", "coarse", "sparse", "levels", "gates", "phone_logits"):
        a, b = getattr(kept, part), getattr(heard, part)
        torch.testing.assert_close(a, b, rtol=0.01, atol=0.01 * float(b.abs().max()))


def test_a_killed_hearing_goes_on_and_other_weights_hear_for_themselves(corpus, hearing, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 1)
    clips = Ours(corpus).clips("train") + Ours(corpus).clips("test")
    first = Hearing(hearing[0], tmp_path)
    heard, hear = [], Hearing.hear

    def killed(self, samples):
        if len(heard) == 1:
            raise KeyboardInterrupt
        heard.append(len(samples))
        return hear(self, samples)

    monkeypatch.setattr(Hearing, "hear", killed)
    with pytest.raises(KeyboardInterrupt):
        first.features("all", clips)
    assert len(list(first.folder.iterdir())) == 1
    monkeypatch.setattr(Hearing, "hear", lambda self, samples: heard.append(len(samples)) or hear(self, samples))
    kept = first.features("all", clips)
    assert heard == [len(clip.samples) for clip in clips], "each clip is heard once"
    assert kept[1].shape == (first.config.tokens(len(clips[1].samples)), first.config.acoustic_width)
    assert np.array_equal(first.features("all", clips)[0], kept[0]) and len(heard) == 2
    other = Hearing(hearing[1], tmp_path).features("all", clips)
    assert len(heard) == 4 and np.abs(other[1].astype(float) - kept[1]).max() > 0.01
    changed = first.features("all", clips, copy=1)
    assert len(heard) == 6 and changed[0].shape == kept[0].shape
    assert np.abs(changed[0].astype(float) - kept[0]).max() > 0.01


def test_batches_are_the_seeds_alone_and_doubt_their_padding(corpus, hearing, tmp_path):
    bench = Bench(hearing[0], corpus, tmp_path, 60, "cpu")
    whole = bench.clips[0]
    clips = [dataclasses.replace(whole, samples=whole.samples[:size]) for size in range(10_000, 60_000, 7_000)]
    copies = [Hearing(hearing[0], tmp_path).features("cut", clips)]
    chance = np.full(len(clips), 1 / len(clips))
    streams = [batches(clips, copies, chance, bench.config, seed) for seed in (3, 3, 4)]
    drawn = [[next(stream) for _ in range(20)] for stream in streams]
    assert all(torch.equal(a.acoustic, b.acoustic) and torch.equal(a.units, b.units) for a, b in zip(*drawn[:2]))
    assert any(a.acoustic.shape != b.acoustic.shape for a, b in zip(drawn[0], drawn[2]))
    mixed = [batch for batch in drawn[0] if len(batch.tokens.unique()) > 1]
    assert mixed
    for batch in mixed:
        for row, (tokens, frames) in enumerate(zip(batch.tokens, batch.frames)):
            assert not batch.acoustic[row, tokens:].any() and not batch.sure[row, frames:].any()
            assert (batch.phones[row, -(-tokens // 2) :] == -100).all() and batch.sure[row, :frames].all()


def test_designs_on_one_ear_make_the_table_and_refuse_another_budget(corpus, hearing, tmp_path, monkeypatch):
    plan = planned(corpus, tmp_path, hearing[0], "full", "per frame")
    text, picture = run(plan)[0].read_text(), tmp_path / "gates.png"
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| full", "| per frame"))]
    assert len(rows) == 4 and all(len(row) == 3 + len(experiments.COLUMNS) for row in rows) and picture.exists()
    assert rows[0][3] != rows[1][3] and "phones" in text and "processor s" in text
    monkeypatch.setattr(Bench, "train", None)
    assert run(plan)[0].read_text() == text, "what is scored is not run again"
    with pytest.raises(HiSTalkError, match="full-0.*name another --out"):
        run(planned(corpus, tmp_path, hearing[1], "full"))


def spoken():
    """A corpus of two long speakers, many short ones and a machine."""
    who = [("kathleen", "x")] * 50 + [("prompts", "y")] * 30 + [("commands", f"c{i}") for i in range(200)]
    who += [("flite", "m")] * 50
    seconds = [60 if source in ("kathleen", "prompts") else 12 for source, _ in who]
    return [
        Clip(str(i), source, speaker, "train", np.broadcast_to(np.int16(0), s * 16_000), None, None, None, [])
        for i, ((source, speaker), s) in enumerate(zip(who, seconds))
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_curves_subsets_are_nested_and_of_people(seed):
    clips = spoken()
    speakers, hours = curves.by_speakers(clips, seed), curves.by_hours(clips, seed)
    assert list(speakers) == [1, 4, 16, 64, 202] and list(hours) == [0.05, 0.2, 0.8, 2.0]
    heard = [{clips[i].speaker for i in chosen} for chosen in speakers.values()]
    assert [len(people) for people in heard] == list(speakers) and all(a < b for a, b in zip(heard, heard[1:]))
    for chosen in speakers.values():
        assert sum(clips[i].seconds for i in chosen) == pytest.approx(3600 * curves.SPOKEN, abs=60)
    for small_set, large in zip(list(hours.values()), list(hours.values())[1:]):
        assert set(small_set) < set(large)
    assert all(clips[i].source != "flite" for chosen in (*speakers.values(), *hours.values()) for i in chosen)
    assert not np.array_equal(hours[0.2], curves.by_hours(clips, seed + 1)[0.2])


def test_curves_go_through_and_go_on(corpus, hearing, tmp_path, monkeypatch):
    plan = planned(corpus, tmp_path, hearing[0], "full")
    table, picture = curves.run(plan, ["speakers", "hours"])
    text = table.read_text()
    assert "By speakers" in text and text.count(" | 1 | 0.00 | ") == 2 and picture.stat().st_size > 5000
    monkeypatch.setattr(Bench, "train", None)
    assert curves.run(plan, ["speakers", "hours"])[0].read_text() == text
    with pytest.raises(HiSTalkError, match="synthetic"):
        curves.run(plan, ["mixture"])


def test_a_mixture_draws_people_as_often_as_it_says():
    clips = spoken()
    people = np.array([clip.source != "flite" for clip in clips])
    for share, chance in curves.by_mixture(clips).items():
        assert chance[people].sum() == pytest.approx(share) and chance.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong", ["--curve hours", "--hearing w --minutes 3", "--hearing w --curve hours --variant full"]
)
def test_options_that_do_not_go_together_are_refused(wrong, tmp_path):
    done = CliRunner().invoke(main, ["experiments", "--corpus", str(tmp_path), "--out", str(tmp_path), *wrong.split()])
    assert done.exit_code == 2 and "--hearing" in done.output
