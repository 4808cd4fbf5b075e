"""Speech in, a moving mouth out, with the bundled weights."""

import time

import numpy as np
import pytest
import torch

from histalk_blender.errors import HiSTalkError
from histalk_blender.head.head import lip_opening
from histalk_blender.synthesis import Cancelled, synthesize, synthesize_many
from histalk_blender.synthesis.windows import MAX_PADDING, batches, overlap_add_windows


def test_the_stored_motion_is_what_the_weights_make(performance, spoken):
    """Else tests/data/speech_motion.npy is stale: np.save it from performance.motion.weights."""
    np.testing.assert_allclose(performance.displacements, spoken.displacements(), atol=2e-5)


def test_the_mouth_moves_with_the_speech_and_rests_before_it(performance, speech, head):
    T = performance.displacements.shape[0]
    assert T == round(len(speech) / 16_000 * 30)
    opening = lip_opening(performance.landmark_positions)
    assert np.ptp(opening) > 0.004
    level = np.sqrt([np.mean(speech[round(i * 533.33) : round(i * 533.33) + 534] ** 2) for i in range(T)])
    assert np.corrcoef(opening, np.sqrt(level))[0, 1] > 0.3
    assert np.isfinite(performance.displacements).all()


LOWER_LIP = [55, 56, 57, 58, 59, 65, 66, 67]  # of the 68 landmarks


@pytest.mark.parametrize("window_s", [50.4, 3.0])
def test_landmarks_that_were_not_edited_give_the_same_dense_motion(speech, model, head, window_s):
    options = {"window_s": window_s, "overlap_s": 1.0}
    performance = synthesize(speech, model, head, **options)
    offsets = np.zeros_like(performance.sparse_displacements)
    again = synthesize(speech, model, head, landmark_offsets=offsets, **options)
    np.testing.assert_array_equal(again.motion.weights, performance.motion.weights)


def test_the_dense_lower_lip_follows_edited_landmarks_where_they_were_edited(performance, speech, model, head):
    offsets = np.zeros_like(performance.sparse_displacements)
    offsets[60:70, LOWER_LIP, 2] = -0.003
    edited = synthesize(speech, model, head, landmark_offsets=offsets)
    np.testing.assert_allclose(
        edited.sparse_displacements - performance.sparse_displacements, offsets, atol=1e-7, rtol=0
    )
    moved = edited.landmark_positions - performance.landmark_positions  # read off the dense mesh
    down = -moved[:, LOWER_LIP, 2].mean(1)
    # The bundled weights follow 3 mm by 0.03 mm only: S2D reads speech beside the landmarks.
    assert down[60:70].min() > 0.00001
    assert np.abs(down[:55]).max() < 0.3 * down[60:70].mean() and np.abs(down[75:]).max() < 0.3 * down[60:70].mean()
    assert np.abs(edited.displacements - performance.displacements)[130:].max() < 1e-6


def test_landmark_offsets_of_another_length_are_refused(speech, model, head):
    with pytest.raises(ValueError, match=r"\[197, 68, 3\]"):
        synthesize(speech, model, head, landmark_offsets=np.zeros((10, 68, 3), np.float32))


def test_the_scalp_stays_where_it_is(performance, head):
    top = head.vertices[:, 2] > head.landmarks(head.vertices)[19, 2] + 0.06
    assert np.abs(performance.displacements[:, top]).max() < 0.0005


def test_landmarks_are_read_off_the_dense_mesh(performance, head):
    expected = head.landmarks(head.vertices + performance.displacements[10])
    np.testing.assert_allclose(performance.landmark_positions[10], expected, atol=1e-6)


def test_gates_are_open_intervals(performance):
    assert 0 < performance.gates.min() and performance.gates.max() < 1


def test_a_silent_clip_is_a_resting_face(model, head):
    quiet = synthesize(np.zeros(16_000, np.float32), model, head)
    assert quiet.displacements.shape == (30, len(head.vertices), 3)
    assert not quiet.displacements.any()


@pytest.mark.parametrize(
    "seconds, size", [(23, {"window_s": 14.4}), (20, {"window_s": 9.6, "overlap_s": 4.8}), (80, {})]
)
def test_windowed_and_whole_agree_to_a_quarter_of_a_millimetre_everywhere(speech, model, head, seconds, size):
    long = np.concatenate([speech] * 15)[: seconds * 16_000]
    windowed = synthesize(long, model, head, **size).displacements
    whole = synthesize(long, model, head, window_s=99.0).displacements
    error = np.linalg.norm(windowed - whole, axis=-1)
    assert 0 < error.max() < 0.00025


@pytest.mark.parametrize("frames", [1, 1512, 2268, 2269, 2592, 3563, 3565, 20_000])
def test_windows_cover_every_frame_once_and_start_on_the_network_s_period(frames):
    total, before, processed = np.zeros(frames), 0, 0
    for start, end, weight in overlap_add_windows(frames, 30.0, 50.4, 7.2, 144):
        assert start % 144 == 0 and end - start <= 2268 and (start == 0 or start < before)
        assert end - start >= min(frames, 972), "a last window has context"
        total[start:end] += weight
        before, processed = end, processed + end - start
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert processed <= frames * 1.17, "no more is processed twice than the overlap needs"


def test_batches_hold_little_padding():
    random = np.random.default_rng(0)
    lengths = sorted(random.lognormal(1.2, 0.7, 128), reverse=True)
    for size in (1, 8, 32, 128):
        parts = list(batches(lengths, size))
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(128))
        for part in parts:
            batch = lengths[part]
            assert len(batch) <= size and 1 - sum(batch) / (len(batch) * batch[0]) <= MAX_PADDING
    assert len(list(batches(lengths, 32))) < 25, "and many are still batched"


def test_progress_reaches_one_and_never_falls(speech, model, head):
    shares = []
    synthesize(np.concatenate([speech] * 2), model, head, window_s=6.0, overlap_s=2.0, progress=shares.append)
    assert shares[-1] == 1.0 and shares == sorted(shares) and len(shares) > 2


def test_cancel_stops_it(speech, model, head):
    with pytest.raises(Cancelled):
        synthesize(speech, model, head, cancelled=lambda: True)


def test_saved_names_are_the_documented_ones(performance, tmp_path):
    performance.save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as data:
        assert set(data.files) == {
            "displacements",
            "neutral_vertices",
            "sparse_displacements",
            "level_displacements",
            "gates",
            "landmark_positions",
            "neutral_landmarks",
            "fps",
            "topology",
        }
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_saving_at_another_time_makes_an_equal_file(performance, tmp_path, monkeypatch):
    performance.save(tmp_path / "a.npz")
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    performance.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_folder_that_is_not_there_is_named(performance, tmp_path):
    with pytest.raises(HiSTalkError, match="cannot be written"):
        performance.save(tmp_path / "none" / "p.npz")


def test_clips_of_a_batch_move_as_each_does_alone(speech, model, head):
    clips = [
        speech[:30_000],
        speech[10_000:],
        np.zeros(8000, np.float32),
        np.tile(speech, 2)[:150_000],
        speech[5000:9000],
    ]
    options = {"window_s": 6.0, "overlap_s": 2.0}
    together = synthesize_many(clips, model, head, batch_size=3, **options)
    for clip, one in zip(clips, together):
        alone = synthesize(clip, model, head, **options)
        assert one.motion.weights.shape == alone.motion.weights.shape
        for name in ("sparse_displacements", "level_displacements", "gates"):
            np.testing.assert_allclose(getattr(one, name), getattr(alone, name), atol=1e-5)
        np.testing.assert_allclose(one.displacements, alone.displacements, atol=1e-6)


@torch.no_grad()
def test_half_precision_is_within_a_fiftieth_of_a_millimetre(speech, model, head):
    """As on CUDA, reckoned here; the 99.9th percentile over all vertices and frames."""
    single = synthesize(speech, model, head).displacements
    model.acoustic.half_on = ("cpu",)
    try:
        half = synthesize(speech, model, head).displacements
    finally:
        model.acoustic.half_on = ("cuda",)
    error = np.linalg.norm(half - single, axis=-1)
    assert 0 < np.quantile(error, 0.999) < 0.00002
