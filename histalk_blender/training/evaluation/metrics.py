"""Metrics of speech animation as the field computes them (docs/method.md section 7), and what it lacks: lips in time.

All take one clip; `scoring.score` pools them. Lengths are in the data's own unit, metres where it has one.
"""

from __future__ import annotations

import numpy as np

from ...audio import SAMPLE_RATE
from ...head.head import INNER_LIP_PAIRS
from ..teacher.lips import CLOSED, RAISED
from ..teacher.phones import ARPABET, BILABIALS, LABIODENTALS

RECALL_REACH = 0.04  # seconds around a /p b m/ within which the lips must close
PRECISION_REACH = 0.06  # seconds by which a closed stretch may miss a /p b m f v/
INNER_LIPS = slice(60, 68)  # of iBUG's 68 landmarks
HUSH = 25.0  # dB below a clip's loud frames that counts as silence
QUIET_MARGIN = 0.2  # seconds from any sound; the teacher parts the lips 0.08 s before speech and rests 0.10 s after it
READABLE = 0.1  # of the mouth's width, the largest error of lips that can still be read: about 5 mm
TURN = 0.1  # of a track's range that it must turn back by to have had an extremum
WARP = 0.4  # seconds that time may be warped by


def lip_errors(truth: np.ndarray, predicted: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """The largest squared error over lip vertices of each frame.

    Args:
        truth, predicted: [T, V, 3]; lips: vertex indices.

    Returns:
        [T] squared lengths.
    """
    return np.square(truth[:, lips] - predicted[:, lips]).sum(-1).max(1)


def lve(truth: np.ndarray, predicted: np.ndarray, lips: np.ndarray) -> float:
    """Lip vertex error: the mean of `lip_errors` over frames, a squared length."""
    return float(lip_errors(truth, predicted, lips).mean())


def lrp(truth: np.ndarray, predicted: np.ndarray, lips: np.ndarray, mouth_width: float) -> float:
    """Lip readability percentage as a share: frames in which no lip vertex is off by more than a tenth of the mouth.

    The field prints LRP without a definition; this one is ours, and needs no unit.

    Args:
        truth, predicted: [T, V, 3]; lips: vertex indices; mouth_width: of the neutral face.
    """
    return float((lip_errors(truth, predicted, lips) <= (READABLE * mouth_width) ** 2).mean())


def fdd(truth: np.ndarray, predicted: np.ndarray, upper_face: np.ndarray) -> float:
    """Upper-face dynamics deviation, signed: the mean over vertices of the difference of the population standard
    deviations over time of the squared displacement norm."""

    def spread(motion: np.ndarray) -> np.ndarray:
        return np.square(motion[:, upper_face]).sum(-1).std(0)

    return float((spread(truth) - spread(predicted)).mean())


def jitter(motion: np.ndarray) -> float:
    """Mean size of the third difference in time, [T, V, 3] -> a length; what counts is its ratio to the reference's."""
    return float(np.linalg.norm(np.diff(motion, 3, axis=0), axis=-1).mean()) if len(motion) > 3 else 0.0


def lower_lip_drop(landmarks: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """How far the lower lip's inner points lie below their rest, along the line from chin to nose.

    Args:
        landmarks: [T, 68, 3]; neutral: [68, 3].

    Returns:
        [T] lengths.
    """
    up = neutral[27] - neutral[8]
    lower = [pair[1] for pair in INNER_LIP_PAIRS]
    return ((neutral - landmarks)[:, lower] @ (up / np.linalg.norm(up))).mean(1)


def closures(opening: np.ndarray, phones: list, fps: float = 30.0) -> np.ndarray:
    """Met closures of /p b m/ and justified closed stretches.

    Args:
        opening: [T] inner-lip opening above rest in metres.
        phones: (ARPAbet, start s, end s).

    Returns:
        found, all /p b m/; justified, all closed stretches outside silence.
    """
    return _met(opening < CLOSED, phones, BILABIALS, fps)


def bites(drop: np.ndarray, phones: list, fps: float = 30.0) -> np.ndarray:
    """As `closures`, for /f v/: met where the lower lip is up at the teeth; a stretch of it may also be a /p b m/.

    Args:
        drop: [T] `lower_lip_drop` in metres; phones: (ARPAbet, start s, end s).
    """
    return _met(drop < RAISED, phones, LABIODENTALS, fps)


def _met(state: np.ndarray, phones: list, wanted: frozenset, fps: float) -> np.ndarray:
    time = np.arange(len(state)) / fps
    found = total = 0
    for phone, start, end in phones:
        if phone in wanted:
            near = (time >= start - RECALL_REACH) & (time <= end + RECALL_REACH)
            if near.any():
                total += 1
                found += bool(state[near].any())
    spoken = np.zeros(len(time), bool)
    allowed = []
    for phone, start, end in phones:
        if phone != "SIL":
            spoken |= (time >= start) & (time < end)
        if phone in BILABIALS | LABIODENTALS:
            allowed.append((start - PRECISION_REACH, end + PRECISION_REACH))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (state & spoken).astype(int), [0]])))
    justified = stretches = 0
    for first, last in zip(edges[::2], edges[1::2] - 1):
        stretches += 1
        justified += any(time[first] <= end and time[last] >= start for start, end in allowed)
    return np.array([found, total, justified, stretches])


def quiet_frames(phones: list, T: int, fps: float = 30.0) -> np.ndarray:
    """Where nobody speaks: in a SIL, before the first phone or after the last, and `QUIET_MARGIN` from any sound.

    What no label covers between two phones is not known to be quiet. An end of the clip needs no margin.

    Args:
        phones: (ARPAbet, start s, end s) in order; T: frames.

    Returns:
        [T] booleans.
    """
    time = np.arange(T) / fps
    quiet = np.zeros(T, bool)
    if phones:
        quiet = (time < phones[0][1]) | (time >= phones[-1][2])
    for phone, start, end in phones:
        if phone == "SIL":
            quiet |= (time >= start) & (time < end)
    for phone, start, end in phones:
        if phone != "SIL":
            # A frame that lies on the margin's edge is not lost to rounding.
            quiet &= (time <= start - QUIET_MARGIN + 1e-6) | (time >= end + QUIET_MARGIN - 1e-6)
    return quiet


def hushed(samples: np.ndarray, T: int, fps: float = 30.0, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Where a clip's sound is `HUSH` below its loud frames or more: labels may be wrong, a loud stretch is no silence.

    Args:
        samples: [N]; T: frames.

    Returns:
        [T] booleans.
    """
    half = round(rate / fps / 2)
    power = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    middle = np.round(np.arange(T) / fps * rate).astype(int)
    low, high = np.clip(middle - half, 0, len(samples)), np.clip(middle + half, 0, len(samples))
    level = (power[high] - power[low]) / np.maximum(high - low, 1)
    return level <= np.quantile(level, 0.9) * 10 ** (-HUSH / 10)


def silence(landmarks: np.ndarray, neutral: np.ndarray, quiet: np.ndarray) -> tuple[float, int]:
    """How far the lips are from rest while nobody speaks: the mean distance of the eight inner-lip landmarks 60..67
    from their rest over frames that are quiet, here by label (`quiet_frames`) and by loudness (`hushed`).

    The definition is ours. It is a distance and not an opening, as resting lips may also purse, press or slide.

    Args:
        landmarks: [T, 68, 3]; neutral: [68, 3]; quiet: [T] booleans.

    Returns:
        The sum over frames of the landmarks' mean distance, a length, and the number of frames.
    """
    moved = np.linalg.norm(landmarks[quiet, INNER_LIPS] - neutral[INNER_LIPS], axis=-1).mean(-1)
    return float(moved.sum()), int(quiet.sum())


def phone_errors(truth: np.ndarray, predicted: np.ndarray, phones: list, fps: float = 30.0) -> np.ndarray:
    """Errors of the lip opening by phone, as sums that add up over clips.

    Args:
        truth, predicted: [T] openings; phones: (ARPAbet, start s, end s).

    Returns:
        [phones in ARPABET's order, 4]: occurrences, frames inside them, the sum of predicted - true over these frames
        (a length, positive where the mouth is too open) and that of its absolute value. A phone between two frames
        has not occurred.
    """
    time = np.arange(len(truth)) / fps
    error, sums = predicted - truth, np.zeros((len(ARPABET), 4))
    for phone, start, end in phones:
        inside = error[(time >= start) & (time < end)]
        if len(inside):
            sums[ARPABET.index(phone)] += 1, len(inside), inside.sum(), np.abs(inside).sum()
    return sums


def misalignment(truth: np.ndarray, predicted: np.ndarray, fps: float) -> tuple[float, int]:
    """For MTM, the mean temporal misalignment of lip opening (Chae-Yeon et al. 2025): how far in time the predicted
    track's counterpart of each extremum of the true one lies from it.

    Counterparts come from derivative dynamic time warping (Keogh and Pazzani 2001) within `WARP`; an extremum is where
    the true track turns back by `TURN` of its range.

    Args:
        truth, predicted: [T] openings; fps: frames a second.

    Returns:
        The sum of the distances in seconds and the number of extrema; no extrema where a track stands still.
    """
    slopes = [_slope(truth), _slope(predicted)]
    spreads = [slope.std() for slope in slopes]
    if len(truth) < 3 or min(spreads) < 1e-9:
        return 0.0, 0
    pairs = _warped(slopes[0] / spreads[0], slopes[1] / spreads[1], max(1, round(WARP * fps)))
    extrema = _extrema(truth, TURN * np.ptp(truth))
    apart = [abs(pairs[pairs[:, 0] == i, 1].mean() - i) for i in extrema]
    return float(sum(apart)) / fps, len(extrema)


def _slope(track: np.ndarray) -> np.ndarray:
    """Keogh and Pazzani's estimate: the mean of the slope to the left and the slope across."""
    padded = np.pad(track, 1, mode="edge")
    return ((padded[1:-1] - padded[:-2]) + (padded[2:] - padded[:-2]) / 2) / 2


def _warped(a: np.ndarray, b: np.ndarray, reach: int) -> np.ndarray:
    """The cheapest warping path of two tracks [T], as pairs of frames [P, 2]."""
    T, far = len(a), float("inf")
    cost = [[far] * (T + 1) for _ in range(T + 1)]
    cost[0][0] = 0.0
    b = b.tolist()
    for i, value in enumerate(a.tolist()):
        before, row = cost[i], cost[i + 1]
        for j in range(max(0, i - reach), min(T, i + reach + 1)):
            row[j + 1] = (value - b[j]) ** 2 + min(before[j], before[j + 1], row[j])
    i = j = T
    path = []
    while i and j:
        path.append((i - 1, j - 1))
        # The diagonal comes first: where all cost the same, time is not warped.
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda at: cost[at[0]][at[1]])
    return np.array(path[::-1])


def _extrema(track: np.ndarray, turn: float) -> list[int]:
    """Frames at which [T] turns back by `turn` or more, low and high in turn, without the ends."""
    found, best, way = [], 0, 0
    for i, value in enumerate(track):
        change = value - track[best]
        if way == 0:
            if abs(change) >= turn:
                best, way = i, int(np.sign(change))
        elif change * way > 0:
            best = i
        elif -change * way >= turn:
            found.append(best)
            best, way = i, -way
    return found
