"""60 s of speech, stage by stage: what each takes against what its sums and its bytes must take on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch
from table import Row, best
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from histalk_blender.audio.reading import RATE, normalise_level, read_audio
from histalk_blender.head.head import load_head
from histalk_blender.motion.point_cache import write_pc2
from histalk_blender.network import load_checkpoint
from histalk_blender.network.linear import Linear
from histalk_blender.network.whisper import convolved
from histalk_blender.synthesis import WEIGHTS, synthesize
from histalk_blender.synthesis.clips import hear

TITLE = "The floor, 60 s of speech"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
SECONDS = 60
STAGES = {
    "acoustic": "acoustic model",
    "hierarchy": "hierarchy",
    "hsf2s": "landmark heads and gates",
    "s2d": "five branches and fusion",
    "cmg": "coarse motion",
}
FRONT = "mel bands and convolutions, part of the acoustic model"
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "_linear_pointwise", "_scaled_dot_product")


class Products(TorchDispatchMode):
    """Collects every matrix product, convolution and attention that runs: its call, its operations, its bytes."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Callable, tuple, dict]] = []
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run it, and remember it if it is one of `PRODUCTS`."""
        found = func(*args, **(kwargs or {}))
        name = func.__name__.partition(".")[0]
        if any(name == one or (name.startswith(one) and one.startswith("_scaled")) for one in PRODUCTS):
            self.calls.append((func, args, kwargs or {}))
            out = found[0] if isinstance(found, tuple) else found
            if name == "_linear_pointwise":
                self.operations += 2 * args[0].numel() * args[1].shape[0]
            elif name.endswith("_for_cpu"):  # torch's counter knows the GPU's kernels only
                query, key, value = args[:3]
                self.operations += 2 * query[..., 0].numel() * key.shape[-2] * (key.shape[-1] + value.shape[-1])
            else:
                self.operations += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=found)
            self.bytes += sum(4 * x.numel() for x in (*args, out) if isinstance(x, torch.Tensor))
        return found


def rows() -> Iterator[Row]:
    """The CPU's rows, and the GPU's where there is one."""
    sound, head = np.resize(normalise_level(read_audio(SPEECH)), SECONDS * RATE), load_head()
    yield from _network("cpu", sound, head, 2.0)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        yield from _around(Path(folder), sound, head)
    if torch.cuda.is_available():
        yield from _network("cuda", sound, head, 3.0)
    else:
        yield Row("the network on a GPU", None, "", "", "no CUDA device here")


@torch.no_grad()  # in inference mode attention and convolutions pass a dispatch mode undivided
def _network(device: str, sound: np.ndarray, head, most: float) -> Iterator[Row]:
    model = load_checkpoint(WEIGHTS, device)
    wave = torch.from_numpy(sound)[None].to(device)
    lengths = torch.tensor([len(sound)], device=device)
    sums, copies = _ceilings(device)
    yield Row(
        f"{device}: this machine", sums / 1e9, "GFLOP/s of matrix products", "", f"{copies / 1e9:.0f} GB/s copied"
    )
    stages = _stages(model, wave, lengths)
    times, counted = {}, {}
    for name, work in stages.items():
        times[name] = _time(work, device)
        with Products() as counted[name]:
            work()
    whole = _time(lambda: model.components(wave, lengths), device)
    for name, products in counted.items():
        floor = max(products.operations / sums, products.bytes / copies)
        absolute = (
            f"{times[name] / whole:.0%} of the network, {1000 * times[name]:.1f} ms, {products.operations / 1e9:.1f} GFLOP, "
            f"{products.bytes / 1e6:.0f} MB"
        )
        yield Row(f"{device}: {name}", times[name] / floor, "x its floor", "", absolute)
    with Products() as every:
        model.components(wave, lengths)
    floor = sum(max(one.operations / sums, one.bytes / copies) for name, one in counted.items() if name != FRONT)
    alone = _time(lambda: [func(*args, **kwargs) for func, args, kwargs in every.calls], device)
    if device == "cpu":
        yield Row(
            f"{device}: the network to its matrix products and attention alone",
            whole / alone,
            "x",
            f"<= {most:g}",
            f"{1000 * whole:.0f} ms to {1000 * alone:.0f} ms",
        )
    yield Row(
        f"{device}: the network to the floor of its stages",
        whole / floor,
        "x",
        f"<= {most:g}" if device != "cpu" else "",
        f"{1000 * whole:.0f} ms to {1000 * floor:.0f} ms",
    )
    seconds = _time(lambda: synthesize(sound, model, head, levels=False, device=device), device)
    yield Row(f"{device}: whole synthesis", seconds / SECONDS, "of real time", "<= 0.04", f"{seconds:.2f} s")
    (heard,) = hear(model, [sound], device)
    basis = model.outputs["histalk"]
    weights = torch.from_numpy(heard["weights"]).to(device)[None]
    dense = _time(lambda: basis(weights), device)
    need = max(
        2 * weights.numel() * basis.basis[0].numel() / sums, 4 * weights.shape[1] * basis.basis[0].numel() / copies
    )
    yield Row(
        f"{device}: every vertex of every frame",
        dense / need,
        "x its floor",
        "",
        f"{1000 * dense:.0f} ms, only where a caller wants them: bakes expand as they write",
    )
    if device != "cpu":
        every_vertex = basis(weights)
        moved = _time(lambda: every_vertex.cpu(), device)
        yield Row(
            f"{device}: copying them to the host",
            None,
            "",
            "",
            f"{1000 * moved:.0f} ms; the weights alone take a 240th",
        )


def _stages(model, wave: torch.Tensor, lengths: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Each box of the network as a call on what it was given in a forward pass."""
    given, hooks = {}, []
    for name in STAGES:
        module = getattr(model, name)
        hooks.append(module.register_forward_pre_hook(lambda module, args, name=name: given.update({name: args})))
    model.components(wave, lengths)
    for hook in hooks:
        hook.remove()
    stages = {text: lambda name=name: getattr(model, name)(*given[name]) for name, text in STAGES.items()}
    ears, tokens = model.acoustic, model.config.tokens(wave.shape[1])
    return stages | {FRONT: lambda: convolved(ears.encoder, ears.log_mel(wave, tokens))}


def _around(folder: Path, sound: np.ndarray, head) -> Iterator[Row]:
    """Before and after the network."""
    path = folder / "speech.wav"
    soundfile.write(path, np.repeat(sound, 3), 3 * RATE)
    seconds = best(lambda: read_audio(path))
    yield Row("decoding and resampling from 48 kHz", seconds / SECONDS, "of real time", "", f"{1000 * seconds:.0f} ms")
    motion = synthesize(sound, load_checkpoint(WEIGHTS), head, levels=False).motion
    block = np.zeros((len(motion), 3 * len(head.vertices)), np.float32)

    def plain() -> None:
        with open(folder / "plain", "wb") as file:
            file.write(block.data)
            file.flush()
            os.fsync(file.fileno())

    written, floor = best(lambda: write_pc2(folder / "a.pc2", head.vertices, motion)), best(plain)
    yield Row(
        "bake to PC2",
        written / floor,
        "x a plain write of its bytes",
        "",
        f"{1000 * written:.0f} ms, {block.nbytes / 1e6:.0f} MB",
    )


def _ceilings(device: str) -> tuple[float, float]:
    """Operations a second of a large product by the kernel that the network uses, and bytes a second of a copy."""
    layer, x = Linear(4096, 4096, bias=False).to(device), torch.randn(4096, 4096, device=device)
    source = torch.randn(1 << 26, device=device)
    target = torch.empty_like(source)
    return 2 * 4096**3 / _time(lambda: layer(x), device), 8 * len(source) / _time(lambda: target.copy_(source), device)


@contextmanager
def _settled(device: str):
    if device != "cpu":
        torch.cuda.synchronize()
    yield
    if device != "cpu":
        torch.cuda.synchronize()


def _time(work: Callable[[], object], device: str) -> float:
    def run() -> None:
        with _settled(device):
            work()

    return best(run, 7)
