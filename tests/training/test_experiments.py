"""Every variant of the paper's experiments is another network, and the command completes and resumes."""

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import TINY, tiny_options

from histalk_blender.audio.loudness import normalise_loudness
from histalk_blender.cli.main import main
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.head import load_head
from histalk_blender.network import HiSTalk, load_checkpoint, save_checkpoint, whisper_tiny
from histalk_blender.training.corpus.clips import Clip
from histalk_blender.training.datasets.corpus import Corpus
from histalk_blender.training.experiments import ablations, features, learning_curves
from histalk_blender.training.experiments.ablations import VARIANTS, run
from histalk_blender.training.experiments.feature_batches import feature_batches
from histalk_blender.training.experiments.features import FrozenExtractor
from histalk_blender.training.experiments.frozen_extractor import FrozenExtractorRuns
from histalk_blender.training.experiments.plan import ExperimentPlan
from histalk_blender.training.options import TrainOptions


def network(name):
    changes, build = VARIANTS[name]
    torch.manual_seed(0)
    model = build(dataclasses.replace(whisper_tiny(10), acoustic_layers=1, **changes)).eval()
    torch.nn.init.normal_(model.outputs["histalk"].basis)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_moves_the_face_and_lacks_what_its_name_names(name):
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
def test_the_autoregressive_design_knows_only_the_motion_before():
    model = network("autoregressive")
    speech = torch.randn(1, 20, 384)
    early, changed = model.motion(speech), speech.clone()
    changed[:, 10:] += 1
    late = model.motion(changed)
    torch.testing.assert_close(early[:, :10], late[:, :10])
    assert (early[:, 19] - late[:, 19]).abs().max() > 1e-3


def test_reference_designs_are_of_about_the_same_size():
    sizes = {
        name: sum(p.numel() for p in network(name).parameters()) for name in ("full", "autoregressive", "per frame")
    }
    assert all(0.75 < size / sizes["full"] < 1.35 for size in sizes.values()), sizes


@pytest.mark.slow
def test_the_command_trains_scores_and_resumes(corpus, tmp_path, monkeypatch):
    plan = ExperimentPlan(corpus, tmp_path / "out", tiny_options(corpus, tmp_path, 1), ("full", "per frame"), seeds=1)
    table, picture = run(plan)
    text = table.read_text()
    assert "| full | " in text and "| per frame | " in text and "Strangers" in text and picture.stat().st_size > 5000
    monkeypatch.setattr(ablations, "train", None)
    assert run(plan)[0].read_text() == text, "what is scored is not run again"


def test_an_unknown_variant_is_refused(tmp_path):
    done = CliRunner().invoke(
        main, ["experiments", "--corpus", str(tmp_path), "--out", str(tmp_path), "--variant", "best"]
    )
    assert done.exit_code == 2 and "without gating" in done.output


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two checkpoints with small random extractors."""
    folder = tmp_path_factory.mktemp("weights")
    paths = []
    for seed in range(2):
        torch.manual_seed(seed)
        paths.append(folder / f"{seed}.safetensors")
        save_checkpoint(HiSTalk(dataclasses.replace(whisper_tiny(len(load_head().vertices)), **dict(TINY))), paths[-1])
    return paths


def planned(corpus, out, acoustic_from, *variants):
    options = TrainOptions(corpus, out, steps=2, device="cpu")
    return ExperimentPlan(corpus, out, options, variants, seeds=1, acoustic_from=acoustic_from)


@pytest.mark.parametrize("name", ["full", "autoregressive", "per frame"])
def test_kept_features_give_what_sound_gives(corpus, weights, tmp_path, name):
    shared = FrozenExtractorRuns(planned(corpus, tmp_path, weights[0]))
    changes, build = VARIANTS[name]
    model = shared.build(build, changes, seed=0).eval()
    kept = shared.components(model, 0)
    model.acoustic = load_checkpoint(weights[0]).acoustic
    sound = normalise_loudness(shared.tested[0].samples.astype(np.float32) / 32768)
    with torch.no_grad():
        heard = model.components(torch.from_numpy(sound)[None])
    for part in ("fine", "coarse", "sparse", "levels", "gates", "phone_logits"):
        a, b = getattr(kept, part), getattr(heard, part)
        torch.testing.assert_close(a, b, rtol=0.01, atol=0.01 * float(b.abs().max()))


def test_interrupted_features_resume_and_other_weights_have_their_own(corpus, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 1)
    clips = Corpus(corpus).clips("train") + Corpus(corpus).clips("test")
    first = FrozenExtractor(weights[0], tmp_path)
    encoded, encode = [], FrozenExtractor.encode

    def killed(self, samples):
        if len(encoded) == 1:
            raise KeyboardInterrupt
        encoded.append(len(samples))
        return encode(self, samples)

    monkeypatch.setattr(FrozenExtractor, "encode", killed)
    with pytest.raises(KeyboardInterrupt):
        first.features("all", clips)
    assert len(list(first.folder.iterdir())) == 1
    monkeypatch.setattr(
        FrozenExtractor, "encode", lambda self, samples: encoded.append(len(samples)) or encode(self, samples)
    )
    kept = first.features("all", clips)
    assert encoded == [len(clip.samples) for clip in clips], "each clip is encoded once"
    assert kept[1].shape == (first.config.tokens(len(clips[1].samples)), first.config.acoustic_width)
    assert np.array_equal(first.features("all", clips)[0], kept[0]) and len(encoded) == 2
    other = FrozenExtractor(weights[1], tmp_path).features("all", clips)
    assert len(encoded) == 4 and np.abs(other[1].astype(float) - kept[1]).max() > 0.01
    changed = first.features("all", clips, copy=1)
    assert len(encoded) == 6 and changed[0].shape == kept[0].shape
    assert np.abs(changed[0].astype(float) - kept[0]).max() > 0.01


def test_batches_depend_on_the_seed_alone_and_doubt_their_padding(corpus, weights, tmp_path):
    shared = FrozenExtractorRuns(planned(corpus, tmp_path, weights[0]))
    whole = shared.clips[0]
    clips = [dataclasses.replace(whole, samples=whole.samples[:size]) for size in range(10_000, 60_000, 7_000)]
    copies = [FrozenExtractor(weights[0], tmp_path).features("cut", clips)]
    chance = np.full(len(clips), 1 / len(clips))
    streams = [feature_batches(clips, copies, chance, shared.config, seed) for seed in (3, 3, 4)]
    drawn = [[next(stream) for _ in range(20)] for stream in streams]
    assert all(torch.equal(a.acoustic, b.acoustic) and torch.equal(a.controls, b.controls) for a, b in zip(*drawn[:2]))
    assert any(a.acoustic.shape != b.acoustic.shape for a, b in zip(drawn[0], drawn[2]))
    mixed = [batch for batch in drawn[0] if len(batch.tokens.unique()) > 1]
    assert mixed
    for batch in mixed:
        for row, (tokens, frames) in enumerate(zip(batch.tokens, batch.frames)):
            assert not batch.acoustic[row, tokens:].any() and not batch.sure[row, frames:].any()
            assert (batch.phones[row, -(-tokens // 2) :] == -100).all() and batch.sure[row, :frames].all()


@pytest.mark.slow
def test_designs_on_one_extractor_make_the_table_and_refuse_another_budget(corpus, weights, tmp_path, monkeypatch):
    plan = planned(corpus, tmp_path, weights[0], "full", "per frame")
    text, picture = run(plan)[0].read_text(), tmp_path / "gates.png"
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| full", "| per frame"))]
    assert len(rows) == 4 and all(len(row) == 3 + len(ablations.COLUMNS) for row in rows) and picture.exists()
    assert rows[0][3] != rows[1][3] and "phones" in text and "processor s" in text
    monkeypatch.setattr(FrozenExtractorRuns, "train", None)
    assert run(plan)[0].read_text() == text, "what is scored is not run again"
    with pytest.raises(HiSTalkError, match="full-0.*name another --out"):
        run(planned(corpus, tmp_path, weights[1], "full"))


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
    speakers, hours = learning_curves.by_speakers(clips, seed), learning_curves.by_hours(clips, seed)
    assert list(speakers) == [1, 4, 16, 64, 202] and list(hours) == [0.05, 0.2, 0.8, 2.0]
    heard = [{clips[i].speaker for i in chosen} for chosen in speakers.values()]
    assert [len(people) for people in heard] == list(speakers) and all(a < b for a, b in zip(heard, heard[1:]))
    for chosen in speakers.values():
        assert sum(clips[i].seconds for i in chosen) == pytest.approx(3600 * learning_curves.SPOKEN, abs=60)
    for small_set, large in zip(list(hours.values()), list(hours.values())[1:]):
        assert set(small_set) < set(large)
    assert all(clips[i].source != "flite" for chosen in (*speakers.values(), *hours.values()) for i in chosen)
    assert not np.array_equal(hours[0.2], learning_curves.by_hours(clips, seed + 1)[0.2])


@pytest.mark.slow
def test_curves_complete_and_resume(corpus, weights, tmp_path, monkeypatch):
    plan = planned(corpus, tmp_path, weights[0], "full")
    table, picture = learning_curves.run(plan, ["speakers", "hours"])
    text = table.read_text()
    assert "By speakers" in text and text.count(" | 1 | 0.00 | ") == 2 and picture.stat().st_size > 5000
    monkeypatch.setattr(FrozenExtractorRuns, "train", None)
    assert learning_curves.run(plan, ["speakers", "hours"])[0].read_text() == text
    with pytest.raises(HiSTalkError, match="synthetic"):
        learning_curves.run(plan, ["mixture"])


def test_a_mixture_draws_people_by_their_share():
    clips = spoken()
    people = np.array([clip.source != "flite" for clip in clips])
    for share, chance in learning_curves.by_mixture(clips).items():
        assert chance[people].sum() == pytest.approx(share) and chance.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong", ["--curve hours", "--acoustic-from w --minutes 3", "--acoustic-from w --curve hours --variant full"]
)
def test_options_that_do_not_go_together_are_refused(wrong, tmp_path):
    done = CliRunner().invoke(main, ["experiments", "--corpus", str(tmp_path), "--out", str(tmp_path), *wrong.split()])
    assert done.exit_code == 2 and "--acoustic-from" in done.output
