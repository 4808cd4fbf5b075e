"""Compose a checkpoint's `flame` output anew from its `histalk` output and the bundled map.

    python tools/compose_flame.py model_weights/histalk-small.safetensors

A mix of our blendshapes becomes the same mix of those that tools/train_flame.py solved for on a FLAME head. Training
does the same when it saves. This is for when the map changed since; nothing else in the file does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from histalk_blender.files import atomic_path
from histalk_blender.head.topologies.flame import load_flame_map
from histalk_blender.network.config import HiSTalkConfig


def compose(path: Path) -> float:
    """Rewrite the file, under a temporary name until it is whole.

    Returns:
        By how much the output's furthest number moved, in metres of a component at one; NaN when there was none.

    Raises:
        SafetensorError, OSError, KeyError: the file is no HiSTalk checkpoint.
    """
    with safe_open(path, "pt") as file:
        notes, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    basis, before = state["outputs.histalk.basis"], state.get("outputs.flame.basis")
    after = torch.from_numpy(load_flame_map().move(basis.float().numpy())).to(basis.dtype).contiguous()
    state["outputs.flame.basis"] = after
    notes["config"] = HiSTalkConfig.from_json(notes["config"]).with_topology("flame", after.shape[1]).to_json()
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata=notes)
    return float("nan") if before is None else float((after.float() - before.float()).abs().max())


def main() -> None:
    """Compose each file named on the command line."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    for path in map(Path, sys.argv[1:]):
        print(f"{path}: the flame output moved by up to {compose(path) * 1000:.3f} mm a component")


if __name__ == "__main__":
    main()
