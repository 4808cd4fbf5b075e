"""Windows of long clips for overlap-add, and batches of windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

LONGEST = (
    1.5  # of a window, that the last one may have: no clip then ends with a short one, which has too little context
)
MAX_PADDING = 0.1  # share of a batch


def overlap_add_windows(
    frames: int, fps: float, window_s: float, overlap_s: float, period: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(start, end, fade [end - start]) frames of each window; the fades of all sum to one.

    Two neighbours are cross-faded over the middle eighth of what they share; the rest only gives the network context:
    only one window counts there. Windows start on the network's period where it is short enough, so that its tokens
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
        fade = np.ones(end - start, np.float32)
        if start:
            fade[:shared] = rise
        if end < frames:
            fade[-shared:] = 1 - rise
        yield start, end, fade
        start += step


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[slice]:
    """Parts of a list of rows that make a batch each: `batch_size` rows at most, and at most `MAX_PADDING` of padding.

    Args:
        lengths: samples of each row; neighbours should be of similar length.
    """
    first = 0
    while first < len(lengths):
        last = first + 1
        while last < min(first + batch_size, len(lengths)):
            padded = max(lengths[first : last + 1]) * (last + 1 - first)
            if padded - sum(lengths[first : last + 1]) > MAX_PADDING * padded:
                break
            last += 1
        yield slice(first, last)
        first = last
