"""Captured motion trains in the teacher's place, resumes, and gives weights of its own topology."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny import tiny_options

from histalk_blender.errors import HiSTalkError
from histalk_blender.network import load_checkpoint
from histalk_blender.training.datasets import open_data_set
from histalk_blender.training.examples import sources
from histalk_blender.training.examples.principal_shapes import PrincipalShapes, spread_landmarks
from histalk_blender.training.examples.sources import CapturedSource
from histalk_blender.training.loop import train


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    monkeypatch.setattr(sources, "COMPONENTS", 8)


def test_shapes_give_back_motion_they_span_and_each_moves_alike(vocaset_files):
    data = open_data_set("vocaset", vocaset_files)
    recordings = data.recordings("train")
    weights = np.ones(5023, np.float32)
    weights[data.topology.lips] = 6
    shapes = PrincipalShapes.of(recordings, weights, 8, seed=0)
    motion = recordings[3].motion()
    coefficients = shapes.coefficients(motion)
    assert coefficients.shape == (len(motion), 8) and np.square(coefficients[:, 0]).mean() == pytest.approx(1, rel=0.5)
    np.testing.assert_allclose(shapes.pose(coefficients), motion, atol=1e-5)
    assert shapes.basis[0].any() and not shapes.basis[-1].any(), "one jaw needs no eight shapes"


def test_the_residual_of_shapes_is_orthogonal_to_them():
    random = np.random.default_rng(0)
    weights = random.uniform(1, 6, 20).astype(np.float32)

    class Moved:
        def motion(self):
            return random.normal(0, 1, (60, 20, 3)).astype(np.float32)

    shapes = PrincipalShapes.of([Moved()], weights, 10, seed=0)
    motion = Moved().motion()
    left = (motion - shapes.pose(shapes.coefficients(motion))) * weights[:, None]
    assert np.abs(left.reshape(60, -1) @ shapes.basis.reshape(10, -1).T).max() < 1e-3


def test_stand_in_landmarks_lie_apart_and_where_much_moves(head):
    chosen = spread_landmarks(head.blendshape_deltas(), head.vertices)
    assert len(set(chosen)) == 68
    moved = np.sqrt(np.square(head.blendshape_deltas()).sum((0, 2)))
    assert moved[chosen].mean() > 2 * moved.mean()


def options(data, out, steps):
    return tiny_options(data.root, out, steps, data=data, batch_seconds=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name, topology, vertices, fps", [("vocaset", "flame", 5023, 30), ("biwi", "biwi", 23370, 25)])
def test_a_run_on_captured_motion_resumes_and_gives_a_checkpoint(request, tmp_path, name, topology, vertices, fps):
    data = open_data_set(name, request.getfixturevalue(f"{name}_files"))
    train(options(data, tmp_path, 1))
    first = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    path = train(options(data, tmp_path, 2))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert [row["step"] for row in rows] == [1, 2] and all(np.isfinite(list(row.values())).all() for row in rows)
    off = {key for key, value in rows[0].items() if value == 0} - {"speech_hours", "lr"}
    assert off == {"phones", "rest"} | (set() if name == "vocaset" else {"opening", "closed", "bite"}), (
        "what the data cannot teach is off"
    )
    model = load_checkpoint(path)
    assert model.config.topologies == ((topology, vertices),) and model.config.fps == fps
    basis = f"outputs.{topology}.basis"
    torch.testing.assert_close(model.state_dict()[basis], first[basis], atol=1e-3, rtol=1e-3)
    with torch.inference_mode():
        motion = model(torch.randn(1, 16_000), topology=topology).displacements
    assert motion.shape == (1, fps, vertices, 3) and motion.isfinite().all()


def test_landmarks_of_a_data_set_without_a_unit_are_scaled_to_a_face(biwi_files, tmp_path):
    (tmp_path / "marks.txt").write_text(" ".join(map(str, range(68))))
    source = CapturedSource(open_data_set("biwi", biwi_files, landmarks=tmp_path / "marks.txt"))
    space, clips = source.targets(source.first_basis(8, seed=0))
    assert source.metres * np.ptp(source.neutral, 0).max() == pytest.approx(0.2)
    moved = torch.einsum("tk,klc->tlc", torch.from_numpy(clips[0].controls), space.landmarks).numpy()
    np.testing.assert_allclose(moved, source.recordings[0].motion()[:, :68] * source.metres, atol=2e-4)
    assert source.without == {"phones", "rest"}, "with landmarks, lips are learned"


def test_a_run_of_another_data_set_is_not_resumed(vocaset_files, biwi_files, tmp_path):
    data = open_data_set("vocaset", vocaset_files)
    train(options(data, tmp_path, 1))
    with pytest.raises(HiSTalkError, match="another network"):
        train(dataclasses.replace(options(data, tmp_path, 2), data=open_data_set("biwi", biwi_files)))
