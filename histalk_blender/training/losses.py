"""The losses that training minimises, each scaled to about one for a resting face.

To add one, write it as a function of `LossInputs` and give it a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from ..head.head import INNER_LIP_PAIRS
from ..network.model import HiSTalkComponents
from .examples.motion_space import MotionSpace
from .teacher.lips import CLOSED, RAISED

STILL = 0.01  # control below which the target's face is at rest
CLOSURE_SHARPNESS = 400.0  # a metre: an opening of 2.5 mm counts 1/e of a closure's
OPEN_FLOOR = 0.5  # what a wide opening counts beside a closure's 1 + this: with less, lips close in doubt
CLOSED_STRESS = 1.5  # a missed closure beside a false one: the eye forgives the false one more easily
CLOSED_BELOW, OPEN_ABOVE = 0.0007, 0.0015  # metres above rest: surely shut, surely parted
BITE_UP, BITE_DOWN = 0.0013, 0.0027  # metres that the lower lip is below its rest: surely at the teeth, surely away
SOFTNESS = 0.0005  # metres: how gradually a prediction passes from met to parted


@dataclass(frozen=True)
class LossInputs:
    """A batch's prediction and target; what several losses need is computed once."""

    out: HiSTalkComponents  # the model's output, components not yet expanded
    controls: Tensor  # [B, T, C] the clips' controls, see `Clip`
    phones: Tensor  # [B, M] classes a 40 ms token, -100 = unknown
    space: MotionSpace
    sure: Tensor  # [B, T] how sure each frame's target is, 0 to 1

    def mean(self, values: Tensor, weight: Tensor | None = None) -> Tensor:
        """[B, T] -> their mean over the frames that are sure, or by another weight [B, T]."""
        weight = self.sure if weight is None else weight
        return (values * weight).sum() / weight.sum().clamp(min=1e-6)

    @cached_property
    def dense(self) -> Tensor:
        """[B, T, K] predicted components."""
        return self.out.fine + self.out.coarse

    @cached_property
    def dense_landmarks(self) -> Tensor:
        """[B, T, 68, 3] metres that the predicted components move the landmarks."""
        return torch.einsum("btk,klc->btlc", self.dense, self.space.landmarks)

    @cached_property
    def target(self) -> Tensor:
        """[B, T, K] the target's components."""
        return self.controls @ self.space.from_controls

    @cached_property
    def target_landmarks(self) -> Tensor:
        """[B, T, 68, 3] metres."""
        return torch.einsum("btk,klc->btlc", self.target, self.space.landmarks)

    @cached_property
    def scale(self) -> Tensor:
        """The target's mean squared motion, square metres."""
        return self.space.error(self.target).mean().clamp(min=1e-10)

    @cached_property
    def landmark_scale(self) -> Tensor:
        """The target's mean squared landmark motion, square metres."""
        return self.target_landmarks.square().mean().clamp(min=1e-10)

    @cached_property
    def target_opening(self) -> Tensor:
        """[B, T] metres between the target's lips."""
        return opening(self.target_landmarks, self.space.neutral)

    @cached_property
    def dense_opening(self) -> Tensor:
        """[B, T] metres between the predicted lips."""
        return opening(self.dense_landmarks, self.space.neutral)

    @cached_property
    def rest_opening(self) -> Tensor:
        """Metres between the lips of the neutral face."""
        return opening(torch.zeros_like(self.space.neutral), self.space.neutral)


def opening(landmark_displacements: Tensor, neutral: Tensor) -> Tensor:
    """[..., 68, 3] metres -> [...] mean distance over the inner-lip pairs, metres."""
    points = landmark_displacements + neutral
    gaps = [points[..., a, :] - points[..., b, :] for a, b in INNER_LIP_PAIRS]
    return torch.stack([(gap.square().sum(-1) + 1e-10).sqrt() for gap in gaps]).mean(0)


def lowering(landmark_displacements: Tensor, neutral: Tensor) -> Tensor:
    """As `metrics.lower_lip_drop`: [..., 68, 3] displacements, [68, 3] in metres -> [...] metres."""
    up = neutral[27] - neutral[8]
    lower = [pair[1] for pair in INNER_LIP_PAIRS]
    return -(landmark_displacements[..., lower, :] @ (up / up.norm())).mean(-1)


def dense(x: LossInputs) -> Tensor:
    """Vertices, of all branches together."""
    return x.mean(x.space.error(x.dense - x.target)) / x.scale


def coarse(x: LossInputs) -> Tensor:
    """Vertices, of the coarse motion generator alone."""
    return x.mean(x.space.error(x.out.coarse - x.target)) / x.scale


def sparse(x: LossInputs) -> Tensor:
    """Landmarks."""
    return x.mean((x.out.sparse - x.target_landmarks).square().mean((-2, -1))) / x.landmark_scale


def velocity(x: LossInputs) -> Tensor:
    """Differences of consecutive frames, of vertices and of landmarks."""

    def steps(values: Tensor) -> Tensor:
        return values[:, 1:] - values[:, :-1]

    sure = x.sure[:, 1:] * x.sure[:, :-1]
    vertices = x.space.error(steps(x.dense) - steps(x.target).detach())
    landmarks = (steps(x.out.sparse) - steps(x.target_landmarks)).square().mean((-2, -1))
    return x.mean(vertices, sure) / x.scale + x.mean(landmarks, sure) / x.landmark_scale


def lip_opening(x: LossInputs) -> Tensor:
    """How far the lips are open; where they should be shut it counts most."""
    stress = OPEN_FLOOR + torch.exp(-CLOSURE_SHARPNESS * (x.target_opening - x.rest_opening).clamp(min=0))

    def error(gap: Tensor) -> Tensor:
        return x.mean((gap - x.target_opening).abs() * stress) / 0.003

    return error(x.dense_opening) + 0.5 * error(opening(x.out.sparse, x.space.neutral))


def closed(x: LossInputs) -> Tensor:
    """Whether the lips meet, yes or no: a mean error would leave them half open wherever the network is in doubt."""
    gap = x.target_opening - x.rest_opening
    shut, parted = (gap < CLOSED_BELOW).float(), (gap > OPEN_ABOVE).float()
    logit = (CLOSED - (x.dense_opening - x.rest_opening)) / SOFTNESS
    meets = CLOSED_STRESS * shut * F.softplus(-logit) + parted * F.softplus(logit)
    return x.mean(meets, x.sure * (shut + parted))


def bite(x: LossInputs) -> Tensor:
    """Whether the lower lip is up at the teeth, as for /f v/."""
    lowered, dropped = (lowering(marks, x.space.neutral) for marks in (x.target_landmarks, x.dense_landmarks))
    up, down = (lowered < BITE_UP).float(), (lowered > BITE_DOWN).float()
    logit = (RAISED - dropped) / SOFTNESS
    return x.mean(up * F.softplus(-logit) + down * F.softplus(logit), x.sure * (up + down))


def rest(x: LossInputs) -> Tensor:
    """Millimetres that the inner lips move where the target's face is still."""
    still = (x.controls.abs().amax(-1) < STILL).float()
    moved = (x.dense_landmarks[..., 60:68, :].square().sum(-1) + 1e-10).sqrt().mean(-1) / 0.001
    return x.mean(moved, x.sure * still)


def phone_classes(x: LossInputs) -> Tensor:
    """Phone classes that the hierarchy predicts."""
    return F.cross_entropy(x.out.phone_logits.flatten(0, 1), x.phones.flatten())


# Name -> what it counts in the sum (the ancestors' weights: docs/method.md section 5), and how it is computed.
LOSSES: dict[str, tuple[float, Callable[[LossInputs], Tensor]]] = {
    "dense": (1.0, dense),
    "coarse": (0.5, coarse),
    "sparse": (1.0, sparse),
    "velocity": (2.0, velocity),
    "opening": (1.0, lip_opening),
    "closed": (0.4, closed),
    "bite": (0.3, bite),
    "rest": (0.15, rest),
    "phones": (0.6, phone_classes),
}


def compute_losses(inputs: LossInputs, without: Collection[str] = ()) -> dict[str, Tensor]:
    """Every loss, weighted; their sum is what training minimises.

    Args:
        inputs: prediction and target.
        without: names of `LOSSES` that the data cannot teach; they are zero.
    """
    return {name: (0.0 if name in without else weight) * loss(inputs) for name, (weight, loss) in LOSSES.items()}
