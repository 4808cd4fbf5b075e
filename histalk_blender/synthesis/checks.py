"""Checks of what the network predicts: outputs that fit the meshes, finite numbers, and a face that stays in place."""

from __future__ import annotations

import numpy as np

from ..errors import HiSTalkError
from ..head.topologies import TOPOLOGIES

FURTHEST = 1.0  # metres, four heads: no speech moves a face so far


def check_outputs(model, topology: str, vertices: int) -> None:
    """Refuse a model without an output for a mesh of so many vertices.

    Raises:
        HiSTalkError: it has none, or one for another mesh of that name.
    """
    if topology not in model.outputs:
        raise HiSTalkError(
            f"{_weights(model)} have no output for '{topology}', only for {', '.join(model.outputs)}: train some on it "
            "with `histalk train`, or choose another head."
        )
    for name, count in ({known.name: known.vertices for known in TOPOLOGIES} | {topology: vertices}).items():
        if name in model.outputs and model.outputs[name].basis.shape[1] != count:
            raise HiSTalkError(
                f"{_weights(model)} move {model.outputs[name].basis.shape[1]} vertices of '{name}', which has {count}: "
                "choose weights of this version."
            )


def check_sound(samples: np.ndarray, name: str) -> None:
    """Refuse samples [N] that are not finite.

    Raises:
        HiSTalkError: it holds NaN or infinities.
    """
    if not np.isfinite(samples).all():
        raise HiSTalkError(f"{name} holds samples that are not numbers: export it again.")


def check_motion(model, parts: dict[str, np.ndarray], name: str) -> None:
    """Refuse a prediction that is not a face's motion.

    Args:
        model: whose output layers turn weights into metres.
        parts: its arrays: "weights" [T, K], and what else was asked for.
        name: of the sound, for the message.

    Raises:
        HiSTalkError: a number is NaN or infinite, or a vertex of a head moves further than `FURTHEST`.
    """
    blame = f"choose other weights than {_weights(model, '')}, or export the sound again."
    if not all(np.isfinite(part).all() for part in parts.values()):
        raise HiSTalkError(f"The network predicts NaN or infinities for {name}: {blame}")
    for topology in TOPOLOGIES:  # whose unit is known
        if topology.name in model.outputs and len(parts["weights"]):
            furthest = _furthest(parts["weights"], model.outputs[topology.name].basis.detach())
            if not furthest <= FURTHEST:
                raise HiSTalkError(f"The network moves the face by {furthest:.3g} m for {name}: {blame}")


def _furthest(weights: np.ndarray, basis) -> float:
    """Metres that the furthest vertex goes, or less than `FURTHEST` where it cannot go as far: the bound is cheap."""
    reach = 3**0.5 * basis.float().abs().amax((1, 2)).cpu().numpy().astype(np.float64)
    bound = np.abs(weights) @ reach
    worst = np.argsort(bound)[-8:]  # of frames
    if not bound[worst[-1]] > FURTHEST:
        return float(bound[worst[-1]])
    shapes = basis.float().cpu().numpy().astype(np.float64)
    return max(float(np.linalg.norm(np.tensordot(weights[frame], shapes, 1), axis=-1).max()) for frame in worst)


def _weights(model, start: str = "The weights") -> str:
    source = getattr(model, "source", "")
    return f"{start} '{source}'".strip() if source else start or "these"
