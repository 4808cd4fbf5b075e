"""The teacher moves the real head as a phonetician would expect."""

import numpy as np
import pytest

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.head import lip_opening, load_head
from histalk_blender.training.evaluation.metrics import lower_lip_drop
from histalk_blender.training.teacher.coarticulation import MAX_SPEED, arkit_track
from histalk_blender.training.teacher.lips import CLOSED, RAISED
from histalk_blender.training.teacher.prosody import VOICED, pitch_track

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
    return head.landmarks(head.vertices + head.pose(arkit_track(phones, seconds, fps=FPS)))


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
    assert arkit_track([["SIL", 0.0, 2.0]], 2.0).max() == 0
    phones, _, seconds = spoken("T")
    track = arkit_track(phones, seconds)
    assert track[-6:].max() < 0.005 and track[:5].max() < 0.02


def test_a_louder_vowel_opens_the_jaw_wider():
    phones = [["AA", 0.0, 1.0], ["SIL", 1.0, 1.5], ["AA", 1.5, 2.5]]
    samples = np.concatenate([np.full(16_000, 0.3), np.zeros(8_000), np.full(16_000, 0.03)]).astype(np.float32)
    jaw = arkit_track(phones, 2.5, samples).max(axis=1)
    assert jaw[15] > jaw[60] + 0.1


def test_units_stay_in_range_and_within_the_stated_speed():
    random = np.random.default_rng(0)
    names = ["P", "AA", "UW", "F", "S", "IY", "M", "TH", "SIL", "OW", "AY", "K"]
    phones, at = [], 0.0
    for _ in range(400):
        end = at + random.uniform(0.03, 0.2)
        phones.append([names[random.integers(len(names))], at, end])
        at = end
    track = arkit_track(phones, at)
    assert track.dtype == np.float32 and track.shape == (round(at * FPS), 52)
    assert track.min() >= 0 and track.max() <= 1
    assert np.abs(np.diff(track, axis=0)).max() <= MAX_SPEED / FPS + 1e-6


NEIGHBOURS = ("AA", "AE", "IY", "UW", "AO", "OW", "S", "SH", "R", "W", "TH", "L", "T")
INDEX = ARKIT_BLENDSHAPES.index
MOTION = load_head().landmarks(load_head().blendshape_deltas())


def between(phone, before, after, length):
    """Landmarks of [EH before phone after AA] while `phone` may be heard, a frame around it allowed."""
    names = ("EH", before, phone, after, "AA")
    phones = [[name, 0.3 + i * length, 0.3 + (i + 1) * length] for i, name in enumerate(names)]
    end = phones[-1][2]
    track = arkit_track([["SIL", 0.0, 0.3], *phones, ["SIL", end, end + 0.5]], end + 0.5, fps=FPS)
    times = np.arange(len(track)) / FPS
    _, start, stop = phones[2]
    head = load_head()
    marks = head.landmarks(head.vertices) + np.tensordot(track, MOTION, 1)
    return marks[(times >= start - 0.02) & (times <= stop + 0.02)]


@pytest.mark.parametrize("length", [0.05, 0.09, 0.14])
@pytest.mark.parametrize("before", NEIGHBOURS)
def test_lips_meet_and_bite_between_any_neighbours(before, length, rest):
    for after in NEIGHBOURS:
        shut = lip_opening(between("M", before, after, length)) - lip_opening(rest)
        assert shut.min() < CLOSED, f"/m/ before {after}"
        bitten = between("F", before, after, length)
        drop = lower_lip_drop(bitten, rest)
        assert drop.min() < RAISED / 2, f"/f/ before {after}"
        # At the teeth, not only as high as they are.
        assert bitten[drop.argmin(), 66, 1] > rest[66, 1] + 0.001, f"/f/ before {after} draws the lip in"


@pytest.mark.parametrize("phone, widest", [("S", 0.09), ("CH", 0.11), ("W", 0.13), ("TH", 0.2)])
def test_a_loud_vowel_does_not_open_a_narrow_phone(phone, widest):
    phones, span, seconds = spoken(phone)
    jaw = arkit_track(phones, seconds, np.full(round(seconds * 16_000), 0.3, np.float32))[:, INDEX("jawOpen")]
    assert jaw[frames(span)].min() < widest
    assert jaw.max() > 0.4


def test_a_short_vowel_opens_less_than_a_long_one():
    short = [["SIL", 0, 0.3], ["T", 0.3, 0.38], ["AH", 0.38, 0.43], ["T", 0.43, 0.51], ["SIL", 0.51, 1.2]]
    long = [["SIL", 0, 0.3], ["T", 0.3, 0.38], ["AH", 0.38, 0.52], ["T", 0.52, 0.60], ["SIL", 0.60, 1.2]]
    jaws = [arkit_track(phones, 1.2, fps=100.0)[:, INDEX("jawOpen")].max() for phones in (short, long)]
    assert jaws[0] < 0.8 * jaws[1]


BROWS = [INDEX(name) for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")]
SYLLABLES, VOWEL, MURMUR, BEGIN = 14, 0.16, 0.07, 0.3
ACCENTED = 6


def babble(semitones, noise=0.0):
    """Fourteen "na" with pitch raised by `semitones` in the seventh: phones, sound at 16 kHz, that vowel's middle."""
    phones, at = [["SIL", 0.0, BEGIN]], BEGIN
    for _ in range(SYLLABLES):
        phones += [["N", at, at + MURMUR], ["AA", at + MURMUR, at + MURMUR + VOWEL]]
        at += MURMUR + VOWEL
    phones.append(["SIL", at, at + 0.5])
    middle = BEGIN + ACCENTED * (MURMUR + VOWEL) + MURMUR + VOWEL / 2
    time = np.arange(round((at + 0.5) * 16_000)) / 16_000
    # A voice that falls by one semitone a second.
    tones = -time + semitones * np.exp(-(((time - middle) / 0.09) ** 2))
    phase = 2 * np.pi * np.cumsum(130 * 2 ** (tones / 12)) / 16_000
    sound = sum(np.sin(n * phase) / n for n in range(1, 13)) * 0.1 * ((time > BEGIN) & (time < at))
    random = np.random.default_rng(1)
    return phones, (sound + noise * random.normal(size=len(time))).astype(np.float32), middle


def brows(phones, sound):
    return arkit_track(phones, len(sound) / 16_000, sound, FPS)[:, BROWS]


def test_brows_rise_with_a_pitch_accent_and_only_there():
    phones, sound, middle = babble(6.0)
    track = brows(phones, sound)
    moving = np.flatnonzero(track[:, 0] > 0.005) / FPS
    assert 0.15 <= track[:, 0].max() <= 0.4
    assert abs(track[:, 0].argmax() / FPS - middle) < 0.1
    assert moving.min() > middle - 0.2 and moving.max() < middle + 0.45 and len(moving) >= 0.3 * FPS
    assert moving.min() < middle - 0.05, "brows start before the pitch peaks"
    assert 0 < track[:, 1].max() < track[:, 0].max()
    assert np.array_equal(track[:, 1], track[:, 2])


def test_a_higher_accent_raises_the_brows_more():
    low, high = (brows(*babble(tones)[:2]).max() for tones in (4.0, 7.0))
    assert 0.1 < low < high - 0.05


def test_brows_stay_still_without_an_accent():
    phones, flat, _ = babble(0.0)
    hiss = np.random.default_rng(0).normal(size=len(flat)).astype(np.float32) * 0.1
    for sound in (flat, babble(1.0)[1], hiss, np.zeros_like(flat), babble(0.0, noise=0.1)[1]):
        assert brows(phones, sound).max() == 0
    assert arkit_track(phones, len(flat) / 16_000)[:, BROWS].max() == 0


def test_brows_do_not_move_the_mouth():
    tracks = []
    for tones in (0.0, 6.0):
        phones, sound, _ = babble(tones)
        tracks.append(arkit_track(phones, len(sound) / 16_000, sound, FPS))
    rest_of_face = [i for i in range(52) if i not in BROWS]
    assert np.abs(tracks[0] - tracks[1])[:, rest_of_face].max() < 0.05
    upper = [i for i in range(52) if ARKIT_BLENDSHAPES[i].startswith(("brow", "eye", "cheek")) and i not in BROWS]
    assert tracks[1][:, upper].max() == 0


def test_pitch_of_a_voice_of_any_height_is_found():
    time = np.arange(16_000) / 16_000
    for hertz in (85.0, 130.0, 220.0, 350.0):
        # Low voices lack their fundamental, as on a telephone.
        sound = sum(np.sin(2 * np.pi * n * hertz * time) / n for n in range(1 if hertz > 200 else 2, 13))
        found, periodicity = pitch_track(sound.astype(np.float32))
        middle = slice(10, 90)
        assert (periodicity[middle] > VOICED).all()
        assert np.abs(12 * np.log2(found[middle] / hertz)).max() < 0.3, hertz


@pytest.mark.parametrize("phone", ["W", "UW"])
def test_a_rounded_mouth_stays_open_however_softly_it_is_spoken(phone, rest):
    head = load_head()
    hiss = np.random.default_rng(0).normal(0, 0.1, 17_600).astype(np.float32)
    hiss[7_500:9_300] *= 0.15
    for before in NEIGHBOURS:
        phones = [["SIL", 0, 0.3], [before, 0.3, 0.5], [phone, 0.5, 0.58], ["IY", 0.58, 0.8], ["SIL", 0.8, 1.1]]
        marks = head.landmarks(head.vertices + head.pose(arkit_track(phones, 1.1, hiss)))
        opening = lip_opening(marks) - lip_opening(rest)
        assert opening[15:18].min() > 1.3 * CLOSED, before
