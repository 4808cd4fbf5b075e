"""The topologies: a class in a file of its own each, the one list of them, and which of them a head has."""

from __future__ import annotations

import numpy as np

from ...errors import HiSTalkError
from .base import Pose, Topology
from .bundled import BundledTopology
from .flame import FlameTopology

__all__ = [
    "TOPOLOGIES",
    "Pose",
    "Topology",
    "recognise",
    "size_of",
    "topologies_with",
    "topology_named",
    "vertex_counts",
]

TOPOLOGIES: list[Topology] = [BundledTopology(), FlameTopology()]


def topology_named(name: str) -> Topology | None:
    """The topology of a checkpoint's output or of an .npz, or None."""
    return next((topology for topology in TOPOLOGIES if topology.name == name), None)


def topologies_with(vertices: int) -> list[Topology]:
    """Those that have so many vertices: what can be said of a mesh without reading one."""
    return [topology for topology in TOPOLOGIES if topology.vertices == vertices]


def recognise(rest: np.ndarray) -> Topology | None:
    """The topology of a head by the number of its vertices [V, 3] and where its landmarks lie, or None.

    Raises:
        HiSTalkError: the number is right and the order is not.
    """
    refused = None
    for topology in topologies_with(len(rest)):
        try:
            topology.pose(rest)
            return topology
        except HiSTalkError as error:
            refused = refused or error
    if refused:
        raise refused
    return None


def size_of(rest: np.ndarray) -> float:
    """How many times larger than the bundled head, which is human-sized, a head [V, 3] is modelled; 1 if unknown."""
    try:
        topology = recognise(rest)
        return topology.pose(rest).scale if topology else 1.0
    except HiSTalkError:  # so many vertices by chance
        return 1.0


def vertex_counts() -> str:
    """How many vertices heads of known topologies have, for messages."""
    return ", ".join(f"a {topology.label} {topology.vertices}" for topology in TOPOLOGIES)
