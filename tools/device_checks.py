"""What can be proven of a GPU's code paths without one: network, synthesis and training on the `meta` device.

Its tensors have shapes and no numbers. One mode refuses operations on tensors of different devices, another one tensors
that HiSTalk's own code makes without naming a device: they would be made on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from histalk_blender.head.head import load_head
from histalk_blender.network import PRESETS, HiSTalk, HiSTalkConfig, load_checkpoint, preset
from histalk_blender.synthesis import WEIGHTS, Stream, synthesize_many
from histalk_blender.training.examples.motion_space import MotionSpace
from histalk_blender.training.losses import LossInputs, compute_losses

PACKAGE = "histalk_blender"
MAKERS = ("arange", "empty", "eye", "full", "hann_window", "linspace", "logspace", "ones", "rand", "randint", "randn")
MAKERS = {getattr(torch, name) for name in (*MAKERS, "randperm", "tensor", "zeros")}
COPIES = ("copy_", "_to_copy", "to")  # what brings tensors to another device


class NamedDevices(TorchFunctionMode):
    """Refuses tensors that HiSTalk's code makes without saying where."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Run it, or raise."""
        kwargs = kwargs or {}
        if func in MAKERS and kwargs.get("device") is None:
            frame = sys._getframe(1)
            if frame.f_globals.get("__name__", "").startswith(PACKAGE):
                place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise AssertionError(f"torch.{func.__name__} without a device at {place}")
        return func(*args, **kwargs)


class OneDevice(TorchDispatchMode):
    """Refuses operations that mix devices; what is read back from `meta` are zeros, and single numbers are 1."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run it, or raise."""
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        given = [x for x in leaves if isinstance(x, torch.Tensor)]
        name, on_meta = func.overloadpacket.__name__, any(x.is_meta for x in given)
        if name in ("item", "_local_scalar_dense") and on_meta:
            return 1
        if name in COPIES and on_meta and torch.device("cpu") in leaves:
            dtype = next((x for x in leaves if isinstance(x, torch.dtype)), given[0].dtype)
            return torch.zeros(given[0].shape, dtype=dtype)
        # Numbers without dimensions may lie anywhere, on a GPU too; a copy is what brings tensors elsewhere.
        devices = {x.device.type for x in given if x.dim()}
        if len(devices) > 1 and name not in COPIES:
            raise AssertionError(f"{func} of tensors on {' and '.join(sorted(devices))}")
        return func(*args, **kwargs)


@contextmanager
def watched():
    """Both modes."""
    with ExitStack() as stack:
        stack.enter_context(NamedDevices())
        stack.enter_context(OneDevice())
        yield


def on_meta(config: HiSTalkConfig) -> HiSTalk:
    """A network without numbers."""
    with torch.device("meta"):
        return HiSTalk(replace(config, acoustic_layers=1)).to("meta").eval()  # buffers that are read from NumPy too


def check_presets(names: Iterable[str] = PRESETS) -> str:
    """Each preset's forward pass, and its parts with edited landmarks."""
    for name in names:
        model = on_meta(preset(name, 50))
        with watched(), torch.no_grad():
            wave = torch.zeros(2, 32_000, device="meta")
            out = model(wave, torch.tensor([32_000, 20_000], device="meta"))
            features = model.encode(wave)
            landmarks = model.predict_landmarks(features)
            edited = landmarks.edited(torch.zeros_like(landmarks.sparse))
            fine = model.predict_dense(features, edited).fine
        assert out.displacements.is_meta and fine.is_meta, f"{name} leaves the device"
    return f"forward passes of {', '.join(names)}"


def check_synthesis() -> str:
    """Batches of windows with levels, and edited landmarks, on a device that is not the CPU."""
    model, head = load_checkpoint(WEIGHTS, "meta"), load_head()
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.05, size).astype(np.float32) for size in (48_000, 30_000)]
    offsets = [np.zeros((90, 68, 3), np.float32), None]
    with watched():
        found = synthesize_many(clips, model, head, device="meta", batch_size=2, landmark_offsets=offsets)
    assert [len(one.motion) for one in found] == [90, 56]
    return "two clips of several windows, levels and edited landmarks"


def check_stream() -> str:
    """A stream's steps."""
    with watched():
        stream = Stream(load_checkpoint(WEIGHTS, "meta"), load_head(), device="meta")
        sound = np.random.default_rng(0).normal(0, 0.05, 32_000).astype(np.float32)
        frames = sum(len(stream.feed(sound[first : first + 3200])) for first in range(0, 32_000, 3200))
        frames += len(stream.finish())
    assert frames == 60, frames
    return "ten hops and the end"


def check_training() -> str:
    """A training step of each preset: losses, gradients, optimiser."""
    for name in PRESETS:
        model = on_meta(preset(name, 50)).train()
        K = model.config.dense_components
        sizes = (K, 50, 3), (52, K), (K, K), (K, 68, 3), (68, 3)
        space = MotionSpace(*(torch.zeros(*size, device="meta") for size in sizes))
        optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
        with watched():
            wave, target = torch.zeros(2, 32_000, device="meta"), torch.zeros(2, 60, 52, device="meta")
            training_step(model, optimiser, wave, target, space)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients and all(gradient.is_meta for gradient in gradients)
    return f"losses, gradients and a step of {', '.join(PRESETS)}"


def training_step(model: HiSTalk, optimiser, wave: torch.Tensor, target: torch.Tensor, space: MotionSpace) -> float:
    """One step of a batch in bfloat16; the loss before it.

    Args:
        wave: [B, N] at 16 kHz; target: [B, T, 52] ARKit weights.
        space: where the losses compare motion.
    """
    # PyTorch has no mixed precision on the `meta` device.
    with nullcontext() if wave.is_meta else torch.autocast(wave.device.type, torch.bfloat16):
        out = model.components(wave).float()
    phones = torch.zeros(out.phone_logits.shape[:2], dtype=torch.long, device=wave.device)
    sure = torch.ones(target.shape[:2], device=wave.device)
    total = sum(compute_losses(LossInputs(out, target, phones, space, sure)).values())
    optimiser.zero_grad()
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return total.item()


CHECKS = {
    "presets on another device": check_presets,
    "synthesis on another device": check_synthesis,
    "stream on another device": check_stream,
    "training on another device": check_training,
}
