"""Weights as safetensors with the config in the metadata; never pickle, and nothing in a file is believed unseen."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import HiSTalkError, shown
from ..files import atomic_path, open_regular
from .config import HiSTalkConfig
from .model import HiSTalk

MOST = 500_000_000  # numbers of a network; `wav2vec2-base` on BIWI's mesh has 110 million
FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
TYPES = FLOATS | {"I64": torch.int64}  # of a safetensors file; batch norm counts in whole numbers
# What people give instead, by its first bytes: what it is, and what to do.
OTHERS = {
    b"PK\x03\x04": ("a PyTorch pickle or a zip, which may run code", "convert it to .safetensors"),
    b"\x80": ("a pickle, which may run code", "convert it to .safetensors"),
    b"version https://git-lfs": ("a pointer of Git LFS and not the file itself", "fetch it with `git lfs pull`"),
    b"<": ("a web page and not the file itself", "download it again"),
}


def save_checkpoint(model: HiSTalk, path: Path, half: bool = True, notes: dict[str, str] | None = None) -> None:
    """Write the model to one file, under a temporary name until it is whole.

    Args:
        model: the model.
        path: where to.
        half: store floating-point weights in half precision, but for those that are too large for it.
        notes: further metadata (text to text), e.g. training steps.
    """
    path = Path(path)
    state = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        fits = half and value.is_floating_point() and bool(value.half().isfinite().all())
        state[name] = value.half() if fits else value
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"config": model.config.to_json(), **(notes or {})})


def load_checkpoint(path: Path, device: str = "cpu") -> HiSTalk:
    """Read a model, in evaluation mode.

    Config, names, shapes and types are compared before any of the file's numbers is read.

    Raises:
        HiSTalkError: the file is missing, no HiSTalk checkpoint, its config is none that a network can have, its weights
            do not fit its config, or one of them is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise HiSTalkError(f"No weights at '{path}': give a .safetensors file made by `histalk train`.")
    _check_kind(path)
    try:
        with safe_open(path, "pt") as file:
            config = _config_of(path, file.metadata() or {})
            model = _outline(path, config)
            _compare(path, model, {name: file.get_slice(name) for name in file.keys()})
            state = {name: _single(path, name, file.get_tensor(name)) for name in file.keys()}
    except HiSTalkError:
        raise
    except Exception as error:
        why = shown(error)
        raise HiSTalkError(f"'{path}' is not a safetensors file ({why}): download or train it again.") from error
    model.load_state_dict(_stacked(state, model.s2d.names), assign=True)
    model.source = str(path)
    return model.to(device).eval()


def _check_kind(path: Path) -> None:
    try:
        with open_regular(path) as file:
            first = file.read(64)
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be read ({error.strerror}): check its permissions.") from error
    # A safetensors file begins with the eight bytes of its header's size, and the header with a brace.
    for start, (what, then) in OTHERS.items():
        if first.startswith(start) and first[8:9] != b"{":
            raise HiSTalkError(f"'{path}' is {what}: {then}, or give a file made by `histalk train`.")


def _config_of(path: Path, metadata: dict[str, str]) -> HiSTalkConfig:
    if "config" not in metadata:
        raise HiSTalkError(f"'{path}' holds no HiSTalk config: it was not made by `histalk train`.")
    try:
        return HiSTalkConfig.from_json(metadata["config"])
    except ValueError as error:
        raise HiSTalkError(
            f"'{path}' has a config this version cannot read ({shown(error, 300)}): update HiSTalk, or train it again."
        ) from error


class _Unmade(TorchFunctionMode):
    """Networks made within get no random start: where there is no memory, PyTorch takes seconds to set one up."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _outline(path: Path, config: HiSTalkConfig) -> HiSTalk:
    """The network of a config without memory for its weights."""
    try:
        with torch.device("meta"), _Unmade():
            model = HiSTalk(config)
    except Exception as error:
        raise HiSTalkError(f"'{path}' has a config that makes no network ({shown(error)}): train it again.") from error
    size = sum(value.numel() for value in model.state_dict().values())
    if size > MOST:
        millions = f"{size / 1e6:.0f} million weights: the most are {MOST / 1e6:.0f} million"
        raise HiSTalkError(f"'{path}' asks for {millions}.")
    return model


def _compare(path: Path, model: HiSTalk, given: dict) -> None:
    """Refuse a file whose tensors, known by their headers alone, are not the model's.

    Args:
        given: name -> safetensors' slice.
    """
    found = {}
    for name, part in given.items():
        kind = part.get_dtype()
        if kind not in TYPES:
            raise HiSTalkError(f"'{path}': weight '{shown(name)}' is of type {kind}: train or convert it again.")
        found[name] = torch.empty(part.get_shape(), dtype=TYPES[kind], device="meta")
    found, expected = _stacked(found, model.s2d.names, _outlined), model.state_dict()
    for name in sorted(set(expected) ^ set(found)):
        kind = "lacks" if name in expected else "has the unknown"
        raise HiSTalkError(f"'{path}' {kind} weight '{shown(name)}': it was made for another version of the network.")
    for name, value in found.items():
        own = expected[name]
        if value.shape != own.shape or value.is_floating_point() != own.is_floating_point():
            raise HiSTalkError(
                f"'{path}': weight '{name}' is {_called(value)} where its config asks for {_called(own)}: the file is "
                "damaged or was edited."
            )


def _called(value: Tensor) -> str:
    return f"{tuple(value.shape)} {'numbers' if value.is_floating_point() else 'whole numbers'}"


def _single(path: Path, name: str, value: Tensor) -> Tensor:
    """A weight of the file as the network has it, a copy: the file may change later."""
    value = value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
    # The sum of large numbers may be infinite though they are not, but it is four times as fast to find.
    if not math.isfinite(value.sum()) and not value.isfinite().all():
        raise HiSTalkError(f"'{path}': weight '{name}' holds NaN or infinities: download or train it again.")
    return value


def _outlined(parts: list[Tensor]) -> Tensor:
    """`torch.stack` without memory; PyTorch's own takes seconds to be set up."""
    return parts[0].expand(len(parts), *parts[0].shape)


def _stacked(
    state: dict[str, Tensor], branches: tuple[str, ...], stack: Callable[[list[Tensor]], Tensor] = torch.stack
) -> dict[str, Tensor]:
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
            parts = [state[own.format(one)] for one in branches if own.format(one) in state]
            if branch == branches[0] and len(parts) == len(branches) and len({one.shape for one in parts}) == 1:
                found[whole] = stack(parts)
        else:
            found[name] = value
    return found
