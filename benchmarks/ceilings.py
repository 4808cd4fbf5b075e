"""What this device can do at most, measured, and what a computation must take for that: needs PyTorch alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from table import best
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from histalk_blender.network.linear import Linear

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "_linear_pointwise", "_scaled_dot_product")


class Products(TorchDispatchMode):
    """Collects every matrix product, convolution and attention that runs: its call, its operations, its bytes."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Callable, tuple, dict]] = []
        self.operations: Counter[torch.dtype] = Counter()  # of a product's inputs
        self.bytes = 0
        self.launches = 0  # operators that compute something: each starts at least one kernel

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run it, and record it if it is one of `PRODUCTS`."""
        found = func(*args, **(kwargs or {}))
        self.launches += all(result.alias_info is None for result in func._schema.returns)
        name = func.__name__.partition(".")[0]
        if any(name == one or (name.startswith(one) and one.startswith("_scaled")) for one in PRODUCTS):
            self.calls.append((func, args, kwargs or {}))
            out = found[0] if isinstance(found, tuple) else found
            kind = out.dtype
            if name == "_linear_pointwise":
                self.operations[kind] += 2 * args[0].numel() * args[1].shape[0]
            elif name.endswith("_for_cpu"):  # torch's counter knows the GPU's kernels only
                query, key, value = args[:3]
                self.operations[kind] += 2 * query[..., 0].numel() * key.shape[-2] * (key.shape[-1] + value.shape[-1])
            else:
                counted = flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=found)
                self.operations[kind] += counted
            self.bytes += sum(x.element_size() * x.numel() for x in (*args, out) if isinstance(x, torch.Tensor))
        return found


@dataclass(frozen=True)
class Ceilings:
    """A device's measured limits."""

    operations: dict[torch.dtype, float]  # a second, of a large product by the kernel that the network uses
    copies: float  # bytes a second, read and written
    launch: float = 0.0  # seconds to start a kernel on a GPU

    @classmethod
    def of(cls, device: str) -> Ceilings:
        """Measure them; on a CPU single precision alone."""
        on_gpu = device != "cpu"
        source = torch.randn(1 << 26, device=device)
        target, operations = torch.empty_like(source), {}
        for kind in (torch.float32, torch.float16, torch.bfloat16) if on_gpu else (torch.float32,):
            layer = Linear(4096, 4096, bias=False).to(device, kind)
            x = torch.randn(4096, 4096, device=device, dtype=kind)
            operations[kind] = 2 * 4096**3 / timed(lambda layer=layer, x=x: layer(x), device)
        copies = 2 * source.nbytes / timed(lambda: target.copy_(source), device)
        small = torch.zeros(1, device=device)
        launch = timed(lambda: [small.add_(1) for _ in range(1000)], device) / 1000 if on_gpu else 0.0
        return cls(operations, copies, launch)

    def floor(self, products: Products) -> float:
        """Seconds that these products must take at least."""
        operations = sum(count / self.operations[kind] for kind, count in products.operations.items())
        return max(operations, products.bytes / self.copies, products.launches * self.launch)


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds of the best of seven runs, to the end of what a GPU does."""
    if device == "cpu":
        return best(work, 7)

    def run() -> None:
        work()
        torch.cuda.synchronize(device)

    return best(run, 7)
