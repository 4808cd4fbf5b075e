"""Weights as safetensors with the config in the metadata; never pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import HiSTalkError
from ..files import atomic_path
from .config import HiSTalkConfig
from .model import HiSTalk


def save_checkpoint(model: HiSTalk, path: Path, half: bool = True, notes: dict[str, str] | None = None) -> None:
    """Write the model to one file, under a temporary name until it is whole.

    Args:
        model: the model.
        path: where to.
        half: store floating-point weights in half precision.
        notes: further metadata (text to text), e.g. training steps.
    """
    path = Path(path)
    state = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        state[name] = value.half() if half and value.is_floating_point() else value
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"config": model.config.to_json(), **(notes or {})})


def load_checkpoint(path: Path, device: str = "cpu") -> HiSTalk:
    """Read a model, in evaluation mode.

    Raises:
        HiSTalkError: the file is missing, no HiSTalk checkpoint, or its weights do not fit its config.
    """
    path = Path(path)
    if not path.is_file():
        raise HiSTalkError(f"No weights at '{path}': give a .safetensors file made by `histalk train`.")
    try:
        with safe_open(path, "pt") as file:
            config_text = (file.metadata() or {}).get("config")
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise HiSTalkError(f"'{path}' is not a safetensors file ({error}): download or train it again.") from error
    if config_text is None:
        raise HiSTalkError(f"'{path}' holds no HiSTalk config: it was not made by `histalk train`.")
    try:
        config = HiSTalkConfig.from_json(config_text)
    except (ValueError, TypeError) as error:
        raise HiSTalkError(f"'{path}' has a config this version cannot read ({error}): update HiSTalk.") from error
    model = HiSTalk(config)
    state = _stacked(state, model.s2d.names)
    expected = model.state_dict()
    for name in sorted(set(expected) ^ set(state)):
        kind = "lacks" if name in expected else "has the unknown"
        raise HiSTalkError(f"'{path}' {kind} weight '{name}': it was made for another version of the network.")
    for name, value in state.items():
        if value.shape != expected[name].shape:
            raise HiSTalkError(
                f"'{path}': weight '{name}' is {tuple(value.shape)} where its config asks for "
                f"{tuple(expected[name].shape)}: the file is damaged or was edited."
            )
    with torch.no_grad():
        model.load_state_dict(state)
    return model.to(device).eval()


def _stacked(state: dict[str, Tensor], branches: tuple[str, ...]) -> dict[str, Tensor]:
    """A state as the network has it: older checkpoints, the bundled one among them, hold each branch by itself."""
    if not any(name.startswith("s2d.branches.") for name in state):
        return state
    found = {}
    for name, value in state.items():
        part, _, rest = name.removeprefix("s2d.").partition(".")
        branch, _, rest = rest.partition(".")
        if name.startswith("cmg.decoder."):
            found[name] = value[None]
        elif name.startswith("s2d.") and branch in branches:
            own = f"s2d.{part}.{{}}.{rest}"
            whole = f"s2d.decoder.{rest}" if part == "branches" else f"s2d.components.{rest}"
            if branch == branches[0] and all(own.format(one) in state for one in branches):
                found[whole] = torch.stack([state[own.format(one)] for one in branches])
        else:
            found[name] = value
    return found
