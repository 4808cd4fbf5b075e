"""Nothing is bound to the CPU: what `tools/verify_cuda.py` proves without a GPU, and that it can fail."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))
import device_checks
import verify_cuda

from histalk_blender.network import decoder
from histalk_blender.network.masks import valid_mask

# Packages that the tool must not need.
OTHERS = ("soundfile", "transformers", "click", "tqdm", "filelock", "jinja2", "scipy", "matplotlib", "ray")
WITHOUT_OTHERS = f"""
import runpy, sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {OTHERS} else super().find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
sys.argv = ["verify_cuda.py"]
runpy.run_path({str(ROOT / "tools/verify_cuda.py")!r}, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("check", device_checks.CHECKS.values(), ids=device_checks.CHECKS)
def test_the_code_runs_on_another_device_than_the_cpu(check):
    assert check()


def test_a_tensor_without_a_device_is_found(monkeypatch):
    planted = {"torch": torch, "valid_mask": valid_mask, "__name__": "histalk_blender.network.decoder"}
    exec("def planted(frames, T):\n    torch.zeros(3)\n    return valid_mask(frames, T)", planted)
    monkeypatch.setattr("histalk_blender.network.model.valid_mask", planted["planted"])
    with pytest.raises(AssertionError, match="torch.zeros without a device"):
        device_checks.check_presets(["whisper-tiny"])


def test_a_tensor_on_the_cpu_is_found(monkeypatch):
    def bias(config, device):
        return decoder.distance_bias(config, torch.device("cpu"))

    monkeypatch.setattr("histalk_blender.network.model.distance_bias", bias)
    with pytest.raises(AssertionError, match="tensors on cpu and meta"):
        device_checks.check_presets(["whisper-tiny"])


class FakeCard:
    """A GPU's memory on the CPU: longer windows need more of it."""

    total_memory = 10_000_000_000
    needs = {50.4: 3_000_000_000, 16.8: 1_000_000_000, 9.6: 500_000_000}

    def __init__(self, monkeypatch):
        self.fraction, self.peak = 1.0, 0
        self.synthesize = verify_cuda.synthesize_many
        monkeypatch.setattr(verify_cuda, "synthesize", lambda clip, *args, **rest: self([clip], *args, **rest)[0])
        monkeypatch.setattr("histalk_blender.synthesis.engine.synthesize_many", self)
        for name, value in {
            "get_device_properties": lambda device: self,
            "empty_cache": lambda: None,
            "reset_peak_memory_stats": lambda device: None,
            "max_memory_allocated": lambda device: self.peak,
            "max_memory_reserved": lambda device: 1.1 * self.peak,
            "set_per_process_memory_fraction": lambda fraction, device: setattr(self, "fraction", fraction),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def __call__(self, *args, device="cpu", window_s=50.4, **rest):
        self.peak = self.needs[window_s]
        if device != "cpu" and self.peak > self.fraction * self.total_memory:
            raise torch.OutOfMemoryError
        return self.synthesize(*args, device=device, window_s=window_s, **rest)


@pytest.mark.slow
def test_the_check_of_a_full_gpu_finds_both_fallbacks(monkeypatch):
    FakeCard(monkeypatch)
    monkeypatch.setattr(verify_cuda, "speech", lambda seconds: noise())
    results = list(verify_cuda.check_memory("cpu:0"))
    assert [passed for passed, _ in results] == [True, True], results
    assert "windows of 16.8 s" in results[0][1] and "the CPU did the work" in results[1][1]


@pytest.mark.slow
def test_the_check_of_a_full_gpu_fails_without_a_fallback(monkeypatch):
    card = FakeCard(monkeypatch)
    monkeypatch.setattr(verify_cuda, "speech", lambda seconds: noise())
    card.needs = dict.fromkeys(card.needs, 1_000_000_000)
    passed, figures = next(verify_cuda.check_memory("cpu:0"))
    assert not passed and "no remark" in figures


def noise():
    return np.random.default_rng(0).normal(0, 0.05, 32_000).astype(np.float32)


def test_a_check_that_fails_or_breaks_is_printed(capsys):
    def broken():
        raise RuntimeError("no kernel")

    assert verify_cuda.run("good", lambda: iter([(True, "0.01 mm")]))
    assert not verify_cuda.run("bad", lambda: iter([(True, "0.01 mm"), (False, "0.03 mm")]))
    assert not verify_cuda.run("broken", broken)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["FAIL  bad: 0.03 mm", "FAIL  broken: RuntimeError: no kernel"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="takes minutes on a GPU")
def test_the_tool_needs_four_packages_and_says_that_there_is_no_gpu():
    done = subprocess.run([sys.executable, "-I", "-c", WITHOUT_OTHERS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS") == len(device_checks.CHECKS)
    assert done.stdout.splitlines()[-1] == "No CUDA device: GPU checks not run."
