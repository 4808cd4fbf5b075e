"""The teacher: phones with times and sound -> unit weights, by a coarticulation model with dominance functions.

After Cohen and Massaro (each phone's target pulls with a dominance that fades with time; the track is the
dominance-weighted mean) and JALI (jaw and lips apart, jaw scaled by loudness); closures are then enforced, not
averaged. docs/method.md section 8 lists the facts used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...head.arkit import ARKIT_UNITS
from .phones import BILABIALS, DIPHTHONGS, LABIODENTALS
from .prosody import OUTER_SHARE, brow_rise, pitch_accents

INDEX = {name: i for i, name in enumerate(ARKIT_UNITS)}

# Articulators: what a phone has a target for. Jaw opening a > ae, ao > eh > ah > i, u > sibilants.
#          jaw   round  protrude spread upper  lower  tongue
_TARGETS = {
    "SIL": (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "AA": (0.62, 0.00, 0.00, 0.05, 0.15, 0.25, 0.00),
    "AE": (0.52, 0.00, 0.00, 0.25, 0.30, 0.30, 0.00),
    "AH": (0.36, 0.00, 0.00, 0.05, 0.08, 0.18, 0.00),
    "AO": (0.50, 0.35, 0.30, 0.00, 0.05, 0.15, 0.00),
    "EH": (0.40, 0.00, 0.00, 0.22, 0.25, 0.25, 0.00),
    "ER": (0.24, 0.30, 0.30, 0.00, 0.10, 0.15, 0.00),
    "IH": (0.24, 0.00, 0.00, 0.25, 0.20, 0.22, 0.00),
    "IY": (0.16, 0.00, 0.00, 0.55, 0.28, 0.28, 0.00),
    "UH": (0.22, 0.50, 0.25, 0.00, 0.00, 0.05, 0.00),
    "UW": (0.14, 0.95, 0.32, 0.00, 0.00, 0.00, 0.00),
    "W": (0.12, 0.95, 0.38, 0.00, 0.00, 0.00, 0.00),
    "Y": (0.14, 0.00, 0.00, 0.35, 0.10, 0.20, 0.00),
    "R": (0.18, 0.35, 0.40, 0.00, 0.08, 0.12, 0.00),
    "L": (0.26, 0.00, 0.00, 0.05, 0.12, 0.15, 0.32),
    "N": (0.16, 0.00, 0.00, 0.05, 0.10, 0.15, 0.20),
    "T": (0.12, 0.00, 0.00, 0.08, 0.12, 0.18, 0.20),
    "D": (0.14, 0.00, 0.00, 0.08, 0.12, 0.18, 0.20),
    "TH": (0.16, 0.00, 0.00, 0.05, 0.18, 0.18, 0.75),
    "DH": (0.16, 0.00, 0.00, 0.05, 0.16, 0.18, 0.65),
    "S": (0.06, 0.00, 0.00, 0.28, 0.40, 0.30, 0.00),
    "SH": (0.08, 0.35, 0.60, 0.00, 0.30, 0.20, 0.00),
    "K": (0.22, 0.00, 0.00, 0.05, 0.06, 0.12, 0.00),
    "HH": (0.28, 0.00, 0.00, 0.00, 0.06, 0.12, 0.00),
    "F": (0.10, 0.00, 0.00, 0.10, 0.22, 0.00, 0.00),
    "P": (0.12, 0.00, 0.05, 0.00, 0.00, 0.00, 0.00),
}
_SAME = {"B": "P", "M": "P", "V": "F", "Z": "S", "ZH": "SH", "CH": "SH", "JH": "SH", "G": "K", "NG": "K"}

# Dominance: strength per articulator and time constant in seconds. A tongue phone hardly asks for lips.
_VOWELS = {"AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW"}
_TONGUE = {"T", "D", "N", "L", "K", "G", "NG", "HH", "TH", "DH"}
_FIRM_ROUND = {"UW", "W"}  # lips that neighbours hardly open
_ROUND = {"UW", "W", "UH", "AO", "R", "ER", "SH", "ZH", "CH", "JH"}
REACH = 0.045  # seconds to fall to 1/e outside the phone
ROUND_REACH = 0.12  # rounding is anticipated by about this
UNROUNDED = 0.25  # strength of lips at rest against rounding
SILENT_REACH = 0.05
PARTED_AFTER, PARTED_BEFORE = 0.10, 0.08  # seconds: lips part before a phrase and come to rest after its last sound
PAUSE = 0.25  # a silence shorter than this is no rest: the mouth waits as it is

TRANSITION = 0.050  # seconds a closure takes to make or release
# The widest jaw of phones that a loud vowel beside them must not open: near-shut teeth make a sibilant's hiss, the
# tongue fills the teeth's gap, /w/ is a small hole (JALI: sibilants must be met).
NARROW = {"S": 0.07, "SH": 0.09, "TH": 0.17, "W": 0.11}
BITE_JAW = 0.05  # of /f v/: the lower lip reaches the teeth's edge
SCHWA, FULL_VOWEL = 0.6, 0.10  # the jaw's share in a vowel of no length; seconds from which it opens wholly
NARROW_TRANSITION = 0.060  # seconds a jaw takes to close in on a narrow phone
MAX_SPEED = 14.0  # unit weight a second


def _segments(phones: Sequence, seconds: float) -> list[tuple[str, float, float]]:
    out = []
    for phone, start, end in phones:
        if end <= start:
            continue
        if phone in DIPHTHONGS:
            first, second = DIPHTHONGS[phone]
            middle = start + 0.6 * (end - start)
            out += [(first, start, middle), (second, middle, end)]
        else:
            out.append((_SAME.get(phone, phone) if phone not in _TARGETS else phone, start, end))
    return out or [("SIL", 0.0, seconds)]


def loudness(samples: np.ndarray, times: np.ndarray, rate: int = 16_000) -> np.ndarray:
    """Loudness at `times` relative to the clip's loud parts, smoothed over 80 ms: [T] in [0, 1.3]."""
    width = int(0.08 * rate)
    power = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    middle = (times * rate).astype(int)
    low, high = np.clip(middle - width // 2, 0, len(samples)), np.clip(middle + width // 2, 0, len(samples))
    level = np.sqrt((power[high] - power[low]) / np.maximum(high - low, 1))
    return np.clip(level / (np.quantile(level, 0.9) + 1e-6), 0, 1.3)


def closure_spans(phones: Sequence) -> list[tuple[float, float]]:
    """When the lips must be shut for /p b m/: before the release, and never shorter than two frames.

    A label of /p/ holds its aspiration, during which the lips are open already: the closure ends at 60 % of it.
    """
    spans = []
    for i, (phone, start, end) in enumerate(phones):
        if phone not in BILABIALS:
            continue
        release = end if phone == "M" else start + (0.6 if phone == "P" else 0.8) * (end - start)
        lead = 0.0
        if i and phones[i - 1][0] not in BILABIALS:
            # Labels of plosives start late where the closure is silent: half of the phone before, at most 20 ms.
            lead = min(0.02, (phones[i - 1][2] - phones[i - 1][1]) / 2)
        begin, release = start - lead, min(release, start + 0.25)
        short = 0.070 - (release - begin)
        if short > 0:
            begin, release = begin - short / 2, release + short / 2
        spans.append((begin, release))
    return spans


def _hold(times: np.ndarray, spans: list[tuple[float, float]], transition: float) -> np.ndarray:
    """1 inside the spans, falling smoothly to 0 within `transition` seconds around them."""
    out = np.zeros(len(times))
    for begin, end in spans:
        low, high = np.searchsorted(times, [begin - transition, end + transition])
        outside = np.maximum(np.maximum(begin - times[low:high], times[low:high] - end), 0) / transition
        value = 0.5 + 0.5 * np.cos(np.pi * np.minimum(outside, 1))
        out[low:high] = np.maximum(out[low:high], value)
    return out


def _capped(jaw: np.ndarray, widest: float, hold: np.ndarray) -> np.ndarray:
    return jaw - hold * np.maximum(jaw - widest, 0)


def unit_track(phones: Sequence, seconds: float, samples: np.ndarray | None = None, fps: float = 30.0) -> np.ndarray:
    """Unit weights for a clip.

    Args:
        phones: (ARPAbet without stress, start s, end s) in order; "SIL" is silence.
        seconds: the clip's length.
        samples: [N] the sound at 16 kHz, for its loudness and pitch; None = even loudness and still brows.
        fps: frames a second; frame i stands at i / fps.

    Returns:
        [T, 52] float32 in [0, 1], T = max(1, round(seconds · fps)).
    """
    T = max(1, round(seconds * fps))
    times = np.arange(T) / fps
    segments = _segments(phones, seconds)
    weight = np.full((T, 7), 1e-4)
    # Where nobody else asks for lips, the far tail of a rounded phone must not have them to itself.
    weight[:, 1:3] = UNROUNDED
    total = np.zeros((T, 7))
    for phone, start, end in segments:
        target = np.array(_TARGETS.get(phone, _TARGETS["AH"]))
        strength = np.full(7, 1.0)
        reach = np.full(7, REACH)
        plateau = 0.5
        if phone == "SIL":
            # A rest is as firm as a phone but does not reach the further the longer it lasts: resting lips touch, and
            # a last /t/ or /k/ must not be spoken with closed ones.
            reach[:] = SILENT_REACH
            strength[:] = 1.0 if end - start > PAUSE or start <= 0 or end >= seconds - 1 / fps else 0.1
            start, end = start + PARTED_AFTER * (start > 0), end - PARTED_BEFORE * (end < seconds)
            start, end, plateau = min(start, end), max(start, end), 1.0
        elif phone in _TONGUE:
            strength[:] = (1.0 if phone in ("T", "D") else 0.6, 0.05, 0.05, 0.25, 0.3, 0.3, 1.0)
        elif phone in _VOWELS:
            strength[:] = (1.0, 0.6, 0.6, 0.8, 0.8, 0.8, 0.3)
            # Short vowels fall short of their targets (Lindblom 1963), schwas most.
            target[0] *= SCHWA + (1 - SCHWA) * min(1.0, (end - start) / FULL_VOWEL)
        elif phone in ("P", "F"):
            strength[:] = (0.9, 0.05, 0.05, 0.1, 0.6, 1.0, 0.5)
        elif phone == "S":
            strength[:] = (2.0, 0.15, 0.15, 0.6, 0.8, 0.8, 1.0)
        if phone in _ROUND:
            strength[1:3], reach[1:3] = (2.5 if phone in _FIRM_ROUND else 1.5), ROUND_REACH
        low, high = np.searchsorted(times, [start - 0.5, end + 0.5])
        middle, half = (start + end) / 2, (end - start) / 2
        outside = np.maximum(np.abs(times[low:high] - middle) - plateau * half, 0)[:, None]
        pull = strength * np.exp(-((outside / (reach + (1 - plateau) * half)) ** 2))
        weight[low:high] += pull
        total[low:high] += pull * target
    jaw, round_, protrude, spread, upper, lower, tongue = (total / weight).T
    if samples is not None:
        loud = loudness(samples, times)
        jaw = jaw * (0.55 + 0.5 * loud)
    for phone, widest in NARROW.items():
        # The middle half of the phone: jaws travel in its ends.
        middles = [((3 * s + e) / 4, (s + 3 * e) / 4) for p, s, e in segments if _SAME.get(p, p) == phone]
        jaw = _capped(jaw, widest, _hold(times, middles, NARROW_TRANSITION))

    spans = closure_spans(phones)
    closed = _hold(times, spans, TRANSITION)
    bite_spans = [(s, max(e, s + 0.06)) for p, s, e in phones if p in LABIODENTALS]
    bite = _hold(times, bite_spans, TRANSITION) * (1 - closed)
    jaw = jaw * (1 - 0.75 * closed)
    jaw = _capped(jaw, BITE_JAW, bite)
    lips_free = 1 - np.maximum(closed, bite)

    out = np.zeros((T, len(ARKIT_UNITS)), np.float64)

    def put(value: np.ndarray, *names: str) -> None:
        for name in names:
            out[:, INDEX[name]] = value

    put(jaw, "jawOpen")
    # mouthClose undoes jawOpen's lips at equal weight, so lips meet wherever the jaw is.
    put(jaw * closed, "mouthClose")
    put(0.30 * closed, "mouthPressLeft", "mouthPressRight")
    put(0.12 * closed, "mouthRollUpper")
    put(0.15 * closed + 0.85 * bite, "mouthRollLower")
    put(0.90 * round_ * (1 - 0.75 * closed) * (1 - 0.6 * bite), "mouthPucker")
    # A funnel draws the lower lip off the teeth.
    put(0.70 * protrude * (1 - closed) * (1 - 0.9 * bite), "mouthFunnel")
    put(0.60 * spread * (1 - 0.5 * closed), "mouthStretchLeft", "mouthStretchRight")
    put(0.30 * spread * (1 - 0.5 * closed), "mouthSmileLeft", "mouthSmileRight")
    put(np.maximum(0.8 * upper * lips_free, 0.35 * bite), "mouthUpperUpLeft", "mouthUpperUpRight")
    put(lower * lips_free, "mouthLowerDownLeft", "mouthLowerDownRight")
    put(tongue * lips_free, "tongueOut")
    if samples is not None:
        brows = brow_rise(pitch_accents(phones, samples, loud, fps), times)
        put(brows, "browInnerUp")
        put(OUTER_SHARE * brows, "browOuterUpLeft", "browOuterUpRight")
    return _limited(np.clip(out, 0, 1), MAX_SPEED / fps, closed).astype(np.float32)


def _limited(track: np.ndarray, step: float, closed: np.ndarray) -> np.ndarray:
    """No unit moves by more than `step` a frame; where lips are shut the jaw and its undoing stay in step."""
    out = track.copy()
    for order in (range(1, len(out)), range(len(out) - 2, -1, -1)):
        shift = -1 if order.step > 0 else 1
        for t in order:
            out[t] = np.clip(out[t], out[t + shift] - step, out[t + shift] + step)
    shut = closed >= 0.999
    out[shut, INDEX["mouthClose"]] = out[shut, INDEX["jawOpen"]]
    return out
