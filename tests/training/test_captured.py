"""Captured motion trains in the teacher's place, goes on after a kill, and gives weights of its own topology."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from histalk_blender.errors import HiSTalkError
from histalk_blender.network import load_checkpoint
from histalk_blender.training.datasets import open_data_set
from histalk_blender.training.examples import captured
from histalk_blender.training.examples.captured import Captured, Shapes, spread_landmarks
from histalk_blender.training.loop import TrainOptions, train
from histalk_blender.training.losses import LossWeights


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    monkeypatch.setattr(captured, "COMPONENTS", 8)


def test_shapes_give_back_motion_they_span_and_each_moves_alike(vocaset_files):
    data = open_data_set("vocaset", vocaset_files)
    recordings = data.recordings("train")
    weights = np.ones(5023, np.float32)
    weights[data.topology.lips] = 6
    shapes = Shapes.of(recordings, weights, 8, seed=0)
    motion = recordings[3].motion()
    coefficients = shapes.coefficients(motion)
    assert coefficients.shape == (len(motion), 8) and np.square(coefficients[:, 0]).mean() == pytest.approx(1, rel=0.5)
    np.testing.assert_allclose(shapes.pose(coefficients), motion, atol=1e-5)
    assert shapes.basis[0].any() and not shapes.basis[-1].any(), "one jaw needs no eight shapes"


def test_what_shapes_leave_over_is_nothing_they_could_have_had():
    random = np.random.default_rng(0)
    weights = random.uniform(1, 6, 20).astype(np.float32)

    class Moved:
        def motion(self):
            return random.normal(0, 1, (60, 20, 3)).astype(np.float32)

    shapes = Shapes.of([Moved()], weights, 10, seed=0)
    motion = Moved().motion()
    left = (motion - shapes.pose(shapes.coefficients(motion))) * weights[:, None]
    assert np.abs(left.reshape(60, -1) @ shapes.basis.reshape(10, -1).T).max() < 1e-3


def test_stand_in_landmarks_lie_apart_and_where_much_moves(head):
    chosen = spread_landmarks(head.unit_deltas(), head.vertices)
    assert len(set(chosen)) == 68
    moved = np.sqrt(np.square(head.unit_deltas()).sum((0, 2)))
    assert moved[chosen].mean() > 2 * moved.mean()


def options(data, out, steps):
    return TrainOptions(
        data.root, out, data=data, steps=steps, warm_minutes=0, lengths=(1.0,), seconds=1.0, workers=0, device="cpu"
    )


@pytest.mark.parametrize("name, topology, vertices, fps", [("vocaset", "flame", 5023, 30), ("biwi", "biwi", 23370, 25)])
def test_a_run_on_captured_motion_goes_on_and_gives_a_checkpoint(request, tmp_path, name, topology, vertices, fps):
    data = open_data_set(name, request.getfixturevalue(f"{name}_files"))
    train(options(data, tmp_path, 1))
    first = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    path = train(options(data, tmp_path, 2))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert [row["step"] for row in rows] == [1, 2] and all(np.isfinite(list(row.values())).all() for row in rows)
    off = {key for key, value in rows[0].items() if value == 0} - {"hours_heard", "lr"}
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
    taught = Captured(open_data_set("biwi", biwi_files, landmarks=tmp_path / "marks.txt"))
    space, clips = taught.lesson(taught.first_basis(8, seed=0))
    assert taught.metres * np.ptp(taught.neutral, 0).max() == pytest.approx(0.2)
    moved = torch.einsum("tk,klc->tlc", torch.from_numpy(clips[0].units), space.landmarks).numpy()
    np.testing.assert_allclose(moved, taught.recordings[0].motion()[:, :68] * taught.metres, atol=2e-4)
    assert taught.loss_weights(LossWeights()).opening == LossWeights().opening


def test_a_run_of_another_data_set_is_not_gone_on_with(vocaset_files, biwi_files, tmp_path):
    data = open_data_set("vocaset", vocaset_files)
    train(options(data, tmp_path, 1))
    with pytest.raises(HiSTalkError, match="another network"):
        train(dataclasses.replace(options(data, tmp_path, 2), data=open_data_set("biwi", biwi_files)))
