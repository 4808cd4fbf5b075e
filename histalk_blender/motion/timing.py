"""When a motion plays: frame rate, delay, easing, and the scene frame where it begins."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import HiSTalkError
from .motion import Motion

EASE = 0.2  # seconds in which a face eases from neutral before the first frame, and back after the last


def scene_timing(
    motion: Motion,
    fps: float,
    start: float,
    delay: float = 0.0,
    ease: bool = False,
    frames: tuple[int, int] | None = None,
) -> tuple[Motion, float]:
    """A motion as it is baked: a delay moves its beginning and cuts nothing.

    Args:
        motion: at any rate.
        fps: the scene's frames a second.
        start: scene frame where the sound begins.
        delay: seconds by which the face moves after the sound; negative = before it.
        ease: whether the face eases from neutral before the first frame, and back after the last.
        frames: first and last scene frame to bake; None = all.

    Returns:
        The motion at the scene's rate, and the scene frame of its first frame, which may lie between two frames.

    Raises:
        HiSTalkError: no frame of it is in that range.
    """
    motion, begin = motion.at_fps(fps), start + delay * fps
    if ease:
        motion, before = add_ease_in_out(motion)
        begin -= before
    if frames:
        first = max(0, round(frames[0] - begin))
        last = max(first, min(len(motion), round(frames[1] - begin) + 1))
        motion, begin = motion.between(first, last), begin + first
        if not len(motion):
            raise HiSTalkError("Nothing is spoken in the frame range: choose another, or switch it off.")
    return motion, begin


def from_sound_start(motion: Motion, fps: float, delay: float = 0.0) -> Motion:
    """A motion for files without a start frame: frame 0 is where the sound begins.

    A positive delay holds the first pose and makes the file longer. A negative one leaves out what is before the sound
    and holds the last pose, so the file stays as long as the sound.
    """
    motion = motion.at_fps(fps)
    late = delay * fps
    count = max(len(motion), math.ceil(len(motion) + late - 1e-6))
    return motion.sampled(np.arange(count) - late) if late else motion


def add_ease_in_out(motion: Motion) -> tuple[Motion, int]:
    """The motion with easing from neutral and back, and how many frames earlier it begins."""
    count = max(2, round(EASE * motion.fps))
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(count, dtype=np.float32) / count)[:, None]
    ends = motion.weights[0] * rise, motion.weights[-1] * rise[::-1]
    return replace(motion, weights=np.concatenate([ends[0], motion.weights, ends[1]])), count
