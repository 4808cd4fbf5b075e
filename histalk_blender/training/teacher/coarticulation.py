"""The teacher: phones with times and sound -> ARKit weights, by a coarticulation model with dominance functions.

After Cohen and Massaro (each phone's target pulls with a dominance that fades with time; the track is the
dominance-weighted mean) and JALI (jaw and lips apart, jaw scaled by loudness); closures are then enforced, not
averaged. docs/method.md section 8 lists the facts used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...audio import SAMPLE_RATE
from ...head.arkit import ARKIT_BLENDSHAPES
from .lips import bite_spans, closure_spans, hold
from .phones import DIPHTHONGS
from .prosody import OUTER_SHARE, brow_rise, pitch_accents

INDEX = {name: i for i, name in enumerate(ARKIT_BLENDSHAPES)}

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

# Dominance: the strength of each articulator's pull. A phone of the tongue hardly needs the lips.
_VOWELS = ("AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW")
_STRENGTHS = {
    **dict.fromkeys(("N", "L", "K", "HH", "TH", "DH"), (0.6, 0.05, 0.05, 0.25, 0.3, 0.3, 1.0)),
    **dict.fromkeys(("T", "D"), (1.0, 0.05, 0.05, 0.25, 0.3, 0.3, 1.0)),
    **dict.fromkeys(_VOWELS, (1.0, 0.6, 0.6, 0.8, 0.8, 0.8, 0.3)),
    **dict.fromkeys(("P", "F"), (0.9, 0.05, 0.05, 0.1, 0.6, 1.0, 0.5)),
    "S": (2.0, 0.15, 0.15, 0.6, 0.8, 0.8, 1.0),
}
# The pull of rounded lips; /u/ and /w/ are held against neighbours that would open them.
_ROUND = {**dict.fromkeys(("UH", "AO", "R", "ER", "SH"), 1.5), **dict.fromkeys(("UW", "W"), 2.5)}
REACH = 0.045  # seconds to fall to 1/e outside the phone
ROUND_REACH = 0.12  # rounding is anticipated by about this
UNROUNDED = 0.25  # strength of lips at rest against rounding
SILENT_REACH = 0.05
PARTED_AFTER, PARTED_BEFORE = 0.10, 0.08  # seconds: lips part before a phrase and come to rest after its last sound
PAUSE = 0.25  # a silence shorter than this is no rest: the mouth waits as it is

# The widest jaw of phones that a loud vowel beside them must not open: near-shut teeth make a sibilant's hiss, the
# tongue fills the teeth's gap, /w/ is a small hole (JALI: sibilants must be met).
NARROW = {"S": 0.07, "SH": 0.09, "TH": 0.17, "W": 0.11}
BITE_JAW = 0.05  # of /f v/: the lower lip reaches the teeth's edge
SCHWA, FULL_VOWEL = 0.6, 0.10  # the jaw's share in a vowel of no length; seconds from which it opens wholly
NARROW_TRANSITION = 0.060  # seconds a jaw takes to close in on a narrow phone
MAX_SPEED = 14.0  # ARKit weight a second


def arkit_track(phones: Sequence, seconds: float, samples: np.ndarray | None = None, fps: float = 30.0) -> np.ndarray:
    """ARKit weights for a clip.

    Args:
        phones: (ARPAbet without stress, start s, end s) in order; "SIL" is silence.
        seconds: the clip's length.
        samples: [N] the sound at 16 kHz, for its loudness and pitch; None = even loudness and still brows.
        fps: frames a second; frame i stands at i / fps.

    Returns:
        [T, 52] float32 in [0, 1], T = max(1, round(seconds · fps)).
    """
    times = np.arange(max(1, round(seconds * fps))) / fps
    segments = _segments(phones, seconds)
    articulators = _articulators(segments, times, seconds, 1 / fps)
    brows = np.zeros(len(times))
    if samples is not None:
        loud = loudness(samples, times)
        articulators[:, 0] *= 0.55 + 0.5 * loud
        brows = brow_rise(pitch_accents(phones, samples, loud, fps), times)
    closed = hold(times, closure_spans(phones))
    out = _blendshapes(_narrowed(articulators, segments, times), closed, hold(times, bite_spans(phones)) * (1 - closed))
    out[:, INDEX["browInnerUp"]] = brows
    out[:, [INDEX["browOuterUpLeft"], INDEX["browOuterUpRight"]]] = OUTER_SHARE * brows[:, None]
    return _limited(np.clip(out, 0, 1), MAX_SPEED / fps, closed).astype(np.float32)


def _segments(phones: Sequence, seconds: float) -> list[tuple[str, float, float]]:
    """Phones under the names that have a target; a diphthong is two."""
    out = []
    for phone, start, end in phones:
        if end <= start:
            continue
        if phone in DIPHTHONGS:
            first, second = DIPHTHONGS[phone]
            middle = start + 0.6 * (end - start)
            out += [(first, start, middle), (second, middle, end)]
        else:
            out.append((_SAME.get(phone, phone), start, end))
    return out or [("SIL", 0.0, seconds)]


def loudness(samples: np.ndarray, times: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Loudness at `times` relative to the clip's loud parts, smoothed over 80 ms: [T] in [0, 1.3]."""
    width = int(0.08 * rate)
    power = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    middle = (times * rate).astype(int)
    low, high = np.clip(middle - width // 2, 0, len(samples)), np.clip(middle + width // 2, 0, len(samples))
    level = np.sqrt((power[high] - power[low]) / np.maximum(high - low, 1))
    return np.clip(level / (np.quantile(level, 0.9) + 1e-6), 0, 1.3)


@dataclass
class _Pull:
    """How one phone pulls the seven articulators."""

    start: float  # seconds
    end: float
    target: np.ndarray  # [7]
    strength: np.ndarray  # [7]
    reach: np.ndarray  # [7] seconds to fall to 1/e outside the plateau
    plateau: float = 0.5  # the middle of the phone that pulls with full strength, as a share of it

    def at(self, times: np.ndarray) -> np.ndarray:
        """[T] seconds -> [T, 7]."""
        middle, half = (self.start + self.end) / 2, (self.end - self.start) / 2
        outside = np.maximum(np.abs(times - middle) - self.plateau * half, 0)[:, None]
        return self.strength * np.exp(-((outside / (self.reach + (1 - self.plateau) * half)) ** 2))


def _pull(phone: str, start: float, end: float) -> _Pull:
    target = np.array(_TARGETS.get(phone, _TARGETS["AH"]))
    strength = np.array(_STRENGTHS.get(phone, np.ones(7)))
    reach = np.full(7, REACH)
    if phone in _VOWELS:
        # Short vowels fall short of their targets (Lindblom 1963), schwas most.
        target[0] *= SCHWA + (1 - SCHWA) * min(1.0, (end - start) / FULL_VOWEL)
    if phone in _ROUND:
        strength[1:3], reach[1:3] = _ROUND[phone], ROUND_REACH
    return _Pull(start, end, target, strength, reach)


def _rest(start: float, end: float, seconds: float, frame: float) -> _Pull:
    """A silence's pull towards rest; at the clip's ends, and where it is no pause, it is another one.

    A rest is as firm as a phone but does not reach the further the longer it lasts: resting lips touch, and a last
    /t/ or /k/ must not be spoken with closed ones.
    """
    strength = 1.0 if end - start > PAUSE or start <= 0 or end >= seconds - frame else 0.1
    start, end = start + PARTED_AFTER * (start > 0), end - PARTED_BEFORE * (end < seconds)
    start, end = min(start, end), max(start, end)
    return _Pull(start, end, np.array(_TARGETS["SIL"]), np.full(7, strength), np.full(7, SILENT_REACH), 1.0)


def _articulators(segments: list, times: np.ndarray, seconds: float, frame: float) -> np.ndarray:
    """[T, 7]: the mean of all targets, each weighted by its phone's pull. `frame`: seconds of one."""
    weight = np.full((len(times), 7), 1e-4)
    # Without this, the far tail of a rounded phone would round the lips wherever no other phone moves them.
    weight[:, 1:3] = UNROUNDED
    total = np.zeros((len(times), 7))
    for phone, start, end in segments:
        pull = _rest(start, end, seconds, frame) if phone == "SIL" else _pull(phone, start, end)
        low, high = np.searchsorted(times, [pull.start - 0.5, pull.end + 0.5])
        here = pull.at(times[low:high])
        weight[low:high] += here
        total[low:high] += here * pull.target
    return total / weight


def _narrowed(articulators: np.ndarray, segments: list, times: np.ndarray) -> np.ndarray:
    """With the jaw held back in the middle half of narrow phones: it travels in their ends."""
    jaw = articulators[:, 0]
    for narrow, widest in NARROW.items():
        middles = [((3 * s + e) / 4, (s + 3 * e) / 4) for phone, s, e in segments if phone == narrow]
        jaw = _capped(jaw, widest, hold(times, middles, NARROW_TRANSITION))
    return np.column_stack([jaw, articulators[:, 1:]])


def _capped(jaw: np.ndarray, widest: float, held: np.ndarray) -> np.ndarray:
    return jaw - held * np.maximum(jaw - widest, 0)


def _blendshapes(articulators: np.ndarray, closed: np.ndarray, bite: np.ndarray) -> np.ndarray:
    """Articulators [T, 7], closures and bites [T] -> ARKit weights [T, 52]."""
    jaw, rounded, protruded, spread, upper, lower, tongue = articulators.T
    jaw = _capped(jaw * (1 - 0.75 * closed), BITE_JAW, bite)
    free = 1 - np.maximum(closed, bite)
    tracks = {
        ("jawOpen",): jaw,
        # mouthClose undoes jawOpen's lips at equal weight, so lips meet wherever the jaw is.
        ("mouthClose",): jaw * closed,
        ("mouthPressLeft", "mouthPressRight"): 0.30 * closed,
        ("mouthRollUpper",): 0.12 * closed,
        ("mouthRollLower",): 0.15 * closed + 0.85 * bite,
        ("mouthPucker",): 0.90 * rounded * (1 - 0.75 * closed) * (1 - 0.6 * bite),
        # A funnel draws the lower lip off the teeth.
        ("mouthFunnel",): 0.70 * protruded * (1 - closed) * (1 - 0.9 * bite),
        ("mouthStretchLeft", "mouthStretchRight"): 0.60 * spread * (1 - 0.5 * closed),
        ("mouthSmileLeft", "mouthSmileRight"): 0.30 * spread * (1 - 0.5 * closed),
        ("mouthUpperUpLeft", "mouthUpperUpRight"): np.maximum(0.8 * upper * free, 0.35 * bite),
        ("mouthLowerDownLeft", "mouthLowerDownRight"): lower * free,
        ("tongueOut",): tongue * free,
    }
    out = np.zeros((len(jaw), len(ARKIT_BLENDSHAPES)))
    for names, track in tracks.items():
        for name in names:
            out[:, INDEX[name]] = track
    return out


def _limited(track: np.ndarray, step: float, closed: np.ndarray) -> np.ndarray:
    """No weight moves by more than `step` a frame; where lips are shut the jaw and its undoing stay in step."""
    out = track.copy()
    for order in (range(1, len(out)), range(len(out) - 2, -1, -1)):
        shift = -1 if order.step > 0 else 1
        for t in order:
            out[t] = np.clip(out[t], out[t + shift] - step, out[t + shift] + step)
    shut = closed >= 0.999
    out[shut, INDEX["mouthClose"]] = out[shut, INDEX["jawOpen"]]
    return out
