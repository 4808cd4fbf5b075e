"""Prosody: pitch of the sound, the vowels that it accents, and the brows that rise with them.

Brows rise with pitch accents more often than not, and start before the pitch peaks (Cavé et al. 1996; Flecha-García
2010), so a speaking face whose brows never move looks dead. Nothing else of the upper face moves here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr

from ...audio import SAMPLE_RATE
from .phones import DIPHTHONGS

VOWELS = frozenset({"AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW", *DIPHTHONGS})

PITCH_RATE = 4_000  # samples a second that pitch is sought at: ten harmonics of a low voice
HOP = 0.01  # seconds between pitch frames
WINDOW = 0.05  # seconds: three and a half periods of the lowest voice
LOWEST, HIGHEST = 70.0, 400.0  # hertz
OCTAVE_COST = 0.03  # of periodicity that an octave lower must be better
VOICED = 0.6  # periodicity of a voiced frame; white noise stays below 0.5

ENOUGH_VOWELS = 4  # voiced ones that a level needs
PAUSE = 0.25  # seconds of silence that end a phrase
STEEPEST_DECLINATION = 4.0  # semitones a second
LEAST_ACCENT, FULL_ACCENT = 2.5, 7.0  # semitones above the level: smallest and largest brow
BROW_SMALLEST, BROW_LARGEST = 0.15, 0.40
OUTER_SHARE = 0.5  # of the inner brow's rise that the outer ones make
APART = 0.8  # seconds between two rises at least
LEAD, RISE, STAY, FALL = 0.13, 0.15, 0.05, 0.24  # seconds; the rise begins LEAD before the pitch peaks


def pitch_track(samples: np.ndarray, rate: int = SAMPLE_RATE) -> tuple[np.ndarray, np.ndarray]:
    """Pitch by autocorrelation, frame i at i * `HOP` seconds.

    The autocorrelation of windowed sound over the window's own (Boersma 1993), sought twice: the second time only
    between 0.75 of the lower and 1.8 of the upper quartile of the first (after De Looze and Hirst 2008), where a voice
    has no octave to be mistaken for.

    Args:
        samples: [N] sound.

    Returns:
        hertz [P], periodicity [P] in [0, 1]: `VOICED` and above has a pitch.
    """
    low = soxr.resample(np.asarray(samples, np.float32), rate, PITCH_RATE, quality="LQ")
    width, hop = round(WINDOW * PITCH_RATE), round(HOP * PITCH_RATE)
    frames = len(low) // hop + 1
    padded = np.pad(low, (width // 2, width + hop))
    block = np.lib.stride_tricks.sliding_window_view(padded, width)[: frames * hop : hop]
    window = np.hanning(width).astype(np.float32)
    longest = int(PITCH_RATE / LOWEST) + 2
    size = 1 << (width + longest - 1).bit_length()
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)[:longest]
    block = (block - block.mean(1, keepdims=True)) * window
    power = np.fft.irfft(np.abs(np.fft.rfft(block, size)) ** 2)[:, :longest]
    # A frame 50 dB below the loud ones has no pitch.
    floor = 1e-5 * np.quantile(power[:, 0], 0.95) + 1e-9
    likeness = power / (power[:, :1] + floor) * (own[0] / own)
    # Peaks lie between lags: a parabola gives their place and height, else a high voice's octave below looks better.
    before, at, after = likeness[:, :-2], likeness[:, 1:-1], likeness[:, 2:]
    bend = np.minimum(before - 2 * at + after, -1e-6)
    lags = np.arange(1, longest - 1) + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    height = at - (before - after) ** 2 / (8 * bend)
    worth = np.where((at >= before) & (at > after), height - OCTAVE_COST * np.log2(lags), -np.inf)
    row = np.arange(frames)

    def best(slowest: float, fastest: float) -> tuple[np.ndarray, np.ndarray]:
        allowed = np.where((lags >= PITCH_RATE / fastest) & (lags <= PITCH_RATE / slowest), worth, -np.inf)
        place = allowed.argmax(1)
        found = np.isfinite(allowed[row, place])
        return PITCH_RATE / lags[row, place], np.where(found, np.clip(height[row, place], 0, 1), 0.0)

    hertz, periodicity = best(LOWEST, HIGHEST)
    voiced = hertz[periodicity >= VOICED]
    if len(voiced) < 10:
        return hertz, periodicity
    lower, upper = np.quantile(voiced, [0.25, 0.75])
    return best(max(LOWEST, 0.75 * lower), min(HIGHEST, 1.8 * upper))


def pitch_accents(phones: Sequence, samples: np.ndarray, loud: np.ndarray, fps: float) -> list[tuple[float, float]]:
    """Vowels whose pitch stands out: (second of the pitch peak, semitones above the phrase's declining level).

    They are loud or long as well, and `APART` from each other; the higher one stays.

    Args:
        phones: (ARPAbet, start s, end s).
        samples: [N] sound at 16 kHz.
        loud: [T] loudness relative to the clip's loud parts, at `fps`.
    """
    hertz, periodicity = pitch_track(samples)
    tones = 12 * np.log2(hertz / 100)
    rows, phrase = [], 0
    for phone, start, end in phones:
        if phone == "SIL" and end - start >= PAUSE:
            phrase += 1
        a, b = round(start / HOP), min(round(end / HOP) + 1, len(tones))
        if phone not in VOWELS or b - a < 4:
            continue
        inside = a + np.flatnonzero(periodicity[a:b] >= VOICED)
        if len(inside) < 4 or len(inside) < 0.6 * (b - a):
            continue  # whispered, creaky or noisy: no reliable pitch
        voice = np.convolve(np.pad(tones[inside], 1, mode="edge"), np.ones(3) / 3, "valid")
        top = int(voice.argmax())
        level = loud[min(round(start * fps), len(loud) - 1) : round(end * fps) + 1].max(initial=0.0)
        # The third quartile, not the peak itself: a single mistaken frame is no accent.
        rows.append((inside[top] * HOP, np.quantile(voice, 0.75), end - start, level, phrase))
    if len(rows) < ENOUGH_VOWELS:
        return []
    time, height, length, level, part = np.array(rows).T
    excess = height - np.median(height)
    for number in np.unique(part):
        here = part == number
        if here.sum() >= ENOUGH_VOWELS:
            excess[here] = height[here] - _declining(time[here], height[here])
    strong = (level >= 0.5) & ((level >= 0.8) | (length >= np.median(length)))
    found: list[tuple[float, float]] = []
    for i in np.argsort(-excess, kind="stable"):
        if excess[i] < LEAST_ACCENT:
            break
        if strong[i] and all(abs(time[i] - other) >= APART for other, _ in found):
            found.append((float(time[i]), float(excess[i])))
    return sorted(found)


def _declining(time: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The level [V] under pitches [V]: their median, falling by the median slope of pairs (Theil 1950; Sen 1968)."""
    first, second = np.triu_indices(len(time), 1)
    apart = time[second] - time[first]
    far = apart > 0.3
    slope = np.median((height[second] - height[first])[far] / apart[far]) if far.sum() >= 6 else 0.0
    slope = np.clip(slope, -STEEPEST_DECLINATION, 0.0)
    return np.median(height - slope * time) + slope * time


def brow_rise(accents: list[tuple[float, float]], times: np.ndarray) -> np.ndarray:
    """browInnerUp [T] at `times` [T] for `pitch_accents`; `OUTER_SHARE` of it goes to the outer brows."""
    out = np.zeros(len(times))
    for peak, excess in accents:
        start = peak - LEAD
        grade = np.clip((excess - LEAST_ACCENT) / (FULL_ACCENT - LEAST_ACCENT), 0, 1)
        way = np.interp(times, start + np.cumsum([0, RISE, STAY, FALL]), [0, 1, 1, 0])
        size = BROW_SMALLEST + (BROW_LARGEST - BROW_SMALLEST) * grade
        out = np.maximum(out, size * (0.5 - 0.5 * np.cos(np.pi * way)))
    return out
