"""The network stage by stage against the device's measured limits: needs PyTorch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from ceilings import Ceilings, Products, timed
from table import Row

from histalk_blender.network.whisper import convolved

STAGES = {
    "acoustic": "acoustic extractor",
    "hierarchy": "hierarchy",
    "hsf2s": "landmark heads and gates",
    "s2d": "five branches and fusion",
    "cmg": "coarse motion",
}
FRONT = "mel bands and convolutions, part of the acoustic extractor"


@torch.no_grad()  # in inference mode attention and convolutions pass a dispatch mode undivided
def network_rows(device: str, model, wave: torch.Tensor, most: float) -> Iterator[Row]:
    """Each stage's time over its floor, and the whole network's.

    Args:
        device: where the model and the wave are.
        model: a `network.HiSTalk` whose extractor is Whisper's.
        wave: [1, N] at 16 kHz.
        most: what the whole network may take: of its products' time on a CPU, of its floor on a GPU.
    """
    lengths, limits = torch.tensor([wave.shape[1]], device=device), Ceilings.of(device)
    for kind, operations in limits.operations.items():
        name = f"{device}: this machine, {str(kind).removeprefix('torch.')}"
        figures = f"{limits.copies / 1e9:.0f} GB/s copied"
        figures += f", {1e6 * limits.launch:.1f} \u00b5s to start a kernel" if limits.launch else ""
        yield Row(name, operations / 1e9, "GFLOP/s of matrix products", "", figures)
    times, counted = {}, {}
    for name, work in stages(model, wave, lengths).items():
        times[name] = timed(work, device)
        with Products() as counted[name]:
            work()
    whole = timed(lambda: model.components(wave, lengths), device)
    for name, products in counted.items():
        operations = sum(products.operations.values())
        work = f"{1000 * times[name]:.1f} ms, {operations / 1e9:.1f} GFLOP, {products.bytes / 1e6:.0f} MB"
        ratio = times[name] / limits.floor(products)
        yield Row(f"{device}: {name}", ratio, "x its floor", "", f"{times[name] / whole:.0%} of the network, {work}")
    floor = sum(limits.floor(one) for name, one in counted.items() if name != FRONT)
    if device == "cpu":
        with Products() as every:
            model.components(wave, lengths)
        alone = timed(lambda: [func(*args, **kwargs) for func, args, kwargs in every.calls], device)
        name, figures = "the network to its matrix products and attention alone", f"{1000 * alone:.0f} ms"
        yield Row(f"cpu: {name}", whole / alone, "x", f"<= {most:g}", f"{1000 * whole:.0f} ms to {figures}")
    bar, figures = f"<= {most:g}" if device != "cpu" else "", f"{1000 * whole:.0f} ms to {1000 * floor:.0f} ms"
    yield Row(f"{device}: the network to the floor of its stages", whole / floor, "x", bar, figures)
    yield from _dense_rows(device, model, wave, lengths, limits)


def _dense_rows(device: str, model, wave: torch.Tensor, lengths: torch.Tensor, limits: Ceilings) -> Iterator[Row]:
    out, expand = model.components(wave, lengths), model.outputs["histalk"]
    weights = (out.fine + out.coarse).float()
    dense, size = timed(lambda: expand(weights), device), expand.basis[0].numel()
    least = max(
        2 * weights.numel() * size / limits.operations[torch.float32], 4 * weights.shape[1] * size / limits.copies
    )
    figures = f"{1000 * dense:.0f} ms, only where a caller wants them: bakes expand as they write"
    yield Row(f"{device}: every vertex of every frame", dense / least, "x its floor", "", figures)
    if device != "cpu":
        vertices = expand(weights)
        moved = timed(lambda: vertices.cpu(), device)
        figures = f"{1000 * moved:.0f} ms; the weights alone are a 240th of it"
        yield Row(f"{device}: copying them to the host", None, "", "", figures)


def stages(model, wave: torch.Tensor, lengths: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Each box of the network as a call on its inputs of one forward pass."""
    given, hooks = {}, []
    for name in STAGES:
        module = getattr(model, name)
        hooks.append(module.register_forward_pre_hook(lambda module, args, name=name: given.update({name: args})))
    model.components(wave, lengths)
    for hook in hooks:
        hook.remove()
    found = {text: lambda name=name: getattr(model, name)(*given[name]) for name, text in STAGES.items()}
    extractor, tokens = model.acoustic, model.config.tokens(wave.shape[1])
    return found | {FRONT: lambda: convolved(extractor.encoder, extractor.log_mel(wave, tokens))}
