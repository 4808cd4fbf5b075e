"""Does HiSTalk compute on a GPU what it does on the CPU, and how fast? Each check prints PASS or FAIL with figures.

    python tools/verify_cuda.py

Needs torch, numpy, safetensors and soxr, no network and no Blender; ends within eight minutes; exit code 1 if a check
fails. On a GPU it also writes docs/benchmarks-cuda.md, a file to commit. Without one it checks only that nothing is
bound to the CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tools")]

import device_checks  # noqa: E402
from ceilings import timed  # noqa: E402
from stages import network_rows  # noqa: E402
from table import Row, machine, markdown  # noqa: E402

from histalk_blender.audio import SAMPLE_RATE  # noqa: E402
from histalk_blender.head.head import Head, load_head  # noqa: E402
from histalk_blender.network import PRESETS, HiSTalk, load_checkpoint, preset, whisper_tiny  # noqa: E402
from histalk_blender.synthesis import WEIGHTS, Stream, engine, synthesize, synthesize_many  # noqa: E402
from histalk_blender.training.examples.motion_space import MotionSpace  # noqa: E402

FPS = 30
LIMIT = 0.02  # mm, at the 99.9th percentile over all vertices and frames
WINDOWS_LIMIT = 0.25  # mm, at most: what shorter windows may change
LEVEL = 0.1  # of the sound that is made here, near the network's own


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """[N] float32 at 16 kHz: a voice whose pitch, vowels and syllables change, with hiss between them."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE

    def track(each: float, low: float, high: float) -> np.ndarray:
        points = np.arange(0, seconds + 2 * each, each)
        return np.interp(time_s, points, random.uniform(low, high, len(points)))

    pitch = 2 * np.pi * np.cumsum(track(0.3, 90, 220)) / SAMPLE_RATE
    formants = [track(0.12, *span) for span in ((300, 800), (900, 2200), (2300, 3000))]
    frequency = track(0.3, 90, 220)
    voice = np.zeros(len(time_s))
    for harmonic in range(1, 30):
        loud = sum(np.exp(-(((harmonic * frequency - formant) / 150) ** 2)) for formant in formants)
        voice += loud * np.sin(harmonic * pitch)
    syllables = track(0.08, -0.6, 1.0).clip(0)
    hiss = random.normal(0, 0.3, len(time_s)) * track(0.1, -1.0, 0.6).clip(0)
    sound = voice * syllables + hiss
    return (LEVEL * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def off(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Millimetres that [T, V, 3] is off: at the 99.9th percentile, and at most."""
    error = 1000 * np.linalg.norm(found - expected, axis=-1)
    return float(np.quantile(error, 0.999)), float(error.max())


def networks(head: Head) -> Iterator[tuple[str, HiSTalk]]:
    """The bundled weights, and the other presets with random ones that move the face as far."""
    bundled = load_checkpoint(WEIGHTS)
    yield "whisper-tiny", bundled
    basis = bundled.outputs["histalk"].basis.detach()
    for name in [name for name in PRESETS if name != "whisper-tiny"]:
        torch.manual_seed(0)
        model = HiSTalk(preset(name, len(head.vertices))).eval()
        model.outputs["histalk"].basis.data.copy_(basis)
        weights = synthesize(speech(2), model, head).motion.weights
        for layer in (model.s2d.components, model.cmg.components):
            layer.weight.data /= np.abs(weights).mean()
            layer.bias.data.zero_()
        yield name, model


def check_presets(device: str) -> Iterator[tuple[bool, str]]:
    """Single and half precision against the CPU."""
    head, sound = load_head(), speech(8)
    for name, model in networks(head):
        expected = synthesize(sound, model, head).displacements
        model, kinds = model.to(device), model.acoustic.half_on
        for precision, half_on in (("float32", ()), ("float16", (torch.device(device).type,))):
            model.acoustic.half_on = half_on
            error, most = off(synthesize(sound, model, head, device=device).displacements, expected)
            moves = 1000 * np.abs(expected).max()
            yield error <= LIMIT, f"{name} in {precision}: {error:.4f} mm, at most {most:.4f}; it moves {moves:.1f} mm"
        model.acoustic.half_on = kinds


def check_batches(device: str) -> Iterator[tuple[bool, str]]:
    """Sixteen windows in one batch against one at a time."""
    head, model = load_head(), load_checkpoint(WEIGHTS, device)
    clips = [speech(seconds, seed) for seed, seconds in enumerate(np.linspace(3, 3.6, 16))]
    pairs = zip(*(synthesize_many(clips, model, head, batch_size=batch_size, device=device) for batch_size in (16, 1)))
    errors = [off(a.displacements, b.displacements) for a, b in pairs]
    error, most = np.max(errors, 0)
    yield error <= LIMIT, f"16 windows at once: {error:.4f} mm, at most {most:.4f}"


def check_stream(device: str) -> Iterator[tuple[bool, str]]:
    """A stream against the CPU's."""
    head, sound = load_head(), speech(6)

    def streamed(where: str) -> np.ndarray:
        stream = Stream(load_checkpoint(WEIGHTS, where), head, device=where)
        parts = [stream.feed(sound[first : first + 1600]).weights for first in range(0, len(sound), 1600)]
        return np.tensordot(np.concatenate([*parts, stream.finish().weights]), stream.shapes, 1)

    error, most = off(streamed(device), streamed("cpu"))
    yield error <= LIMIT, f"stream: {error:.4f} mm, at most {most:.4f}"


def check_training(device: str) -> Iterator[tuple[bool, str]]:
    """Twenty steps on one batch."""
    torch.manual_seed(0)
    head = load_head()
    model = HiSTalk(whisper_tiny(len(head.vertices)))
    basis = load_checkpoint(WEIGHTS).outputs["histalk"].basis.detach()
    model.outputs["histalk"].basis.requires_grad_(False).data.copy_(basis)
    model, deltas = model.to(device).train(), torch.from_numpy(head.blendshape_deltas())

    def landmarks(points: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(head.landmarks(points.numpy()))

    neutral = torch.from_numpy(head.landmarks(head.vertices)).float()
    space = MotionSpace.on(basis, deltas, torch.ones(len(head.vertices)), landmarks, neutral).to(device)
    wave = torch.from_numpy(np.stack([speech(4, seed) for seed in range(4)])).to(device)
    time_s = torch.arange(4 * FPS, device=device) / FPS
    target = torch.zeros(4, 4 * FPS, 52, device=device)
    target[..., 17] = 0.3 + 0.3 * torch.sin(2 * torch.pi * 3 * time_s)
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), 3e-4)
    found = [device_checks.training_step(model, optimiser, wave, target, space) for _ in range(20)]
    falls = np.isfinite(found).all() and np.mean(found[-3:]) < 0.9 * np.mean(found[:3])
    yield falls, f"the loss goes from {found[0]:.2f} to {found[-1]:.2f} in 20 steps in bfloat16"


def check_memory(device: str) -> Iterator[tuple[bool, str]]:
    """A full GPU: shorter windows, and at last the CPU."""
    head, sound = load_head(), speech(60)
    expected = synthesize(sound, load_checkpoint(WEIGHTS), head).displacements
    total = torch.cuda.get_device_properties(device).total_memory
    allocated, reserved = [], []
    for window, overlap in engine.WINDOW_SIZES:
        model = load_checkpoint(WEIGHTS, device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        synthesize(sound, model, head, window_s=window, overlap_s=overlap, device=device)
        allocated.append(torch.cuda.max_memory_allocated(device))
        reserved.append(torch.cuda.max_memory_reserved(device))
        del model
    caps = {"shorter windows": (allocated[0] + reserved[1]) / 2, "the CPU": 0.5 * allocated[2]}
    for name, cap in caps.items():
        engine.unload()
        engine.check_weights(None, device)
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap / total), device)
        try:
            (found,) = engine.perform_clips([sound], None, device)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        remark, (_, most) = " ".join(found.remarks), off(found.displacements, expected)
        fits = ("windows" in remark) if name == "shorter windows" else ("CPU" in remark)
        yield fits and most <= WINDOWS_LIMIT, f"{cap / 1e6:.0f} MB: {remark or 'no remark'} At most {most:.3f} mm off"


def rows(device: str) -> Iterator[Row]:
    """The GPU's rows of docs/benchmarks.md, on the sound that is made here."""
    head, sound, model = load_head(), speech(60), load_checkpoint(WEIGHTS, device)
    yield from network_rows(device, model, torch.from_numpy(sound)[None].to(device), 3.0)
    seconds = timed(lambda: synthesize(sound, model, head, levels=False, device=device), device)
    yield Row(f"{device}: whole synthesis", seconds / 60, "of real time", "<= 0.04", f"{seconds:.3f} s")
    lengths = np.clip(np.random.default_rng(0).lognormal(1.2, 0.7, 128), 0.6, 20)
    clips, alone = [speech(20)[: int(length * SAMPLE_RATE)] for length in lengths], None
    for size in (1, 8, 32, 128):
        seconds = timed(
            lambda size=size: synthesize_many(clips, model, head, levels=False, batch_size=size, device=device), device
        )
        alone = alone or seconds
        figures = f"{128 / seconds * 60:.0f} clips a minute, {seconds / lengths.sum():.5f} of real time"
        yield Row(f"{device}, up to {size} at once", alone / seconds, "x one at a time", "", figures)
    stream, sound, began = Stream(model, head, device=device), speech(20), time.perf_counter()
    for first in range(0, len(sound), SAMPLE_RATE // 10):
        stream.feed(sound[first : first + SAMPLE_RATE // 10])
    seconds = time.perf_counter() - began
    figures = f"{1000 * seconds / 100:.1f} ms a hop"
    yield Row(f"{device}: stream, look-ahead 0.3 s, hop 0.2 s", seconds / 20, "of real time", "<= 0.15", figures)


CHECKS = {"presets": check_presets, "batches": check_batches, "stream": check_stream, "training": check_training}
GPU_CHECKS = {"memory": check_memory}


def run(name: str, check: Callable[[], object]) -> bool:
    """One check, whose error is its failure."""
    try:
        found = check()
        results = [(True, found)] if isinstance(found, str) else list(found)
    except Exception as error:
        results = [(False, f"{type(error).__name__}: {error}")]
    for passed, figures in results:
        print(f"{'PASS' if passed else 'FAIL'}  {name}: {figures}", flush=True)
    return all(passed for passed, _ in results)


def main() -> int:
    """All checks; 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to rehearse the checks without a GPU")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks-cuda.md", help="where the rows are written")
    asked = parser.parse_args()
    passed = [run(name, check) for name, check in device_checks.CHECKS.items()]
    if asked.device == "cpu":
        passed += [run(name, lambda check=check: check("cpu")) for name, check in CHECKS.items()]
    elif torch.cuda.is_available():
        device = f"cuda:{torch.cuda.current_device()}" if asked.device == "cuda" else asked.device
        passed += [run(name, lambda check=check: check(device)) for name, check in (CHECKS | GPU_CHECKS).items()]
        title = f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
        text = f"# Benchmarks on a GPU\n\n{machine()}.\n\n{markdown(title, rows(device))}"
        asked.out.write_text(text)
        print(f"\n{text}\nWritten to {asked.out}")
    else:
        print("No CUDA device: GPU checks not run.")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
