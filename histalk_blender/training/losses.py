"""Losses of HSF2S, S2D and the CMG, in units that make each about one for a resting face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..head.head import INNER_LIP_PAIRS
from ..network.model import HiSTalkComponents
from .evaluation.metrics import CLOSED, RAISED

STILL = 0.01  # unit weight below which the teacher's face rests


@dataclass(frozen=True)
class LossWeights:
    """What each part counts (ancestors' weights: docs/method.md section 5)."""

    dense: float = 1.0
    sparse: float = 1.0
    coarse: float = 0.5
    velocity: float = 2.0
    opening: float = 1.0
    closed: float = 0.4
    closed_stress: float = 1.5  # a missed closure beside a false one: eyes forgive the false one sooner
    phones: float = 0.6
    closure_sharpness: float = 400.0  # a metre: an opening of 2.5 mm counts 1/e of a closure's
    open_floor: float = 0.5  # what a wide opening counts beside a closure's 1 + this: too little, and doubt closes lips
    closed_below: float = 0.0007  # metres above rest: surely shut
    open_above: float = 0.0015  # metres above rest: surely parted
    threshold: float = CLOSED  # metres above rest at which the lips count as met
    bite: float = 0.3  # whether the lower lip is up at the teeth
    bite_up: float = 0.0013  # metres below its rest: surely at the teeth
    bite_down: float = 0.0027  # metres below its rest: surely away from them
    rest: float = 0.15  # of the inner lips' motion in millimetres where the teacher's face is still
    softness: float = 0.0005  # metres


@dataclass(frozen=True)
class MotionSpace:
    """The teacher's motion as components of a topology's output layer; all linear, so losses skip the vertices."""

    basis: Tensor  # [K, V, 3] metres
    from_units: Tensor  # [52, K]
    metric: Tensor  # [K, K]: weighted mean squared vertex error of a component vector
    landmarks: Tensor  # [K, 68, 3] metres
    neutral: Tensor  # [68, 3] metres

    @classmethod
    def on(cls, basis: Tensor, units: Tensor, vertex_weights: Tensor, landmarks, neutral: Tensor):
        """The space of an output layer's own basis.

        Args:
            basis: [K, V, 3]; units: [52, V, 3] unit deltas, both in metres; vertex_weights: [V].
            landmarks: function from [..., V, 3] to [..., 68, 3]; neutral: [68, 3] metres.
        """
        from_units = units.flatten(1).double() @ torch.linalg.pinv(basis.flatten(1).double())
        metric = torch.einsum("kvc,v,lvc->kl", basis, vertex_weights / vertex_weights.sum(), basis)
        return cls(basis, from_units.float(), metric, landmarks(basis), neutral)

    def error(self, components: Tensor) -> Tensor:
        """Weighted mean squared vertex displacement [...] in square metres."""
        return ((components @ self.metric) * components).sum(-1)

    def to(self, device) -> MotionSpace:
        """The same on another device."""
        return MotionSpace(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def principal_basis(units: Tensor, samples: Tensor, size: int) -> Tensor:
    """Principal components of the teacher's motion, each as large as its standard deviation.

    Args:
        units: [52, V, 3] unit deltas in metres; samples: [S, 52] unit weights.
        size: K; what the units do not fill stays zero.

    Returns:
        [K, V, 3] metres.
    """
    flat = units.flatten(1).double()
    spread = torch.linalg.cholesky(torch.cov(samples.double().T) + 1e-6 * torch.eye(len(units)))
    _, values, right = torch.linalg.svd(spread.T @ flat, full_matrices=False)
    rank = int((values > values[0] * 1e-5).sum())
    basis = torch.zeros(size, flat.shape[1], dtype=torch.float64)
    basis[:rank] = values[:rank, None] * right[:rank]
    return basis.float().unflatten(-1, units.shape[1:])


def opening(landmark_displacements: Tensor, neutral: Tensor) -> Tensor:
    """[..., 68, 3] metres -> [...] mean distance over the inner-lip pairs, metres."""
    points = landmark_displacements + neutral
    gaps = [points[..., a, :] - points[..., b, :] for a, b in INNER_LIP_PAIRS]
    return sum((gap.square().sum(-1) + 1e-10).sqrt() for gap in gaps) / len(gaps)


def lowering(landmark_displacements: Tensor, neutral: Tensor) -> Tensor:
    """As `metrics.lower_lip_drop`: [..., 68, 3] displacements, [68, 3] in metres -> [...] metres."""
    up = neutral[27] - neutral[8]
    lower = [pair[1] for pair in INNER_LIP_PAIRS]
    return -(landmark_displacements[..., lower, :] @ (up / up.norm())).mean(-1)


def losses(
    out: HiSTalkComponents,
    units: Tensor,
    phones: Tensor,
    space: MotionSpace,
    weights: LossWeights,
    sure: Tensor | None = None,
) -> dict[str, Tensor]:
    """Every loss, weighted; their sum is what training minimises.

    Args:
        out: the model's output, components not yet expanded.
        units: [B, T, 52] the teacher's unit weights; phones: [B, M] classes a 40 ms token, -100 = unknown.
        sure: [B, T] how far each frame's target is believed, 0 to 1; None = all of them.
    """
    sure = torch.ones_like(units[..., 0]) if sure is None else sure
    both = sure[:, 1:] * sure[:, :-1]

    def mean(x: Tensor, weight: Tensor = sure) -> Tensor:
        return (x * weight).sum() / weight.sum().clamp(min=1e-6)

    target = units @ space.from_units
    target_landmarks = torch.einsum("btk,klc->btlc", target, space.landmarks)
    dense = out.fine + out.coarse
    dense_landmarks = torch.einsum("btk,klc->btlc", dense, space.landmarks)
    scale = space.error(target).mean().clamp(min=1e-10)
    landmark_scale = target_landmarks.square().mean().clamp(min=1e-10)
    motion = (target[:, 1:] - target[:, :-1]).detach()
    motion_landmarks = target_landmarks[:, 1:] - target_landmarks[:, :-1]
    rest = opening(torch.zeros_like(space.neutral), space.neutral)
    true = opening(target_landmarks, space.neutral)
    stress = weights.open_floor + torch.exp(-weights.closure_sharpness * (true - rest).clamp(min=0))
    shown = opening(dense_landmarks, space.neutral)
    # Whether the lips meet is yes or no: a mean error would leave them half open wherever it cannot tell.
    shut, parted = (true - rest < weights.closed_below).float(), (true - rest > weights.open_above).float()
    logit = (weights.threshold - (shown - rest)) / weights.softness
    meets = weights.closed_stress * shut * F.softplus(-logit) + parted * F.softplus(logit)

    lowered, dropped = (lowering(marks, space.neutral) for marks in (target_landmarks, dense_landmarks))
    up, down = (lowered < weights.bite_up).float(), (lowered > weights.bite_down).float()
    logit = (RAISED - dropped) / weights.softness
    bites = up * F.softplus(-logit) + down * F.softplus(logit)
    still = (units.abs().amax(-1) < STILL).float()
    stirred = (dense_landmarks[..., 60:68, :].square().sum(-1) + 1e-10).sqrt().mean(-1) / 0.001

    def lips(gap: Tensor) -> Tensor:
        return mean((gap - true).abs() * stress) / 0.003

    return {
        "dense": weights.dense * mean(space.error(dense - target)) / scale,
        "coarse": weights.coarse * mean(space.error(out.coarse - target)) / scale,
        "sparse": weights.sparse * mean((out.sparse - target_landmarks).square().mean((-2, -1))) / landmark_scale,
        "velocity": weights.velocity
        * (
            mean(space.error(dense[:, 1:] - dense[:, :-1] - motion), both) / scale
            + mean((out.sparse[:, 1:] - out.sparse[:, :-1] - motion_landmarks).square().mean((-2, -1)), both)
            / landmark_scale
        ),
        "opening": weights.opening * (lips(shown) + 0.5 * lips(opening(out.sparse, space.neutral))),
        "closed": weights.closed * mean(meets, sure * (shut + parted)),
        "bite": weights.bite * mean(bites, sure * (up + down)),
        "rest": weights.rest * mean(stirred, sure * still),
        "phones": weights.phones * F.cross_entropy(out.phone_logits.flatten(0, 1), phones.flatten()),
    }
