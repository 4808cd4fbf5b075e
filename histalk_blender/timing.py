"""Motion at another frame rate."""

from __future__ import annotations

import numpy as np


def resample(motion: np.ndarray, from_fps: float, to_fps: float) -> np.ndarray:
    """Linear interpolation in time; the first frame stays at time 0 and the duration is kept.

    Args:
        motion: [T, ...].
        from_fps, to_fps: frames a second.

    Returns:
        [T', ...], T' = max(1, round(T · to_fps / from_fps)); `motion` itself when the rates agree.
    """
    if abs(from_fps - to_fps) < 1e-6:
        return motion
    frames = max(1, round(len(motion) * to_fps / from_fps))
    where = np.minimum(np.arange(frames) * from_fps / to_fps, len(motion) - 1)
    low = np.floor(where).astype(int)
    high = np.minimum(low + 1, len(motion) - 1)
    share = (where - low).astype(motion.dtype).reshape(-1, *[1] * (motion.ndim - 1))
    return motion[low] * (1 - share) + motion[high] * share
