"""Properties of the network that hold whatever its weights are."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2Config, Wav2Vec2Model

from histalk_blender.errors import HiSTalkError
from histalk_blender.network import (
    HiSTalk,
    HiSTalkConfig,
    load_checkpoint,
    save_checkpoint,
    wav2vec2_base,
    wav2vec2_small,
    whisper_tiny,
)
from histalk_blender.network.wav2vec2 import Wav2Vec2Extractor


@pytest.fixture(scope="module", params=[whisper_tiny, wav2vec2_small])
def model(request):
    torch.manual_seed(0)
    model = HiSTalk(dataclasses.replace(request.param(50), acoustic_layers=2)).eval()
    torch.nn.init.normal_(model.outputs["histalk"].basis)
    return model


@pytest.fixture(scope="module")
def clips():
    return torch.randn(2, 32_000, generator=torch.Generator().manual_seed(1)) * 0.1


@torch.no_grad()
def test_shapes_and_gates(model, clips):
    out = model(clips)
    assert out.displacements.shape == out.coarse.shape == (2, 60, 50, 3)
    assert out.sparse.shape == (2, 60, 68, 3)
    assert out.levels.shape == (2, 4, 60, 68, 3)
    assert out.gates.shape == (2, 4, 60, 68)
    assert 0 < out.gates.min() and out.gates.max() < 1
    torch.testing.assert_close(out.sparse, out.levels.sum(1))


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_batch_mates_or_padding(model, clips):
    alone = model(clips[:1, :20_000])
    padded = model(clips, torch.tensor([20_000, 32_000]))
    frames = alone.displacements.shape[1]
    torch.testing.assert_close(padded.displacements[:1, :frames], alone.displacements, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(padded.gates[:1, :, :frames], alone.gates, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_group_norm_of_the_base_preset_ignores_padding_too(clips):
    config = dataclasses.replace(
        wav2vec2_base(10),
        conv_dim=(32,) * 7,
        acoustic_width=64,
        acoustic_layers=1,
        acoustic_heads=4,
        acoustic_feed_forward=64,
        acoustic_position_kernel=16,
    )
    extractor = Wav2Vec2Extractor(config).eval()
    alone, tokens = extractor(clips[:1, :20_000], torch.tensor([20_000]))
    padded, _ = extractor(clips, torch.tensor([20_000, 32_000]))
    torch.testing.assert_close(padded[:1, : int(tokens)], alone, atol=1e-4, rtol=1e-4)


def test_base_reads_a_local_folder_of_wav2vec2_weights(tmp_path, clips):
    sizes = {
        "conv_dim": (16,) * 7,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 32,
    }
    torch.manual_seed(0)
    theirs = Wav2Vec2Model(Wav2Vec2Config(**sizes)).eval()
    theirs.save_pretrained(tmp_path)
    ours = dataclasses.replace(
        wav2vec2_base(10, str(tmp_path)),
        conv_dim=(16,) * 7,
        acoustic_width=32,
        acoustic_layers=1,
        acoustic_heads=4,
        acoustic_feed_forward=32,
        hierarchy_layers=(1, 1, 1, 1),
    )
    model = HiSTalk(ours, pretrained_acoustic=True).eval()
    N = 400 + 320 * 40
    with torch.no_grad():
        expected = theirs(clips[:1, :N]).last_hidden_state
        padding = ours.receptive_centre
        got, _ = model.acoustic(clips[:1, padding : N - padding], torch.tensor([N - 2 * padding]))
    assert got.shape[1] == expected.shape[1]
    assert (got - expected).abs().mean() < 0.5 * expected.abs().mean(), "only the edges' padding may differ"
    with pytest.raises(HiSTalkError, match="32 wide with 1 layers"):
        HiSTalk(wav2vec2_base(10, str(tmp_path)), pretrained_acoustic=True)
    with pytest.raises(HiSTalkError, match="No wav2vec 2.0 weights at"):
        HiSTalk(wav2vec2_base(10, str(tmp_path / "none")), pretrained_acoustic=True)


@torch.no_grad()
def test_the_shortest_clip_gives_one_frame(model):
    assert model(torch.zeros(1, 1)).displacements.shape[1] == 1


@torch.no_grad()
def test_switching_the_coarse_generator_off_leaves_no_coarse_motion(clips):
    model = HiSTalk(dataclasses.replace(whisper_tiny(5), acoustic_layers=1, coarse=False)).eval()
    assert model(clips[:1]).coarse.abs().max() == 0


@pytest.mark.parametrize("waveform", [torch.zeros(10), torch.zeros(1, 0)])
def test_a_wrong_waveform_is_refused(model, waveform):
    with pytest.raises(ValueError, match="waveform must be"):
        model(waveform)


def test_an_unknown_topology_is_refused_by_name(model, clips):
    with pytest.raises(ValueError, match="flame.*histalk"):
        model(clips, topology="flame")


def test_config_survives_json():
    config = whisper_tiny(123)
    assert HiSTalkConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="unknown config fields: bogus"):
        HiSTalkConfig.from_json('{"bogus": 1}')


@torch.no_grad()
def test_a_checkpoint_with_each_branch_by_itself_is_read_too(model, clips, tmp_path):
    save_checkpoint(model, tmp_path / "new.safetensors", half=False)
    apart = {}
    for name, value in model.state_dict().items():
        if name.startswith("cmg.decoder."):
            apart[name] = value[0].clone()
        elif name.startswith(("s2d.decoder.", "s2d.components.")):
            for branch, part in zip(model.s2d.names, value):
                place = name.replace("s2d.decoder.", f"s2d.branches.{branch}.").replace(
                    "components.", f"components.{branch}."
                )
                apart[place] = part.clone()
        else:
            apart[name] = value
    path = tmp_path / "old.safetensors"
    save_file(apart, path, metadata={"config": model.config.to_json()})
    torch.testing.assert_close(load_checkpoint(path)(clips).displacements, model(clips).displacements)
    del apart["s2d.branches.word.enter.weight"]
    save_file(apart, path, metadata={"config": model.config.to_json()})
    with pytest.raises(HiSTalkError, match="lacks weight 's2d.decoder.enter.weight'"):
        load_checkpoint(path)


@torch.no_grad()
def test_a_checkpoint_restores_the_model(model, clips, tmp_path):
    path = tmp_path / "m.safetensors"
    save_checkpoint(model, path, half=False)
    torch.testing.assert_close(load_checkpoint(path)(clips).displacements, model(clips).displacements)


def test_wrong_checkpoints_are_refused_in_one_sentence(model, tmp_path):
    with pytest.raises(HiSTalkError, match="No weights at"):
        load_checkpoint(tmp_path / "none.safetensors")
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"not weights at all")
    with pytest.raises(HiSTalkError, match="not a safetensors file"):
        load_checkpoint(junk)
    other = HiSTalk(model.config)
    other.outputs["histalk"].basis = torch.nn.Parameter(torch.zeros(64, 7, 3))
    save_checkpoint(other, tmp_path / "other.safetensors")
    with pytest.raises(HiSTalkError, match="outputs.histalk.basis.*asks for"):
        load_checkpoint(tmp_path / "other.safetensors")
