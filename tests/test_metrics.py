"""Metrics against cases worked out by hand."""

import numpy as np
import pytest

from histalk_blender.training.evaluation.metrics import (
    bites,
    closures,
    fdd,
    hushed,
    jitter,
    lower_lip_drop,
    lrp,
    lve,
    misalignment,
    phone_errors,
    quiet_frames,
    silence,
)
from histalk_blender.training.teacher.phones import ARPABET


def test_lve_is_the_mean_of_the_largest_squared_lip_error():
    truth = np.zeros((2, 3, 3))
    predicted = truth.copy()
    predicted[0, 1] = [3, 4, 0]
    predicted[1, 0] = [1, 0, 0]
    predicted[1, 2] = [100, 0, 0]
    assert lve(truth, predicted, np.array([0, 1])) == pytest.approx((25 + 1) / 2)


def test_lips_are_readable_where_none_is_off_by_a_tenth_of_the_mouth():
    truth = np.zeros((4, 2, 3))
    predicted = truth.copy()
    predicted[:, 1, 0] = [0.0, 4.9, 5.1, 50.0]
    assert lrp(truth, predicted, np.array([0, 1]), mouth_width=50.0) == 0.5
    assert lrp(truth, predicted, np.array([0]), mouth_width=50.0) == 1.0


def test_fdd_is_signed():
    truth = np.zeros((2, 1, 3))
    truth[1, 0, 0] = 2.0
    still = np.zeros_like(truth)
    assert fdd(truth, still, np.array([0])) == pytest.approx(2.0)
    assert fdd(still, truth, np.array([0])) == pytest.approx(-2.0)


def test_fdd_takes_the_spread_of_squares_a_vertex_at_a_time():
    truth = np.zeros((4, 2, 3))
    truth[:, 0, 1] = [1, -1, 1, -1]  # its square stands still
    truth[:, 1] = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]  # squares 0, 1, 2, 3: spread sqrt(5 / 4)
    assert fdd(truth, np.zeros_like(truth), np.array([0, 1])) == pytest.approx(np.sqrt(1.25) / 2)


def test_jitter_is_the_third_difference():
    motion = np.zeros((6, 1, 3))
    motion[:, 0, 0] = np.arange(6) ** 3
    assert jitter(motion) == pytest.approx(6.0)
    motion[:, 0, 0] = np.arange(6) ** 2
    assert jitter(motion) == pytest.approx(0.0, abs=1e-9)


def test_closures_are_counted_as_stated():
    opening = np.full(60, 0.01)
    opening[30] = 0.0  # 1.0 s
    opening[45] = 0.0  # 1.5 s, in a vowel
    phones = [["SIL", 0, 0.2], ["AA", 0.2, 1.02], ["P", 1.02, 1.1], ["AA", 1.1, 1.8], ["M", 1.8, 2.0]]
    assert tuple(closures(opening, phones)) == (1, 2, 1, 2)
    opening[45] = 0.01
    opening[2:4] = 0.0  # in silence: no stretch
    assert tuple(closures(opening, phones)) == (1, 2, 1, 1)


def test_a_lower_lip_at_the_teeth_meets_f_and_v():
    neutral = np.zeros((68, 3))
    neutral[27, 2], neutral[8, 2] = 0.1, -0.1
    landmarks = np.tile(neutral, (60, 1, 1))
    landmarks[:, 65:68, 2] -= 0.008
    landmarks[30, 65:68, 2] += 0.0065  # 1.5 mm below rest at 1.0 s
    drop = lower_lip_drop(landmarks, neutral)
    assert drop[[0, 30]] == pytest.approx([0.008, 0.0015])
    phones = [["AA", 0, 0.95], ["F", 0.95, 1.05], ["AA", 1.05, 1.8], ["V", 1.8, 2.0]]
    assert tuple(bites(drop, phones)) == (1, 2, 1, 1)


def test_the_teacher_meets_its_own_labiodentals_and_vowels_do_not(head):
    from histalk_blender.training.teacher.coarticulation import arkit_track

    phones = [("SIL", 0, 0.3), ("AA", 0.3, 0.6), ("F", 0.6, 0.72), ("AA", 0.72, 1.1), ("SIL", 1.1, 1.4)]
    neutral = head.landmarks(head.vertices)
    drop = lower_lip_drop(neutral + head.landmarks(head.pose(arkit_track(phones, 1.4))), neutral)
    found, total, justified, stretches = bites(drop, phones)
    assert (found, total) == (1, 1) and 1 <= justified <= stretches <= 3


def test_a_late_track_is_late_by_its_delay():
    time = np.arange(120)
    track = np.sin(time / 4.0) + 0.5 * np.sin(time / 7.0 + 1)
    late, count = misalignment(track, np.roll(track, 3), fps=30.0)
    assert count >= 8 and late / count == pytest.approx(3 / 30, abs=0.012)
    assert misalignment(track, 0.3 * track + 5, fps=30.0) == (0.0, count), "size and level do not matter"
    assert misalignment(track, np.zeros(120), fps=30.0) == (0.0, 0)


def test_a_held_peak_has_one_extremum_and_a_ripple_none():
    track = np.array([0, 0, 5, 5.2, 5, 0.0, 0.1, 0.0, 0.1, 4, 0])
    _, count = misalignment(track, track, fps=30.0)
    assert count == 3  # high, low, high


def test_silence_is_counted_away_from_sound():
    def at(*phones):
        return np.flatnonzero(quiet_frames(phones, 20, fps=10.0)).tolist()

    said = ("AA", 0.5, 1.0)
    assert at(("SIL", 0, 0.5), said, ("SIL", 1.0, 2.0)) == [0, 1, 2, 3, *range(12, 20)]
    assert at(said) == [0, 1, 2, 3, *range(12, 20)], "outside all phones nobody speaks"
    assert at(said, ("AA", 1.8, 2.0)) == [0, 1, 2, 3], "a gap between two phones is not known to be quiet"
    assert at(said, ("SIL", 1.0, 1.3), ("AA", 1.3, 2.0)) == [0, 1, 2, 3], "a short pause has no frame far enough"
    assert at(("AA", 0, 2.0)) == [] and at(("SIL", 0, 2.0)) == list(range(20))


def test_silence_is_the_mean_motion_of_the_eight_inner_lip_landmarks():
    neutral = np.random.default_rng(0).normal(size=(68, 3))
    landmarks = np.tile(neutral, (4, 1, 1))
    landmarks[1, 60] += [3, 4, 0]
    landmarks[1, 67] += [0, 0, 3]
    landmarks[1, 59] += 100  # an outer lip
    landmarks[3] += 100  # speaks
    assert silence(landmarks, neutral, np.array([1, 1, 1, 0], bool)) == (pytest.approx((5 + 3) / 8), 3)
    assert silence(landmarks, neutral, np.zeros(4, bool)) == (0.0, 0)


def test_errors_are_summed_by_phone():
    truth, predicted = np.zeros(10), np.array([1, 2, -3, 4, 5, 6, -7, 8, 9, 10.0])
    phones = [("AA", 0, 0.3), ("B", 0.3, 0.45), ("T", 0.45, 0.48), ("AA", 0.6, 0.8), ("SIL", 0.8, 1.0)]
    sums = phone_errors(truth, predicted, phones, fps=10.0)
    assert sums[ARPABET.index("AA")].tolist() == [2, 5, 1 + 2 - 3 - 7 + 8, 1 + 2 + 3 + 7 + 8]
    assert sums[ARPABET.index("B")].tolist() == [1, 2, 9, 9]
    assert sums[ARPABET.index("SIL")].tolist() == [1, 2, 19, 19]
    assert not sums[ARPABET.index("T")].any(), "it lies between two frames"
    assert sums[:, 0].sum() == 4


def test_loud_silence_is_none():
    tone = np.sin(np.arange(16_000))
    tone[8_000:] *= 0.03
    assert hushed(tone, 10, fps=10.0).tolist() == [False] * 6 + [True] * 4, (
        "the sixth frame's window reaches the loud half"
    )
