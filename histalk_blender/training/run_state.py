"""What a training run keeps in its folder: the state that it resumes from, and the checkpoint for everybody else."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import HiSTalkError
from ..files import atomic_open, open_regular
from ..head.head import load_head
from ..head.topologies import TOPOLOGIES
from ..network import HiSTalk, save_checkpoint
from ..runtime.output import printable
from .options import TrainOptions


@dataclass
class Progress:
    """How far a run is, over every resumption."""

    elapsed: float = 0.0  # seconds
    step: int = 0
    speech_seconds: float = 0.0  # trained on


def read_state(path: Path, device: str) -> tuple[dict, dict, Progress]:
    """What `save_run` wrote, to resume from: the model's state, the optimiser's, and the progress.

    Raises:
        HiSTalkError: it cannot be read, or is no whole state of a run.
    """
    try:
        with open_regular(path) as file:
            state = torch.load(file, weights_only=True, map_location=device)
        if not all(isinstance(state[name], dict) for name in ("model", "optimiser")):
            raise ValueError("its network is no table")
        progress = [state[name] for name in ("elapsed", "step", "heard")]
        if not all(type(value) in (int, float) and 0 <= value < 1e12 for value in progress):
            raise ValueError("its time or its steps are no numbers")
        if not all(value.isfinite().all() for value in state["model"].values()):
            raise ValueError("its network holds NaN or infinities")
    except Exception as error:
        raise HiSTalkError(
            f"'{path}' is no state of a run ({printable(error, 120)}): start again with --fresh, or name another --out."
        ) from error
    return state["model"], state["optimiser"], Progress(*progress)


def save_run(model: HiSTalk, optimiser: torch.optim.Optimizer, options: TrainOptions, progress: Progress, notes: dict):
    """Write the state and the checkpoint; `notes` go into the checkpoint's metadata."""
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "elapsed": progress.elapsed,
        "step": progress.step,
        "heard": progress.speech_seconds,  # the name that the first version gave it
    }
    with atomic_open(options.state) as file:
        torch.save(state, file)
    notes = notes | {
        "steps": str(progress.step),
        "speech_hours": f"{progress.speech_seconds / 3600:.2f}",
        "minutes": f"{progress.elapsed / 60:.1f}",
    }
    export = copy.deepcopy(model)
    if load_head().topology in export.outputs:
        _set_retargeted_outputs(export)
    save_checkpoint(export, options.checkpoint, notes=notes)


def _set_retargeted_outputs(model: HiSTalk) -> None:
    """Output layers of all other topologies: the bundled head's, retargeted."""
    own = load_head().topology
    basis = model.get_parameter(f"outputs.{own}.basis").detach().float().cpu().numpy()
    for topology in TOPOLOGIES:
        if topology.name != own:
            model.set_output(topology.name, torch.from_numpy(topology.retarget(basis)).float())
