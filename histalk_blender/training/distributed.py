"""Training in several processes, one a GPU, as torchrun starts them: together they take the steps of a single one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import HiSTalkError
from ..network.model import HiSTalk, HiSTalkComponents

WAIT = timedelta(hours=12)  # for the first process, which reads the corpus first and pretrains for all


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run. Each draws the same batches, runs its rows, and computes the loss of the whole batch.

    That loss has ratios of sums over the batch, so it is not the mean of the processes' own losses.
    """

    device: str
    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process logs and saves for all."""
        return self.rank == 0

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The first process does the body before the others, which then find the files that it made.

        Raises:
            SystemExit: the first one failed; it reports why.
        """
        if not self.is_main and self.broadcast(0.0):
            raise SystemExit(2)
        try:
            yield
        except HiSTalkError:
            if self.is_main:
                self.broadcast(1.0)
            raise
        if self.is_main:
            self.broadcast(0.0)

    def prepare(self, model: HiSTalk) -> HiSTalk:
        """The model with batch statistics of all rows; PyTorch has that for CUDA alone, elsewhere each has its own."""
        if self.size == 1 or not self.device.startswith("cuda"):
            return model
        return cast(HiSTalk, nn.SyncBatchNorm.convert_sync_batchnorm(model))

    def broadcast_model(self, model: nn.Module, seed: int) -> None:
        """Give all processes the first one's weights, and each a dropout of its own."""
        if self.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.data, 0)
            torch.manual_seed(seed + self.rank)

    def shard(self, batch: Tensor) -> Tensor:
        """[B, ...] -> this process's rows."""
        return batch[self.rank :: self.size]

    def gather(self, out: HiSTalkComponents, rows: int) -> HiSTalkComponents:
        """The outputs of all `rows` rows that losses look at; gradients flow into this process's own alone."""
        if self.size == 1:
            return out
        names = "fine", "coarse", "sparse", "phone_logits"
        return replace(out, **{name: self._gather(getattr(out, name), rows) for name in names})

    def _gather(self, own: Tensor, rows: int) -> Tensor:
        whole = own.new_zeros(rows, *own.shape[1:])
        whole[self.rank :: self.size] = own.detach()
        dist.all_reduce(whole)
        whole[self.rank :: self.size] = own
        return whole

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up the gradients of each process's rows: that of the whole batch's loss, the same everywhere."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(part.view_as(gradient))

    def broadcast(self, number: float) -> float:
        """The first process's number, in all of them, as clocks differ."""
        if self.size == 1:
            return number
        shared = torch.tensor(number, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return shared.item()


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """The processes of torchrun's environment, each with its device; without it, this one alone.

    Raises:
        HiSTalkError: there are fewer GPUs than processes on this machine.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield ProcessGroup(device)
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        local, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= count:
            raise HiSTalkError(f"This machine has {count} GPUs: give torchrun --nproc-per-node {count}.")
        device = f"cuda:{local}"
        torch.cuda.set_device(device)
    ours = not dist.is_initialized()  # it works once a process: old addresses stay in torchrun's store
    if ours:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=WAIT)
    processes = ProcessGroup(device, dist.get_rank(), size)
    yield processes
    if ours:
        processes.broadcast(0.0)  # the others wait while the first one saves
        dist.destroy_process_group()
