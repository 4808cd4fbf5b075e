"""Nothing is bound to the CPU: what `tools/verify_cuda.py` proves without a GPU, and that it can fail."""

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))
import device_checks

from histalk_blender.network import decoder
from histalk_blender.network.masks import valid_mask


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
