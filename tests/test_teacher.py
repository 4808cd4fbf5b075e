"""The teacher moves the real head as a phonetician would expect."""

import numpy as np
import pytest

from histalk_blender.head import lip_opening, load_head
from histalk_blender.training.teacher import MAX_SPEED, unit_track

FPS = 30.0


def spoken(*middle, length=0.09):
    """[SIL, AA, *middle, AA, SIL] with even times, and the middle's span."""
    phones, at = [["SIL", 0.0, 0.5]], 0.5
    for phone in ("AA", *middle, "AA"):
        phones.append([phone, at, at + length])
        at += length
    return [*phones, ["SIL", at, at + 0.8]], (0.5 + length, at - length), at + 0.8


def landmarks(phones, seconds):
    head = load_head()
    return head.landmarks(head.vertices + head.pose(unit_track(phones, seconds, fps=FPS)))


def frames(span):
    return slice(round(span[0] * FPS), round(span[1] * FPS) + 1)


@pytest.fixture(scope="module")
def rest():
    head = load_head()
    return head.landmarks(head.vertices)


@pytest.mark.parametrize("phone", ["P", "B", "M"])
@pytest.mark.parametrize("length", [0.04, 0.09, 0.15])
def test_bilabials_close_the_lips_however_short(phone, length, rest):
    phones, span, seconds = spoken(phone, length=length)
    opening = lip_opening(landmarks(phones, seconds))
    assert opening[frames(span)].min() < lip_opening(rest) + 0.0005
    assert opening.max() > lip_opening(rest) + 0.005, "the vowels beside them are open"


@pytest.mark.parametrize("phone", ["F", "V"])
def test_labiodentals_bring_the_lower_lip_to_the_upper_teeth(phone, rest):
    phones, span, seconds = spoken(phone)
    marks = landmarks(phones, seconds)
    head = load_head()
    _, upper = np.split(np.sort(head.regions["teeth"]), 2)
    edge = head.vertices[upper, 2].min()
    during = marks[frames(span), 66, 2]
    assert np.abs(during - edge).min() < 0.004
    vowels = marks[frames((0.52, 0.58)), 66, 2]
    assert during.max() > vowels.min() + 0.004, "the lip rises from the vowel"


@pytest.mark.parametrize("phone", ["UW", "W"])
def test_rounded_phones_narrow_the_mouth_and_push_it_forward(phone, rest):
    phones, span, seconds = spoken(phone, length=0.15)
    marks = landmarks(phones, seconds)[frames(span)]
    width = np.linalg.norm(marks[:, 48] - marks[:, 54], axis=-1)
    assert width.min() < np.linalg.norm(rest[48] - rest[54]) - 0.003
    assert (marks[:, 51, 1] - rest[51, 1]).min() < -0.001


def test_rounding_begins_before_the_phone():
    phones = [["SIL", 0, 0.3], ["S", 0.3, 0.6], ["UW", 0.6, 0.9], ["SIL", 0.9, 1.5]]
    marks = landmarks(phones, 1.5)
    width = np.linalg.norm(marks[:, 48] - marks[:, 54], axis=-1)
    assert width[round(0.55 * FPS)] < width[round(0.4 * FPS)] - 0.001


def test_silence_is_rest():
    assert unit_track([["SIL", 0.0, 2.0]], 2.0).max() == 0
    phones, _, seconds = spoken("T")
    track = unit_track(phones, seconds)
    assert track[-6:].max() < 0.005 and track[:5].max() < 0.02


def test_a_louder_vowel_opens_the_jaw_wider():
    phones = [["AA", 0.0, 1.0], ["SIL", 1.0, 1.5], ["AA", 1.5, 2.5]]
    samples = np.concatenate([np.full(16_000, 0.3), np.zeros(8_000), np.full(16_000, 0.03)]).astype(np.float32)
    jaw = unit_track(phones, 2.5, samples).max(axis=1)
    assert jaw[15] > jaw[60] + 0.1


def test_units_stay_in_range_and_within_the_stated_speed():
    random = np.random.default_rng(0)
    names = ["P", "AA", "UW", "F", "S", "IY", "M", "TH", "SIL", "OW", "AY", "K"]
    phones, at = [], 0.0
    for _ in range(400):
        end = at + random.uniform(0.03, 0.2)
        phones.append([names[random.integers(len(names))], at, end])
        at = end
    track = unit_track(phones, at)
    assert track.dtype == np.float32 and track.shape == (round(at * FPS), 52)
    assert track.min() >= 0 and track.max() <= 1
    assert np.abs(np.diff(track, axis=0)).max() <= MAX_SPEED / FPS + 1e-6
