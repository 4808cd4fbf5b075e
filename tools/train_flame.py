"""Train the `flame` output on the teacher's motion, transferred to a FLAME head (deformation transfer).

    pip install scipy==1.17.1 && python tools/train_flame.py --head flame_topology.npz [CHECKPOINT...]
    python tools/train_flame.py --head flame_topology.npz --compare [--corpus CORPUS] CHECKPOINT

The head holds `vertices` [5023, 3] and `faces` [9976, 3]; what is kept of it is how our blendshapes move its vertices.

No gradient descent is needed. The output layer is linear, components [T, 64] -> vertices, and so is the teacher, ARKit
weights [T, 52] -> vertices; the bundled head's components span all 52 blendshapes. So the layer with the least squared
error on the teacher's motion mixes the transferred blendshapes as the bundled head's layer mixes its own: its error is
zero, on any speech and with any vertex weights. What is learned are therefore 52 blendshapes on FLAME.
data/flame.npz keeps them, and training and `compose_flame.py` make the layer from them without a FLAME head. (Fitted to
the network's own components instead, the layer trades missed closures for false ones and no longer shuts the lips where
the network is right.)

--compare writes nothing: composed, plain transfer and trained beside each other, driven by the teacher, by the
checkpoint on the corpus' held-out clips where there is one, and by single blendshapes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from compare_flame import compare
from compose_flame import compose
from deformation_transfer import CLOSURE, Transfer, between

from histalk_blender.head.head import load_head
from histalk_blender.head.topologies.flame import BUNDLED, VERTICES, load_flame_map
from histalk_blender.training.teacher.phones import BILABIALS


def solve(flame: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 52 blendshapes on a FLAME head, its lips held shut wherever the teacher shuts ours.

    Args:
        flame: [5023, 3] neutral, any unit and axes; triangles: [F, 3].

    Returns:
        Vertex indices [N] that move, and [52, N, 3] metres in our head's size and axes, in half precision.

    Raises:
        HiSTalkError: the vertices are not FLAME's, or not in FLAME's order.
    """
    transfer = Transfer(flame, triangles, load_head())
    shut = between(tuple(sorted(BILABIALS)))[:, CLOSURE.start + 1]
    units = transfer.units(shut)[:, transfer.free]
    return transfer.free, np.where(np.abs(units) < 1e-5, 0, units).astype(np.float16)


def spread(moved: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Blendshapes of some vertices [52, N, 3] as those of all of FLAME's [52, 5023, 3]."""
    out = np.zeros((len(units), VERTICES, 3))
    out[:, moved] = units
    return out


def write(moved: np.ndarray, units: np.ndarray, path: Path = BUNDLED) -> None:
    """Put solved blendshapes into the map's file."""
    with np.load(path, allow_pickle=False) as data:
        parts = {name: data[name] for name in data.files}
    np.savez_compressed(path, **(parts | {"moved": moved.astype(np.int32), "units": units}))
    load_flame_map.cache_clear()


def main() -> None:
    """Solve, write the map and the checkpoints; or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("checkpoint", type=Path, nargs="*")
    options = parser.parse_args()
    if options.compare and len(options.checkpoint) != 1:
        parser.error("--compare needs one checkpoint, whose speech is compared.")
    with np.load(options.head, allow_pickle=False) as data:
        flame, triangles = data["vertices"], data["faces"].astype(int)
    moved, units = solve(flame, triangles)
    if options.compare:
        print(compare(flame, triangles, spread(moved, units), options.corpus, options.checkpoint[0]))
        return
    write(moved, units)
    print(f"{len(moved)} vertices move; {BUNDLED.stat().st_size / 1e3:.0f} kB")
    for path in options.checkpoint:
        print(f"{path}: the flame output moved by up to {compose(path) * 1000:.3f} mm a component")


if __name__ == "__main__":
    main()
