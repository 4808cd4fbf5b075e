"""Nothing is bound to the CPU: what `tools/verify_cuda.py` proves without a GPU, and that it can fail."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))
import device_checks

from histalk_blender.network import decoder
from histalk_blender.network.masks import valid_mask

# Packages that the tool must not need.
OTHERS = ("soundfile", "transformers", "click", "tqdm", "filelock", "jinja2", "bpy", "scipy", "matplotlib", "ray")
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="takes minutes on a GPU")
def test_the_tool_needs_four_packages_and_says_that_there_is_no_gpu():
    done = subprocess.run([sys.executable, "-I", "-c", WITHOUT_OTHERS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS") == len(device_checks.CHECKS)
    assert done.stdout.splitlines()[-1] == "No CUDA device: GPU checks not run."
