"""Designs on one frozen extractor: everything behind it is trained and scored on kept features.

A run from random weights spends nearly all of its time on the extractor. Here every design has the same one, so that
what differs between two runs is the design; steps and the order of the data are equal, whatever else the machine does.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ...motion.motion import Motion
from ...network import HiSTalk
from ...network.model import AcousticFeatures, HiSTalkComponents
from ...synthesis.checks import check_motion
from ..corpus.clips import Clip
from ..datasets import Recording
from ..datasets.corpus import Corpus, recording_of
from ..evaluation.scoring import score
from ..examples.batches import DOUBTED, chances, pair_times, phones_at
from ..examples.motion_space import first_basis, motion_space
from ..losses import LossInputs, compute_losses
from ..teacher.phones import ARPABET
from .feature_batches import feature_batches
from .features import FrozenExtractor
from .plan import ExperimentPlan

# Features of each training clip. In one run each, a second, augmented one gave no better scores for as much encoding
# again.
AUGMENTED_COPIES = 1
STEPS = 400
LEARNING_RATE = 1e-3
WARM_UP = 0.1  # of the steps; the learning rate rises


class FrozenExtractorRuns:
    """What all runs share: features of the training clips and of the test recordings, and the output layer."""

    def __init__(self, plan: ExperimentPlan):
        """Compute, or read, the features under features/ of the plan's folder.

        Raises:
            HiSTalkError: weights or corpus are missing, or there is no room.
        """
        assert plan.acoustic_from, "runs share the extractor of a checkpoint"
        self.device, self.data = plan.options.device, Corpus(plan.corpus)
        extractor = FrozenExtractor(plan.acoustic_from, plan.out / "features", self.device)
        self.clips = self.data.clips("train")
        self.budget = plan.budget(extractor.digest, len(self.clips))
        self.copies = [extractor.features("train", self.clips, copy) for copy in range(AUGMENTED_COPIES)]
        groups: dict[str, list[Clip]] = {}
        for clip in self.data.clips("test"):
            groups.setdefault(f"{clip.split} {clip.source}", []).append(clip)
        self.tested = [clip for _, group in sorted(groups.items()) for clip in group[: plan.max_per_group]]
        self.test_features = extractor.features("test", self.tested)
        vertices = len(self.data.head.vertices)
        self.config = replace(extractor.config, topologies=((self.data.topology.name, vertices),))
        self.basis = first_basis(self.data.head, self.clips, self.config.dense_components, seed=0)
        self.space = motion_space(self.data.head, self.basis).to(self.device)

    def build(self, build: type[HiSTalk], changes: dict, seed: int) -> HiSTalk:
        """A design with random weights, without an extractor and with the shared output layer."""
        torch.manual_seed(seed)
        model = build(replace(self.config, **changes))
        model.acoustic = nn.Identity()  # features are computed already
        basis = model.get_parameter(f"outputs.{self.data.topology.name}.basis").requires_grad_(False)
        basis.data.copy_(self.basis)
        return model.to(self.device)

    def train(
        self, model: HiSTalk, seed: int, steps: int, name: str, chance: np.ndarray | None = None
    ) -> dict[str, float]:
        """So many steps, on all clips by their sources' shares, or by how often each is to be drawn: `chance` [clips].

        Returns:
            Seconds of processor time, and hours of speech.
        """
        chance = chances(self.clips) if chance is None else chance
        feed = feature_batches(self.clips, self.copies, chance, self.config, seed)
        weights = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(weights, LEARNING_RATE, (0.9, 0.98), weight_decay=0.01)
        began, tokens = time.process_time(), 0
        model.train()
        for step in tqdm(range(steps), desc=name, unit="step", leave=False, disable=None):
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * min(
                    1.0, (step + 1) / (WARM_UP * steps), 0.5 + 0.5 * math.cos(math.pi * step / steps)
                )
            batch = next(feed).to(self.device)
            features = AcousticFeatures(batch.acoustic, batch.tokens, batch.frames, batch.controls.shape[1])
            out = model.from_features(features)
            parts = compute_losses(LossInputs(out, batch.controls, batch.phones, self.space, batch.sure))
            total = torch.stack(list(parts.values())).sum()
            optimiser.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            # A batch whose every phone is doubted has no phone loss.
            if math.isfinite(total.item()):
                optimiser.step()
            tokens += int(batch.tokens.sum())
        model.eval()
        hours = tokens * self.config.hop / self.config.sample_rate / 3600
        return {"seconds": time.process_time() - began, "speech_hours": hours}

    def components(self, model: HiSTalk, place: int) -> HiSTalkComponents:
        """Of a test recording, by its place in `tested`: what `HiSTalk.components` computes from its sound."""
        acoustic = torch.from_numpy(self.test_features[place].astype(np.float32))[None].to(self.device)
        T = self.config.frames(len(self.tested[place].samples))
        tokens, frames = (torch.tensor([size], device=self.device) for size in (acoustic.shape[1], T))
        with torch.inference_mode():
            return model.from_features(AcousticFeatures(acoustic, tokens, frames, T))

    def scores(self, model: HiSTalk) -> dict[str, dict[str, float | None]]:
        """Each group's row of `scoring.score`, and the share of 40 ms tokens whose phone is right.

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
        true = phones_at(self.tested[place], pair_times(self.test_features.tokens[place]))
        counts = (true != DOUBTED) & (true != ARPABET.index("SIL"))
        return (out.phone_logits[0].argmax(-1).cpu().numpy() == true)[counts]
