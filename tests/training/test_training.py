"""A step teaches, an interrupted run resumes, and batches keep sound and labels together."""

import dataclasses
import json
from itertools import cycle, islice

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import TINY, tiny_options

from histalk_blender.cli import training as cli
from histalk_blender.cli.main import main
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import lip_opening
from histalk_blender.network import PRESETS, HiSTalk, load_checkpoint, wav2vec2_small, whisper_tiny
from histalk_blender.network.model import HiSTalkComponents
from histalk_blender.synthesis import WEIGHTS
from histalk_blender.training.corpus.clips import load_clips
from histalk_blender.training.examples.augment import augment, with_formants
from histalk_blender.training.examples.batches import DOUBTED, SpeechBatches
from histalk_blender.training.examples.motion_space import first_basis, motion_space
from histalk_blender.training.experiments.learning_curves import CURVES
from histalk_blender.training.loop import train
from histalk_blender.training.losses import LOSSES, LossInputs, compute_losses
from histalk_blender.training.pretraining import contrastive
from histalk_blender.training.pretraining.distillation import distill
from histalk_blender.training.pretraining.mel import log_mel, mel_pretrain
from histalk_blender.training.teacher.phones import ARPABET


@pytest.fixture(scope="module")
def clips(corpus):
    return load_clips(corpus, {"train"})


@pytest.fixture(scope="module")
def space(head, clips):
    return motion_space(head, first_basis(head, clips, 64, seed=0))


@pytest.mark.slow
def test_an_interrupted_run_resumes_and_ends_in_a_checkpoint(corpus, tmp_path):
    train(tiny_options(corpus, tmp_path, 2))
    first = torch.load(tmp_path / "state.pt", weights_only=True)
    (tmp_path / ".histalk-00000000-1-0123456789abcdef.part.pt").write_bytes(b"cut off while writing")
    path = train(tiny_options(corpus, tmp_path, 3))
    second = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (first["step"], second["step"]) == (2, 3) and second["elapsed"] > first["elapsed"]
    assert second["heard"] == pytest.approx(2.0 * second["step"]), "the name of the first version, whose runs resume"
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert [row["step"] for row in rows] == [2, 3]
    assert all(np.isfinite(list(row.values())).all() and LOSSES.keys() <= row.keys() for row in rows)
    train(tiny_options(corpus, tmp_path, 3))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 3, "a finished run is left alone"
    with torch.inference_mode():
        assert load_checkpoint(path)(torch.randn(1, 16_000)).displacements.isfinite().all()


@pytest.mark.slow
def test_a_run_starts_from_given_weights(corpus, tmp_path, model):
    kept = tiny_options(corpus, tmp_path, 1, changes=(), learning_rate=0.0, init=WEIGHTS)
    own = load_checkpoint(train(kept)).state_dict()
    for name, value in model.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(own[name], value)
    with pytest.raises(HiSTalkError, match="nowhere"):
        train(dataclasses.replace(kept, out=tmp_path / "other", init=tmp_path / "nowhere.safetensors"))


def test_a_new_loss_is_a_function_and_a_line_of_the_list(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(LOSSES, "constant", (0.5, lambda inputs: 3 + 0 * inputs.out.fine.sum()))
    train(tiny_options(corpus, tmp_path, 1))
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert row["constant"] == pytest.approx(1.5)


# By how much 40 steps must bring the error down, and what takes them.
PRETRAINING = {
    "bands": (0.9, lambda extractor, teacher, waves: mel_pretrain(extractor, waves, 10.0)),
    "distillation": (0.8, lambda extractor, teacher, waves: distill(extractor, teacher, waves, 10.0, 1e-3)),
    "contrast": (
        0.97,
        lambda extractor, teacher, waves: contrastive.contrastive_pretrain(extractor, waves, 10.0, 3e-3),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", PRETRAINING)
def test_a_waveform_extractor_learns_without_labels(way, clips, monkeypatch):
    share, pretrain = PRETRAINING[way]
    waves = [wave for wave, *_ in islice(SpeechBatches(clips, (1.0,), 4.0, 30.0, 0), 4)]
    small = {"conv_dim": (64, 64, 64), "acoustic_width": 64, "acoustic_layers": 1, "acoustic_feed_forward": 128}
    teacher = HiSTalk(dataclasses.replace(whisper_tiny(10), **dict(TINY))).acoustic
    # transformers multiplies every code vector out: with wav2vec2-base's, a step takes half a second.
    monkeypatch.setattr(contrastive, "QUANTISER", dict.fromkeys(contrastive.QUANTISER, 32))
    monkeypatch.setattr(contrastive, "NEGATIVES", 20)

    def error(steps):
        torch.manual_seed(0)
        np.random.seed(0)  # which transformers draws masks from
        extractor = HiSTalk(dataclasses.replace(wav2vec2_small(10), **small)).acoustic
        names = set(extractor.state_dict())
        found = pretrain(extractor, teacher, islice(cycle(waves), steps))
        assert set(extractor.state_dict()) == names
        return found

    assert error(40) < share * error(1)


def test_the_command_knows_all_presets_and_refuses_starts_they_do_not_have(corpus, tmp_path):
    assert cli.PRESETS == tuple(PRESETS) and cli.CURVES == tuple(CURVES)
    wrong = {
        "--preset wav2vec2-small --acoustic somewhere": "no pre-trained encoder",
        "--preset whisper-tiny --contrastive": "`wav2vec2-small` alone",
        "--preset wav2vec2-base": "with --acoustic",
        "--acoustic nowhere": "No Whisper encoder at 'nowhere'",
        "--acoustic-from nowhere": "No weights at 'nowhere'",
    }
    for flags, message in wrong.items():
        done = CliRunner().invoke(main, ["train", "--corpus", str(corpus), "--out", str(tmp_path), *flags.split()])
        assert done.exit_code == 2 and message in done.output, flags


def test_half_precision_trains_too(corpus, tmp_path):
    train(tiny_options(corpus, tmp_path, 2, bfloat16=True))
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert np.isfinite(list(row.values())).all()


def test_training_without_a_corpus_names_the_way_to_make_one(tmp_path):
    with pytest.raises(HiSTalkError, match="corpus.build"):
        train(tiny_options(tmp_path, tmp_path / "out", 1))


def test_batches_keep_sound_and_phones_together(clips):
    wave, controls, phones, sure = next(iter(SpeechBatches(clips, (4.0,), 16.0, 30.0, seed=3)))
    assert sure.shape == (4, 120) and sure.min() == 1
    assert wave.shape == (4, 64_000) and controls.shape == (4, 120, 52) and phones.shape == (4, 101)
    level = wave.unfold(1, 640, 640).square().mean(-1)
    silent = phones[:, : level.shape[1]] == ARPABET.index("SIL")
    assert level[~silent].median() > 10 * level[silent].median()
    assert controls.min() >= 0 and controls.max() <= 1 and controls.std() > 0.01


def test_what_the_labels_do_not_know_is_marked(clips):
    doubted = dataclasses.replace(clips[0], unsure=np.array([[0.0, 1e3]], np.float32))
    _, _, phones, sure = next(iter(SpeechBatches([doubted], (4.0,), 8.0, 30.0, seed=3)))
    assert (phones == DOUBTED).float().mean() > 0.7 and sure.mean() < 0.3


def test_batches_are_the_same_for_a_seed_and_others_for_another(clips):
    waves = [next(iter(SpeechBatches(clips, (2.0, 4.0), 8.0, 30.0, seed)))[0] for seed in (1, 1, 2)]
    assert torch.equal(waves[0], waves[1])
    assert not torch.equal(waves[0], waves[2]), "also where they are of equal size"


def test_augmentation_leaves_the_sound_where_it_was(speech, random):
    for _ in range(20):
        changed = augment(speech, 16_000, random)
        assert changed.shape == speech.shape and np.isfinite(changed).all()
        envelopes = [np.abs(x[: len(x) // 160 * 160]).reshape(-1, 160).mean(1) for x in (speech, changed)]
        envelopes = [(e - e.mean()) / e.std() for e in envelopes]
        lags = [np.mean(envelopes[0] * np.roll(envelopes[1], -lag)) for lag in range(-10, 11)]
        assert abs(int(np.argmax(lags)) - 10) <= 2


def test_formants_move_and_pitch_and_tempo_stay():
    time = np.arange(16_000) / 16_000
    pulses = np.sum([np.cos(2 * np.pi * 125 * k * time) for k in range(1, 60)], 0)
    size = np.exp(-(((np.fft.rfftfreq(16_000, 1 / 16_000) - 1000) / 300) ** 2))
    voice = np.fft.irfft(np.fft.rfft(pulses) * size).astype(np.float32)
    np.testing.assert_allclose(with_formants(voice, 1.0), voice, atol=1e-4)
    spectrum = np.abs(np.fft.rfft(with_formants(voice, 1.25)))[:3000]
    assert 1150 < np.average(np.arange(3000), weights=spectrum**2) < 1350
    assert set(np.argsort(spectrum)[-3:] % 125) <= {0, 1, 124}


def perfect(space, controls):
    """An output that equals the target."""
    target = controls @ space.from_controls
    sparse = torch.einsum("btk,klc->btlc", target, space.landmarks)
    logits = torch.zeros(*controls.shape[:1], 5, len(ARPABET))
    return HiSTalkComponents(target, torch.zeros_like(target), sparse, None, None, logits)


def test_the_motion_space_spans_the_teacher(head, clips, space):
    weights = torch.tensor(np.asarray(clips[0].controls[:20], np.float32))
    dense = torch.einsum("tk,kvc->tvc", weights @ space.from_controls, space.basis).numpy()
    np.testing.assert_allclose(dense, head.pose(weights.numpy()), atol=2e-5)
    marks = torch.einsum("tk,klc->tlc", weights @ space.from_controls, space.landmarks).numpy()
    np.testing.assert_allclose(marks, head.landmarks(head.pose(weights.numpy())), atol=2e-5)


def test_losses_vanish_at_the_teacher_and_punish_an_open_bilabial_most(head, clips, space):
    weights = torch.tensor(np.asarray(clips[0].controls, np.float32))[None]
    phones, sure = torch.zeros(1, 5, dtype=torch.long), torch.ones(weights.shape[:2])

    def losses(predicted, phones=phones, sure=sure):
        return compute_losses(LossInputs(perfect(space, predicted), weights, phones, space, sure))

    best = losses(weights)
    assert all(float(best[name]) < 1e-6 for name in ("dense", "sparse", "velocity", "opening"))
    doubted = losses(weights * 0, phones - 100, sure * 0)
    assert float(sum(doubted[name] for name in doubted if name != "phones")) == 0
    gap = lip_opening(head.landmarks(head.vertices + head.pose(weights[0].numpy())))
    closed, wide = int(gap.argmin()), int(gap.argmax())

    def opening_loss(frame):
        wrong = weights.clone()
        wrong[0, frame] = 0
        wrong[0, frame, ARKIT_BLENDSHAPES.index("jawOpen")] = 0.3
        return float(losses(wrong)["opening"])

    never_open = losses(weights * 0)
    assert float(never_open["closed"]) > 2 * float(best["closed"])
    assert opening_loss(closed) > 2 * opening_loss(wide) > 0


def test_losses_that_the_data_cannot_teach_are_off(clips, space):
    weights = torch.tensor(np.asarray(clips[0].controls, np.float32))[None]
    inputs = LossInputs(
        perfect(space, weights * 0), weights, torch.zeros(1, 5, dtype=torch.long), space, torch.ones(weights.shape[:2])
    )
    found, rest = compute_losses(inputs, {"phones", "dense"}), compute_losses(inputs)
    assert [name for name in found if found[name] != rest[name]] == ["dense", "phones"]
    assert found["phones"] == found["dense"] == 0 < rest["dense"]


def test_log_mel_bands_follow_pitch():
    time = torch.arange(16_000) / 16_000
    low, high = (log_mel(torch.sin(2 * torch.pi * f * time)[None], 16_000, 320)[0] for f in (300, 3000))
    assert low.shape == (51, 80) and low.mean(0).argmax() < high.mean(0).argmax()
