"""What else may stand or be selected where a human-sized mesh head is expected."""

import bpy
import numpy as np
import pytest

from histalk_blender.addon import job
from histalk_blender.bake.make import compute_bake
from histalk_blender.bake.plan import plan_bake
from histalk_blender.bake.shot import speak
from histalk_blender.style import Style

SIZES = {"in centimetres": 100.0, "a giant of 10 m": 40.0, "a doll": 0.05, "in kilometres": 1e-3, "in micrometres": 1e6}


def head_of(stage, head, topology, size):
    if topology == "flame":
        return stage.add_flame_head(head, size)
    return stage.add_mesh("Head", head.vertices * size)


@pytest.fixture(scope="module")
def keys_when_human():
    """Topology -> basis keys that the take needs on a head of our size, filled by the first test that asks."""
    return {}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("topology", ["histalk", "flame"])
def test_a_head_of_any_size_takes_as_many_basis_keys(blender, head, stored_take, keys_when_human, topology, size):
    def made(size):
        plan = plan_bake(head_of(blender, head, topology, size), kind="basis")
        return compute_bake(plan, stored_take, topology, Style(), rest=False)

    if topology not in keys_when_human:
        keys_when_human[topology] = len(made(1.0).motion.shapes)
    found = made(size)
    assert abs(len(found.motion.shapes) - keys_when_human[topology]) <= 1 and keys_when_human[topology] > 4
    assert 0.01 < found.max_error_mm <= 0.1, "in the unit in which it was asked for"


@pytest.mark.parametrize("tolerance", [0.5, 0.1])
def test_what_is_seen_on_a_large_head_is_off_by_the_scaled_tolerance(blender, head, stored_take, tmp_path, tolerance):
    obj = head_of(blender, head, "histalk", 100.0)
    report = speak(obj, stored_take, kind="basis", start=1, cache=tmp_path, tolerance_mm=tolerance, rest=False)
    motion = stored_take.performance.motion.at_fps(24)
    frames = np.argsort(-np.linalg.norm(motion.displacements(), axis=2).max(1))[:8]
    off = max(
        np.linalg.norm(blender.vertices(obj, 1 + i) - 100 * (head.vertices + motion.displacements(i, i + 1)[0]), axis=1).max()
        for i in frames.tolist()
    )
    assert off / 100 * 1000 <= report.max_error_mm + 1e-3 <= tolerance + 1e-3
    assert off / 100 * 1000 > report.max_error_mm / 10
    assert report.accuracy == f"at most {report.max_error_mm:.2f} mm off"


def test_the_panel_s_tolerance_is_that_of_a_human_sized_head(blender, head, stored_take, monkeypatch):
    monkeypatch.setattr(job, "listen", lambda samples, weights, device, say: stored_take)
    blender.add_strip()
    counts = []
    for size in (1.0, 100.0):
        obj = head_of(blender, head, "histalk", size)
        blender.bake(kind="basis")
        counts.append(len(obj.data.shape_keys.key_blocks))
    assert counts[0] == counts[1] > 5
