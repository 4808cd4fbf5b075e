"""Batches of kept features: clips of like length, padded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...network import HiSTalkConfig
from ..corpus.clips import Clip
from ..examples.batches import DOUBTED, motion_at, pair_times, phones_at
from .features import Features

SPAN = 6.0  # seconds of a clip that a batch holds at the most
SECONDS = 25.0  # of a batch, padding included: four of the longest clips
POOL = 16  # batches that are drawn at once, so that clips of like length meet


@dataclass(frozen=True)
class FeatureBatch:
    """Features of clips padded to the longest; the padding counts in no loss."""

    acoustic: Tensor  # [B, M, width]
    tokens: Tensor  # [B] valid tokens
    frames: Tensor  # [B] valid frames
    controls: Tensor  # [B, T, C]
    phones: Tensor  # [B, ceil(M / 2)] classes, -100 where doubted or padded
    sure: Tensor  # [B, T] 0 where doubted or padded

    def to(self, device: str) -> FeatureBatch:
        """The same on another device."""
        return FeatureBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def feature_batches(
    clips: list[Clip], copies: list[Features], chance: np.ndarray, config: HiSTalkConfig, seed: int
) -> Iterator[FeatureBatch]:
    """Endless batches of about `SECONDS`; what they hold depends on the seed alone."""
    random = np.random.default_rng(seed)
    while True:
        drawn, total = [], 0.0
        while total < POOL * SECONDS:
            i = int(random.choice(len(clips), p=chance))
            tokens = min(copies[0].tokens[i], config.tokens(round(SPAN * config.sample_rate)))
            first = int(random.integers(copies[0].tokens[i] - tokens + 1))
            drawn.append((tokens, first, i, int(random.integers(len(copies)))))
            total += tokens * config.hop / config.sample_rate
        drawn.sort()
        pool: list[list] = [[]]
        for piece in drawn:
            if pool[-1] and (len(pool[-1]) + 1) * piece[0] * config.hop > SECONDS * config.sample_rate:
                pool.append([])
            pool[-1].append(piece)
        for at in random.permutation(len(pool)):
            yield _batch(pool[at], clips, copies, config)


def _batch(pieces: list, clips: list[Clip], copies: list[Features], config: HiSTalkConfig) -> FeatureBatch:
    hop = config.hop / config.sample_rate
    M = max(tokens for tokens, *_ in pieces)
    samples = [min(tokens * config.hop, len(clips[i].samples)) for tokens, _, i, _ in pieces]
    frames = np.array([config.frames(n) for n in samples])
    T, B = int(frames.max()), len(pieces)
    acoustic = np.zeros((B, M, config.acoustic_width), np.float32)
    controls = np.zeros((B, T, clips[0].controls.shape[1]), np.float32)
    phones, sure = np.full((B, -(-M // 2)), DOUBTED), np.zeros((B, T), np.float32)
    for row, (tokens, first, i, copy) in enumerate(pieces):
        acoustic[row, :tokens] = copies[copy][i][first : first + tokens]
        times = np.arange(frames[row]) / config.fps + first * hop
        controls[row, : len(times)], sure[row, : len(times)] = motion_at(clips[i], times, config.fps)
        times = pair_times(tokens) + first * hop
        phones[row, : len(times)] = phones_at(clips[i], times)
    tokens = np.array([tokens for tokens, *_ in pieces])
    return FeatureBatch(*map(torch.from_numpy, (acoustic, tokens, frames, controls, phones, sure)))
