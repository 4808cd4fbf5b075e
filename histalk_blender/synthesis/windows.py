"""Windows of long clips, and which of them are heard together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

SHORTEST = 24.0  # seconds of a clip's last window, where the clip has as much: less would hear too little of its context
WASTE = 0.1  # of what the network hears together, the share that may be padding


def windows(frames: int, fps: float, window_s: float, overlap_s: float, period: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """(start, end, fade [end - start]) frames of each window, which fades in over the middle eighth of an overlap.

    The rest of an overlap only gives the network context: there one window alone counts. Windows start on
    the network's period where it is short enough, so that its tokens hold the same sound as in the whole clip.

    Args:
        frames: of the clip.
        window_s, overlap_s: seconds of a window, and of what two neighbours share.
        period: frames.
    """
    window, overlap = round(window_s * fps), round(overlap_s * fps)
    grid = period if period <= window - overlap else 1
    step = (window - overlap) // grid * grid
    last = -(-(frames - min(window, round(SHORTEST * fps))) // grid) * grid
    start, before = 0, 0
    while True:
        end = min(start + window, frames)
        fade = np.ones(end - start, np.float32)
        if start:
            shared = before - start
            length = shared // 8
            first = (shared - length) // 2
            fade[:first] = 0
            fade[first : first + length] = (np.arange(length) + 1) / (length + 1)
        yield start, end, fade
        if end == frames:
            return
        before = end
        start = min(start + step, max(last, start + grid))


def together(lengths: Sequence[int], rows: int) -> Iterator[slice]:
    """What the network hears at once: so many rows at most, of which not more than `WASTE` is padding.

    Args:
        lengths: samples of each row, none longer than the one before it.
    """
    first = 0
    while first < len(lengths):
        last = first + 1
        while last < min(first + rows, len(lengths)):
            padded = lengths[first] * (last + 1 - first)
            if padded - sum(lengths[first : last + 1]) > WASTE * padded:
                break
            last += 1
        yield slice(first, last)
        first = last
