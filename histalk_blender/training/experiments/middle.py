"""Designs on one frozen ear: the middle of a network, trained and scored on kept features.

A run from nothing spends nearly all of its time on learning to hear. Here every design hears the same, so that what
differs between two runs is the design; steps and the order of the data are equal, whatever else the machine does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...motion.motion import Motion
from ...network import HiSTalk, HiSTalkConfig
from ...network.model import AcousticFeatures, HiSTalkComponents
from ...synthesis.checks import check_motion
from ..datasets import Recording
from ..datasets.ours import Ours, recording_of
from ..evaluation.scoring import score
from ..examples.batches import DOUBTED, Clip, chances, motion_at, pair_times, phones_at
from ..examples.features import Features, Hearing
from ..loop import first_basis, motion_space
from ..losses import LossWeights, losses
from ..teacher.phones import ARPABET

COPIES = (
    1  # of a training clip: in one run each, a second, augmented one gave no better scores for as much hearing again
)
SPAN = 6.0  # seconds of a clip that a batch holds at the most
SECONDS = 25.0  # of a batch, padding included: four of the longest clips
POOL = 16  # batches that are drawn at once, so that clips of like length meet
STEPS = 400
RATE = 1e-3
WARM = 0.1  # of the steps; the learning rate rises


@dataclass(frozen=True)
class Batch:
    """Clips padded to the longest; losses pass over the padding."""

    acoustic: Tensor  # [B, M, width]
    tokens: Tensor  # [B] valid tokens
    frames: Tensor  # [B] valid frames
    units: Tensor  # [B, T, 52]
    phones: Tensor  # [B, ceil(M / 2)] classes, -100 where doubted or padded
    sure: Tensor  # [B, T] 0 where doubted or padded

    def to(self, device: str) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def batches(
    clips: list[Clip], copies: list[Features], chance: np.ndarray, config: HiSTalkConfig, seed: int
) -> Iterator[Batch]:
    """Endless batches of about `SECONDS`; the seed alone decides what they hold."""
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


def _batch(pieces: list, clips: list[Clip], copies: list[Features], config: HiSTalkConfig) -> Batch:
    hop = config.hop / config.sample_rate
    M = max(tokens for tokens, *_ in pieces)
    samples = [min(tokens * config.hop, len(clips[i].samples)) for tokens, _, i, _ in pieces]
    frames = np.array([config.frames(n) for n in samples])
    T, B = int(frames.max()), len(pieces)
    acoustic = np.zeros((B, M, config.acoustic_width), np.float32)
    units = np.zeros((B, T, clips[0].units.shape[1]), np.float32)
    phones, sure = np.full((B, -(-M // 2)), DOUBTED), np.zeros((B, T), np.float32)
    for row, (tokens, first, i, copy) in enumerate(pieces):
        acoustic[row, :tokens] = copies[copy][i][first : first + tokens]
        times = np.arange(frames[row]) / config.fps + first * hop
        units[row, : len(times)], sure[row, : len(times)] = motion_at(clips[i], times, config.fps)
        times = pair_times(tokens) + first * hop
        phones[row, : len(times)] = phones_at(clips[i], times)
    tokens = np.array([tokens for tokens, *_ in pieces])
    return Batch(*map(torch.from_numpy, (acoustic, tokens, frames, units, phones, sure)))


class Bench:
    """What all runs share: features of the training clips and of the test recordings, and the output layer."""

    def __init__(self, hearing: Path, corpus: Path, out: Path, most: int, device: str):
        """Work out, or read, the features under `out`/features.

        Args:
            hearing: the checkpoint whose acoustic extractor all runs use.
            most: recordings of a group at the most.

        Raises:
            HiSTalkError: weights or corpus are missing, or there is no room.
        """
        self.device, self.data = device, Ours(corpus)
        ear = Hearing(hearing, out / "features", device)
        self.digest = ear.digest
        self.clips = self.data.clips("train")
        self.copies = [ear.features("train", self.clips, copy) for copy in range(COPIES)]
        groups: dict[str, list[Clip]] = {}
        for clip in self.data.clips("test"):
            groups.setdefault(f"{clip.split} {clip.source}", []).append(clip)
        self.tested = [clip for _, group in sorted(groups.items()) for clip in group[:most]]
        self.heard = ear.features("test", self.tested)
        vertices = len(self.data.head.vertices)
        self.config = replace(ear.config, topologies=((self.data.topology.name, vertices),))
        self.basis = first_basis(self.data.head, self.clips, self.config.dense_components, seed=0)
        self.space = motion_space(self.data.head, self.basis).to(device)

    def build(self, build: type[HiSTalk], changes: dict, seed: int) -> HiSTalk:
        """A design by its seed, without an ear and with the shared output layer."""
        torch.manual_seed(seed)
        model = build(replace(self.config, **changes))
        model.acoustic = None
        basis = model.outputs[self.data.topology.name].basis.requires_grad_(False)
        basis.data.copy_(self.basis)
        return model.to(self.device)

    def train(
        self, model: HiSTalk, seed: int, steps: int, name: str, chance: np.ndarray | None = None
    ) -> dict[str, float]:
        """So many steps, on all clips by their sources' shares, or by how often each is to be drawn: `chance` [clips].

        Returns:
            Seconds of processor time, and hours heard.
        """
        chance = chances(self.clips) if chance is None else chance
        feed = batches(self.clips, self.copies, chance, self.config, seed)
        weights = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(weights, RATE, (0.9, 0.98), weight_decay=0.01)
        began, heard = time.process_time(), 0
        model.train()
        for step in tqdm(range(steps), desc=name, unit="step", leave=False, disable=None):
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / (WARM * steps), 0.5 + 0.5 * math.cos(math.pi * step / steps))
            batch = next(feed).to(self.device)
            features = AcousticFeatures(batch.acoustic, batch.tokens, batch.frames, batch.units.shape[1])
            out = model.from_features(features)
            parts = losses(out, batch.units, batch.phones, self.space, LossWeights(), batch.sure)
            total = sum(parts.values())
            optimiser.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            # A batch whose every phone is doubted has no phone loss.
            if math.isfinite(total.item()):
                optimiser.step()
            heard += int(batch.tokens.sum())
        model.eval()
        hours = heard * self.config.hop / self.config.sample_rate / 3600
        return {"seconds": time.process_time() - began, "hours_heard": hours}

    def components(self, model: HiSTalk, place: int) -> HiSTalkComponents:
        """A test recording's, by its place in `tested`, as `HiSTalk.components` works them out of its sound."""
        acoustic = torch.from_numpy(self.heard[place].astype(np.float32))[None].to(self.device)
        T = self.config.frames(len(self.tested[place].samples))
        valid = (torch.tensor([size], device=self.device) for size in (acoustic.shape[1], T))
        with torch.inference_mode():
            return model.from_features(AcousticFeatures(acoustic, *valid, T))

    def scores(self, model: HiSTalk) -> dict[str, dict[str, float | None]]:
        """Each group's row of `evaluate.score`, and the share of 40 ms tokens whose phone is right.

        Silence and doubted labels do not count.
        """
        rows = {}
        shapes = self.basis.numpy()
        groups: dict[str, list[int]] = {}
        for place, clip in enumerate(self.tested):
            groups.setdefault(f"{clip.split} {clip.source}", []).append(place)
        with tqdm(total=len(self.tested), desc="evaluate", unit="clip", leave=False, disable=None) as bar:
            for group, places in groups.items():
                recordings = [recording_of(self.tested[place], self.data.head) for place in places]
                outs = {r: self.components(model, place) for r, place in zip(recordings, places)}

                def predict(recording: Recording, outs=outs) -> np.ndarray:
                    weights = (outs[recording].fine + outs[recording].coarse)[0].float().cpu().numpy()
                    check_motion(model, {"weights": weights}, f"'{recording.id}'")
                    return Motion(weights, shapes, self.config.fps).at_fps(self.data.topology.fps).displacements()

                rows[group] = score(recordings, predict, self.data.topology, bar.update).row
                right = np.concatenate([self._right(out, place) for out, place in zip(outs.values(), places)])
                rows[group]["phone_accuracy"] = float(right.mean()) if len(right) else None
        return rows

    def _right(self, out: HiSTalkComponents, place: int) -> np.ndarray:
        true = phones_at(self.tested[place], pair_times(self.heard.tokens[place]))
        counts = (true != DOUBTED) & (true != ARPABET.index("SIL"))
        return (out.phone_logits[0].argmax(-1).cpu().numpy() == true)[counts]
