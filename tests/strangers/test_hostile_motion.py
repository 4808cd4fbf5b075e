"""Predictions that are not finite, or by metres, are never handed on, whichever way they are asked for."""

import copy

import numpy as np
import pytest
import soundfile as sf

torch = pytest.importorskip("torch", reason="no torch for this Python here")


from small_network import network  # noqa: F401

from histalk_blender.errors import HiSTalkError
from histalk_blender.synthesis import Stream, synthesize, synthesize_many
from histalk_blender.synthesis.checks import FURTHEST


@pytest.fixture
def poisoned(network):
    """The network with a weight that makes NaN of all motion: finite itself, as a file may have it."""
    model = copy.deepcopy(network)
    model.cmg.components.weight.data[:] = 3e38
    model.source = "poison.safetensors"
    return model


def test_motion_that_is_none_is_never_given_whichever_way_it_is_asked_for(poisoned, head, speech, tmp_path):
    sound = speech[:16_000]
    with pytest.raises(HiSTalkError, match="predicts NaN or infinities for the sound: .*'poison.safetensors'"):
        synthesize(sound, poisoned, head)
    with pytest.raises(HiSTalkError, match="poison"):
        synthesize_many([sound, sound[:9000]], poisoned, head, levels=False, batch_size=2)
    stream = Stream(poisoned, head)
    with pytest.raises(HiSTalkError, match="poison"):
        stream.feed(sound)
    from histalk_blender.audio.clip import open_clip

    path = tmp_path / "line.wav"
    sf.write(path, speech, 16_000)
    with pytest.raises(HiSTalkError, match="line.wav"):
        synthesize(open_clip(path), poisoned, head, window_s=3.0, overlap_s=1.0)


def test_evaluation_refuses_it_too(poisoned, speech, head):
    from histalk_blender.training.datasets import Recording, Topology
    from histalk_blender.training.evaluation.evaluate import network as predictor

    recording = Recording("clip 5", "x", "test", head.vertices, lambda: speech[:16_000], lambda: None)
    topology = Topology("histalk", len(head.vertices), 30.0, True)
    with pytest.raises(HiSTalkError, match="'clip 5'.*poison"):
        predictor(poisoned, topology)(recording)
    with pytest.raises(HiSTalkError, match="move 5123 vertices of 'histalk', which has 5000"):
        predictor(poisoned, Topology("histalk", 5000, 30.0, True))


def test_motion_by_metres_is_an_error_and_large_speech_is_not(network, head, speech):
    sound, model = speech[:16_000], copy.deepcopy(network)
    size = np.linalg.norm(synthesize(sound, model, head).displacements, axis=-1).max()
    model.outputs["histalk"].basis.data *= 0.9 * FURTHEST / size
    assert np.isfinite(synthesize(sound, model, head).displacements).all()
    model.outputs["histalk"].basis.data *= 1.2
    with pytest.raises(HiSTalkError, match="moves the face by 1.0[78]"):
        synthesize(sound, model, head)


def test_sound_that_is_no_numbers_is_not_taken_for_silence(network, head):
    for broken in (np.full(16_000, np.nan, np.float32), np.r_[np.zeros(15_999), np.inf].astype(np.float32)):
        with pytest.raises(HiSTalkError, match="(nan|inf), beyond any sound"):
            synthesize(broken, network, head)
        with pytest.raises(HiSTalkError, match="not numbers"):
            Stream(network, head).feed(broken)


def test_what_half_precision_cannot_hold_is_worked_out_in_full(network, head, speech):
    model = copy.deepcopy(network)
    model.acoustic.encoder.layers[0].fc2.bias.data += 1e5  # ends half precision, and the norm behind it takes it away
    wanted = synthesize(speech[:16_000], model, head)
    model.acoustic.half_on = ("cpu",)
    np.testing.assert_allclose(synthesize(speech[:16_000], model, head).displacements, wanted.displacements, atol=1e-6)
    assert model.acoustic.half_on == ("cpu",)


def test_nothing_is_fitted_or_written_of_motion_that_is_none(head, spoken, tmp_path):
    from dataclasses import replace

    from histalk_blender.motion.arkit_fit import fit_blendshapes
    from histalk_blender.motion.point_cache import write_mdd, write_pc2
    from histalk_blender.synthesis import save_motion

    weights = spoken.weights.copy()
    weights[3, 2] = np.nan
    motion = replace(spoken, weights=weights)
    ways = [
        lambda: fit_blendshapes(motion, head),
        lambda: save_motion(tmp_path / "a.npz", motion, {}),
        lambda: write_pc2(tmp_path / "a.pc2", head.vertices, motion),
        lambda: write_mdd(tmp_path / "a.mdd", head.vertices, motion),
    ]
    for way in ways:
        with pytest.raises(HiSTalkError, match="The motion holds NaN"):
            way()
    assert not list(tmp_path.iterdir())


def test_no_basis_keys_come_of_motion_that_is_none(spoken):
    pytest.importorskip("bpy")
    from dataclasses import replace

    from histalk_blender.bake.basis import basis_of

    shapes = spoken.shapes.copy()
    shapes[0, 0, 0] = np.inf
    with pytest.raises(HiSTalkError, match="The motion holds NaN"):
        basis_of(replace(spoken, shapes=shapes), 0.1)
