"""When a motion plays: rate, delay, the way from rest and back, and the scene frame where it begins; one way for all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import HiSTalkError
from .motion import Motion

REST = 0.2  # seconds in which a face leaves its rest before the first frame and returns to it after the last


def place(
    motion: Motion,
    fps: float,
    start: float,
    delay: float = 0.0,
    rest: bool = False,
    frames: tuple[int, int] | None = None,
) -> tuple[Motion, float]:
    """A motion as it is baked, whole: a delay moves where it begins and cuts nothing.

    Args:
        motion: at any rate.
        fps: the scene's frames a second.
        start: scene frame where the sound begins.
        delay: seconds by which the face moves after the sound; negative = before it.
        rest: whether the face leaves its rest before the first frame and returns to it after the last.
        frames: first and last scene frame to bake; None = all.

    Returns:
        The motion at the scene's rate, and the scene frame of its first frame, which may lie between two frames.

    Raises:
        HiSTalkError: nothing of it lies in those frames.
    """
    motion, begin = motion.at_fps(fps), start + delay * fps
    if rest:
        motion, before = resting(motion)
        begin -= before
    if frames:
        first = max(0, round(frames[0] - begin))
        last = max(first, min(len(motion), round(frames[1] - begin) + 1))
        motion, begin = motion.between(first, last), begin + first
        if not len(motion):
            raise HiSTalkError("Nothing is spoken in the frame range: choose another, or switch it off.")
    return motion, begin


def from_sound_on(motion: Motion, fps: float, delay: float = 0.0) -> Motion:
    """A motion for files that have no start frame of their own: frame 0 is where the sound begins.

    A positive delay holds the first pose before and makes the file longer, a negative one leaves out what lies before
    the sound and holds the last pose, so that the file lines up with the sound and nothing of the end is cut.
    """
    motion = motion.at_fps(fps)
    late = delay * fps
    count = max(len(motion), math.ceil(len(motion) + late - 1e-6))
    return motion.sampled(np.arange(count) - late) if late else motion


def resting(motion: Motion) -> tuple[Motion, int]:
    """The motion with its way from rest and back, and how many frames it begins earlier for it."""
    count = max(2, round(REST * motion.fps))
    ease = 0.5 - 0.5 * np.cos(np.pi * np.arange(count, dtype=np.float32) / count)[:, None]
    ends = motion.weights[0] * ease, motion.weights[-1] * ease[::-1]
    return replace(motion, weights=np.concatenate([ends[0], motion.weights, ends[1]])), count
