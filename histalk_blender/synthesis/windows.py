"""Windows of long clips, and which of them are heard together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

LONGEST = (
    1.5  # of a window, that the last one may have: no clip then ends with a short one, which would hear too little
)
WASTE = 0.1  # of what the network hears together, the share that may be padding


def windows(
    frames: int, fps: float, window_s: float, overlap_s: float, period: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(start, end, weight [end - start]) frames of each window; the weights of all add up to one.

    Two neighbours are cross-faded over the middle eighth of what they share; the rest only gives the network context:
    there one window alone counts. Windows start on the network's period where it is short enough, so that its tokens
    hold the same sound as in the whole clip.

    Args:
        frames: of the clip.
        window_s, overlap_s: seconds of a window, of which the last may be half as long again, and of what two share.
        period: frames.
    """
    window, overlap = round(window_s * fps), round(overlap_s * fps)
    grid = period if period <= window - overlap else 1
    step = (window - overlap) // grid * grid
    shared = window - step
    length = shared // 8
    rise = np.zeros(shared, np.float32)
    rise[(shared - length) // 2 :] = 1
    rise[(shared - length) // 2 : (shared - length) // 2 + length] = (np.arange(length) + 1) / (length + 1)
    start, end = 0, 0
    while end < frames:
        end = frames if frames - start <= LONGEST * window else start + window
        weight = np.ones(end - start, np.float32)
        if start:
            weight[:shared] = rise
        if end < frames:
            weight[-shared:] = 1 - rise
        yield start, end, weight
        start += step


def together(lengths: Sequence[int], rows: int) -> Iterator[slice]:
    """What the network hears at once: so many rows at most, of which not more than `WASTE` is padding.

    Args:
        lengths: samples of each row; neighbours should be of like length.
    """
    first = 0
    while first < len(lengths):
        last = first + 1
        while last < min(first + rows, len(lengths)):
            padded = max(lengths[first : last + 1]) * (last + 1 - first)
            if padded - sum(lengths[first : last + 1]) > WASTE * padded:
                break
            last += 1
        yield slice(first, last)
        first = last
