"""The stream against the whole clip: what a hop costs, and what the motion loses without the sound that follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from table import Row

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio.clip import read_audio
from histalk_blender.head.head import lip_opening, load_head
from histalk_blender.motion.motion import Motion
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import WEIGHTS, Stream, synthesize

TITLE = "Streaming, 60 s of speech in chunks of 0.1 s"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"


def rows() -> Iterator[Row]:
    """Cost of the defaults, and for several look-aheads the difference from the whole clip's motion."""
    model, head = load_checkpoint(WEIGHTS), load_head()
    sound = np.resize(read_audio(SPEECH), 60 * SAMPLE_RATE)
    whole = synthesize(sound, model, head, levels=False).motion

    def opening(motion: Motion) -> np.ndarray:
        landmarks = head.landmarks(head.vertices) + motion.on(head.landmarks(motion.shapes)).displacements()
        return 1000 * lip_opening(landmarks)

    expected = opening(whole)
    for lookahead, bar in ((0.3, "<= 0.15"), (0.1, ""), (0.5, "")):
        streamed, seconds, slowest = _stream(Stream(model, head, lookahead_s=lookahead), sound)
        name = f"look-ahead {lookahead} s, hop 0.2 s"
        hop = f"{1000 * seconds / 300:.0f} ms a hop, the slowest {1000 * slowest:.0f} ms"
        yield Row(name, seconds / 60, "of real time", bar, hop)
        found, worst = opening(streamed), _worst_vertices(streamed, whole).mean()
        loss = f"lips {np.abs(found - expected).mean():.2f} mm off on average, a frame's worst vertex {worst:.2f} mm"
        correlation = float(np.corrcoef(found, expected)[0, 1])
        yield Row(f"{name}: lip opening", correlation, "correlation with the whole clip's", "", loss)


def _stream(stream: Stream, sound: np.ndarray) -> tuple[Motion, float, float]:
    """The streamed motion, seconds in all, and seconds of the slowest chunk."""
    weights, slowest, began = [], 0.0, time.perf_counter()
    for first in range(0, len(sound), SAMPLE_RATE // 10):
        fed = time.perf_counter()
        weights.append(stream.feed(sound[first : first + SAMPLE_RATE // 10]).weights)
        slowest = max(slowest, time.perf_counter() - fed)
    weights.append(stream.finish().weights)
    return Motion(np.concatenate(weights), stream.shapes, stream.fps), time.perf_counter() - began, slowest


def _worst_vertices(a: Motion, b: Motion) -> np.ndarray:
    """Millimetres that each frame's furthest vertex is off."""
    parts = [a.displacements(i, i + 300) - b.displacements(i, i + 300) for i in range(0, len(b), 300)]
    return 1000 * np.concatenate([np.linalg.norm(part, axis=2).max(1) for part in parts])
