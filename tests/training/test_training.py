"""A step teaches, a killed run goes on, and no batch lies about its labels."""

import dataclasses
import json
from itertools import cycle, islice

import numpy as np
import pytest
import torch

from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_UNITS
from histalk_blender.head.head import lip_opening
from histalk_blender.network import HiSTalk, load_checkpoint, wav2vec2_small, whisper_tiny
from histalk_blender.synthesis import WEIGHTS
from histalk_blender.training.examples.augment import augment, with_formants
from histalk_blender.training.examples.batches import DOUBTED, SpeechBatches, load_clips
from histalk_blender.training.loop import TrainOptions, first_basis, motion_space, train
from histalk_blender.training.losses import LossWeights, losses
from histalk_blender.training.pretraining.warm_start import contrast, follow, hear_bands, log_mel
from histalk_blender.training.teacher.phones import ARPABET


@pytest.fixture(scope="module")
def clips(corpus):
    return load_clips(corpus, {"train"})


@pytest.fixture(scope="module")
def space(head, clips):
    return motion_space(head, first_basis(head, clips, 64, seed=0))


def options(corpus, out, steps):
    return TrainOptions(corpus, out, steps=steps, warm_minutes=0, lengths=(2.0,), seconds=4.0, workers=0, device="cpu")


def test_a_killed_run_goes_on_and_ends_in_a_checkpoint_that_speaks(corpus, tmp_path):
    train(options(corpus, tmp_path, 2))
    first = torch.load(tmp_path / "state.pt", weights_only=True)
    (tmp_path / ".histalk-00000000-1-0123456789abcdef.part.pt").write_bytes(b"cut off while writing")
    path = train(options(corpus, tmp_path, 3))
    second = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (first["step"], second["step"]) == (2, 3) and second["elapsed"] > first["elapsed"]
    assert second["heard"] == pytest.approx(4.0 * second["step"])
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert [row["step"] for row in rows] == [2, 3]
    assert all(np.isfinite(list(row.values())).all() and "opening" in row for row in rows)
    train(options(corpus, tmp_path, 3))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 3, "a finished run is left alone"
    with torch.inference_mode():
        assert load_checkpoint(path)(torch.randn(1, 16_000)).displacements.isfinite().all()


def test_a_run_starts_from_given_weights(corpus, tmp_path, model):
    kept = TrainOptions(
        corpus, tmp_path, steps=1, learning_rate=0.0, init=WEIGHTS, lengths=(2.0,), seconds=4.0, workers=0, device="cpu"
    )
    own = load_checkpoint(train(kept)).state_dict()
    for name, value in model.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(own[name], value)
    with pytest.raises(HiSTalkError, match="nowhere"):
        train(dataclasses.replace(kept, out=tmp_path / "other", init=tmp_path / "nowhere.safetensors"))


@pytest.mark.parametrize(("road", "share"), [("bands", 0.9), ("follow", 0.8), ("contrast", 0.97)])
def test_a_waveform_extractor_learns_to_hear_without_labels(road, share, clips):
    waves = [wave for wave, *_ in islice(SpeechBatches(clips, (2.0,), 4.0, 30.0, 0), 4)]
    leader = HiSTalk(dataclasses.replace(whisper_tiny(10), acoustic_layers=1)).acoustic

    def error(steps):
        torch.manual_seed(0)
        np.random.seed(0)  # which transformers draws masks from
        extractor = HiSTalk(dataclasses.replace(wav2vec2_small(10), acoustic_layers=1)).acoustic
        names = set(extractor.state_dict())
        sounds = islice(cycle(waves), steps)
        if road == "bands":
            found = hear_bands(extractor, sounds, 10.0)
        elif road == "follow":
            found = follow(extractor, leader, sounds, 10.0, 1e-3)
        else:
            found = contrast(extractor, sounds, 10.0, 1e-3)
        assert set(extractor.state_dict()) == names
        return found

    assert error(40) < share * error(1)


def test_half_precision_trains_too(corpus, tmp_path):
    train(dataclasses.replace(options(corpus, tmp_path, 2), half=True))
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert np.isfinite(list(row.values())).all()


def test_training_without_a_corpus_says_how_to_make_one(tmp_path):
    with pytest.raises(HiSTalkError, match="corpus.build"):
        train(options(tmp_path, tmp_path / "out", 1))


def test_batches_keep_sound_and_phones_together(clips):
    wave, units, phones, sure = next(iter(SpeechBatches(clips, (4.0,), 16.0, 30.0, seed=3)))
    assert sure.shape == (4, 120) and sure.min() == 1
    assert wave.shape == (4, 64_000) and units.shape == (4, 120, 52) and phones.shape == (4, 101)
    level = wave.unfold(1, 640, 640).square().mean(-1)
    silent = phones[:, : level.shape[1]] == ARPABET.index("SIL")
    assert level[~silent].median() > 10 * level[silent].median()
    assert units.min() >= 0 and units.max() <= 1 and units.std() > 0.01


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


def perfect(space, units):
    """An output that says exactly what the teacher says."""
    from histalk_blender.network.model import HiSTalkComponents

    target = units @ space.from_units
    sparse = torch.einsum("btk,klc->btlc", target, space.landmarks)
    logits = torch.zeros(*units.shape[:1], 5, len(ARPABET))
    return HiSTalkComponents(target, torch.zeros_like(target), sparse, None, None, logits)


def test_the_motion_space_spans_the_teacher(head, clips, space):
    units = torch.tensor(np.asarray(clips[0].units[:20], np.float32))
    dense = torch.einsum("tk,kvc->tvc", units @ space.from_units, space.basis).numpy()
    np.testing.assert_allclose(dense, head.pose(units.numpy()), atol=2e-5)
    marks = torch.einsum("tk,klc->tlc", units @ space.from_units, space.landmarks).numpy()
    np.testing.assert_allclose(marks, head.landmarks(head.pose(units.numpy())), atol=2e-5)


def test_losses_vanish_at_the_teacher_and_punish_an_open_bilabial_most(head, clips, space):
    units = torch.tensor(np.asarray(clips[0].units, np.float32))[None]
    phones = torch.zeros(1, 5, dtype=torch.long)
    best = losses(perfect(space, units), units, phones, space, LossWeights())
    assert all(float(best[name]) < 1e-6 for name in ("dense", "sparse", "velocity", "opening"))
    doubted = losses(perfect(space, units * 0), units, phones - 100, space, LossWeights(), torch.zeros(units.shape[:2]))
    assert float(sum(doubted[name] for name in doubted if name != "phones")) == 0
    gap = lip_opening(head.landmarks(head.vertices + head.pose(units[0].numpy())))
    closed, wide = int(gap.argmin()), int(gap.argmax())

    def opening_loss(frame):
        wrong = units.clone()
        wrong[0, frame] = units[0, frame] * 0
        wrong[0, frame, ARKIT_UNITS.index("jawOpen")] = 0.3
        return float(losses(perfect(space, wrong), units, phones, space, LossWeights())["opening"])

    wrong = units * 0  # a mouth that never opens
    assert float(losses(perfect(space, wrong), units, phones, space, LossWeights())["closed"]) > 2 * float(
        best["closed"]
    )
    assert opening_loss(closed) > 2 * opening_loss(wide) > 0


def test_log_mel_bands_follow_pitch():
    time = torch.arange(16_000) / 16_000
    low, high = (log_mel(torch.sin(2 * torch.pi * f * time)[None], 16_000, 320)[0] for f in (300, 3000))
    assert low.shape == (51, 80) and low.mean(0).argmax() < high.mean(0).argmax()
