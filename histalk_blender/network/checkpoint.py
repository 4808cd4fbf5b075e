"""Weights as safetensors with the config in the metadata; never pickle, and a file is checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import HiSTalkError
from ..files import atomic_path, open_regular
from ..runtime.output import printable
from .config import HiSTalkConfig
from .model import HiSTalk

LARGEST = 500_000_000  # weights of a network; `wav2vec2-base` on BIWI's mesh has 110 million
FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
TYPES = FLOATS | {"I64": torch.int64}  # of a safetensors file; batch norm counts in integers
# Other files that people give, by their first bytes: what it is, and what to do.
OTHER_FILES = {
    b"PK\x03\x04": ("a PyTorch pickle or a zip, which may run code", "convert it to .safetensors"),
    b"\x80": ("a pickle, which may run code", "convert it to .safetensors"),
    b"version https://git-lfs": ("a pointer of Git LFS and not the file itself", "fetch it with `git lfs pull`"),
    b"<": ("a web page and not the file itself", "download it again"),
}


def save_checkpoint(model: HiSTalk, path: Path, half: bool = True, notes: dict[str, str] | None = None) -> None:
    """Write the model to one file, under a temporary name until it is complete.

    Args:
        model: the model.
        path: where to.
        half: store floating-point weights in half precision, except for values too large for it.
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
        HiSTalkError: the file is missing or no HiSTalk checkpoint, its config is not valid, its weights do not fit the
            config, or a weight is not finite.
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
        why = printable(error, 120)
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
    for start, (what, then) in OTHER_FILES.items():
        if first.startswith(start) and first[8:9] != b"{":
            raise HiSTalkError(f"'{path}' is {what}: {then}, or give a file made by `histalk train`.")


def _config_of(path: Path, metadata: dict[str, str]) -> HiSTalkConfig:
    if "config" not in metadata:
        raise HiSTalkError(f"'{path}' holds no HiSTalk config: it was not made by `histalk train`.")
    try:
        return HiSTalkConfig.from_json(metadata["config"])
    except ValueError as error:
        raise HiSTalkError(
            f"'{path}' has a config this version cannot read ({printable(error, 300)}): update HiSTalk, or "
            "train it again."
        ) from error


class _NoInitialisation(TorchFunctionMode):
    """Skips random initial weights, for which PyTorch takes seconds on the `meta` device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _outline(path: Path, config: HiSTalkConfig) -> HiSTalk:
    """The network of a config without memory for its weights."""
    try:
        with torch.device("meta"), _NoInitialisation():
            model = HiSTalk(config)
    except Exception as error:
        raise HiSTalkError(
            f"'{path}' has a config that no network can be built from ({printable(error, 120)}): train it again."
        ) from error
    size = sum(value.numel() for value in model.state_dict().values())
    if size > LARGEST:
        millions = f"{size / 1e6:.0f} million weights, and {LARGEST / 1e6:.0f} million are the limit"
        raise HiSTalkError(f"'{path}' asks for {millions}: train a smaller network.")
    return model


def _compare(path: Path, model: HiSTalk, given: dict) -> None:
    """Refuse a file whose tensors, by their headers, are not the model's.

    Args:
        given: name -> safetensors slice.
    """
    found = {}
    for name, part in given.items():
        kind = part.get_dtype()
        if kind not in TYPES:
            raise HiSTalkError(
                f"'{path}': weight '{printable(name, 120)}' is of type {kind}: train or convert it again."
            )
        found[name] = torch.empty(part.get_shape(), dtype=TYPES[kind], device="meta")
    found, expected = _stacked(found, model.s2d.names, _stacked_shapes), model.state_dict()
    for name in sorted(set(expected) ^ set(found)):
        kind = "lacks" if name in expected else "has the unknown"
        raise HiSTalkError(
            f"'{path}' {kind} weight '{printable(name, 120)}': it was made for another version of the network."
        )
    for name, value in found.items():
        own = expected[name]
        if value.shape != own.shape or value.is_floating_point() != own.is_floating_point():
            sizes = f"{_described(value)} where its config asks for {_described(own)}"
            raise HiSTalkError(f"'{path}': weight '{name}' is {sizes}: the file is damaged or was edited.")


def _described(value: Tensor) -> str:
    return f"{tuple(value.shape)} {'floats' if value.is_floating_point() else 'integers'}"


def _single(path: Path, name: str, value: Tensor) -> Tensor:
    """A weight of the file in single precision, as a copy: the file may change later."""
    value = value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
    # The sum of large finite numbers may be infinite; but it is four times faster to check first.
    if not math.isfinite(value.sum()) and not value.isfinite().all():
        raise HiSTalkError(f"'{path}': weight '{name}' holds NaN or infinities: download or train it again.")
    return value


def _stacked_shapes(parts: list[Tensor]) -> Tensor:
    """`torch.stack` of `meta` tensors; PyTorch's own takes seconds when it is first called on that device."""
    return parts[0].expand(len(parts), *parts[0].shape)


def _stacked(
    state: dict[str, Tensor], branches: tuple[str, ...], stack: Callable[[list[Tensor]], Tensor] = torch.stack
) -> dict[str, Tensor]:
    """A state dict in today's layout: older checkpoints, such as the bundled one, hold each branch separately."""
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
