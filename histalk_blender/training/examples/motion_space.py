"""Where targets and losses live: the components of an output layer, which are linear in everything that is compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...head.head import Head
from ..corpus.clips import Clip

REGION_WEIGHTS = (("mouth_area", 3.0), ("lips", 6.0), ("tongue", 2.0))  # what a vertex counts; the scalp's count one
SAMPLED_CLIPS = 1000  # that the output layer's first basis is computed from


@dataclass(frozen=True)
class MotionSpace:
    """A topology's motion as components of its output layer [K]; all linear, so losses skip the vertices."""

    basis: Tensor  # [K, V, 3] metres
    from_controls: Tensor  # [C, K]: what a clip's controls are in components
    metric: Tensor  # [K, K]: weighted mean squared vertex error of a component vector
    landmarks: Tensor  # [K, 68, 3] metres
    neutral: Tensor  # [68, 3] metres

    @classmethod
    def on(cls, basis: Tensor, deltas: Tensor, vertex_weights: Tensor, landmarks, neutral: Tensor) -> MotionSpace:
        """The space of an output layer's own basis.

        Args:
            basis: [K, V, 3]; deltas: [C, V, 3] what each control moves, both in metres; vertex_weights: [V].
            landmarks: function from [..., V, 3] to [..., 68, 3]; neutral: [68, 3] metres.
        """
        from_controls = deltas.flatten(1).double() @ torch.linalg.pinv(basis.flatten(1).double())
        metric = torch.einsum("kvc,v,lvc->kl", basis, vertex_weights / vertex_weights.sum(), basis)
        return cls(basis, from_controls.float(), metric, landmarks(basis), neutral)

    def error(self, components: Tensor) -> Tensor:
        """Weighted mean squared vertex displacement [...] in square metres."""
        return ((components @ self.metric) * components).sum(-1)

    def to(self, device) -> MotionSpace:
        """The same on another device."""
        return MotionSpace(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def principal_basis(deltas: Tensor, samples: Tensor, size: int) -> Tensor:
    """Principal components of motion by blendshapes, each as large as its standard deviation.

    Args:
        deltas: [52, V, 3] blendshape deltas in metres; samples: [S, 52] their weights.
        size: K; what the blendshapes do not fill stays zero.

    Returns:
        [K, V, 3] metres.
    """
    flat = deltas.flatten(1).double()
    spread = torch.linalg.cholesky(torch.cov(samples.double().T) + 1e-6 * torch.eye(len(deltas)))
    _, values, right = torch.linalg.svd(spread.T @ flat, full_matrices=False)
    rank = int((values > values[0] * 1e-5).sum())
    basis = torch.zeros(size, flat.shape[1], dtype=torch.float64)
    basis[:rank] = values[:rank, None] * right[:rank]
    return basis.float().unflatten(-1, deltas.shape[1:])


def first_basis(head: Head, clips: list[Clip], size: int, seed: int) -> Tensor:
    """The output layer's start [size, V, 3]: what the teacher moves in some of the clips."""
    random = np.random.default_rng(seed)
    chosen = random.choice(len(clips), min(len(clips), SAMPLED_CLIPS), replace=False)
    samples = np.concatenate([np.asarray(clips[i].controls, np.float32) for i in chosen])
    return principal_basis(torch.from_numpy(head.blendshape_deltas()), torch.from_numpy(samples), size)


def motion_space(head: Head, basis: Tensor) -> MotionSpace:
    """The bundled head's `MotionSpace` on an output layer's basis [K, V, 3]."""
    weights = torch.ones(len(head.vertices))
    for region, weight in REGION_WEIGHTS:
        weights[torch.from_numpy(head.regions[region].astype(np.int64))] = weight

    def landmarks(points: Tensor) -> Tensor:
        return torch.from_numpy(head.landmarks(points.numpy()))

    neutral = torch.from_numpy(head.landmarks(head.vertices)).float()
    return MotionSpace.on(basis, torch.from_numpy(head.blendshape_deltas()), weights, landmarks, neutral)
