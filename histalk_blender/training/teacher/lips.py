"""Lips that must meet: when /p b m/ shut them, when /f v/ put the lower lip to the teeth, and what counts as met."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .phones import BILABIALS, LABIODENTALS

CLOSED = 0.001  # metres above the resting opening below which the lips count as closed
RAISED = 0.002  # metres that the lower lip may lie below its rest and still touch the upper teeth
TRANSITION = 0.050  # seconds a closure takes to make or release
SHORTEST_CLOSURE, LONGEST_CLOSURE = 0.070, 0.25  # seconds
SHORTEST_BITE = 0.06  # seconds


def closure_spans(phones: Sequence) -> list[tuple[float, float]]:
    """When the lips must be shut for /p b m/: before the release, and never shorter than two frames.

    A label of /p/ holds its aspiration, during which the lips are open already: the closure ends at 60 % of it.

    Args:
        phones: (ARPAbet, start s, end s) in order.

    Returns:
        (start s, end s) of each closure.
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
        begin, release = start - lead, min(release, start + LONGEST_CLOSURE)
        short = SHORTEST_CLOSURE - (release - begin)
        if short > 0:
            begin, release = begin - short / 2, release + short / 2
        spans.append((begin, release))
    return spans


def bite_spans(phones: Sequence) -> list[tuple[float, float]]:
    """When the lower lip touches the upper teeth for /f v/: (start s, end s) of each."""
    return [(start, max(end, start + SHORTEST_BITE)) for phone, start, end in phones if phone in LABIODENTALS]


def hold(times: np.ndarray, spans: list[tuple[float, float]], transition: float = TRANSITION) -> np.ndarray:
    """1 inside the spans, falling smoothly to 0 within `transition` seconds around them: [T] at `times`, in seconds."""
    out = np.zeros(len(times))
    for begin, end in spans:
        low, high = np.searchsorted(times, [begin - transition, end + transition])
        outside = np.maximum(np.maximum(begin - times[low:high], times[low:high] - end), 0) / transition
        value = 0.5 + 0.5 * np.cos(np.pi * np.minimum(outside, 1))
        out[low:high] = np.maximum(out[low:high], value)
    return out
