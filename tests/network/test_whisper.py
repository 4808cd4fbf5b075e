"""The extractor on mel bands gives what Whisper gives, wherever in a clip it is said."""

import copy
import dataclasses

import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from histalk_blender.errors import HiSTalkError
from histalk_blender.network.config import whisper_tiny
from histalk_blender.network.whisper import MARGIN, WhisperExtractor
from histalk_blender.training.pretraining.whisper import AVERAGED, WhisperOriginal, read_encoder, transfer_from_whisper

SIZES = {"acoustic_width": 32, "acoustic_layers": 2, "acoustic_heads": 4, "acoustic_feed_forward": 64}


@pytest.fixture(scope="module")
def config():
    return dataclasses.replace(whisper_tiny(10), **SIZES, acoustic_span=5, acoustic_dropout=0.0)


@pytest.fixture(scope="module")
def extractor(config):
    torch.manual_seed(0)
    extractor = WhisperExtractor(config).eval()
    torch.nn.init.normal_(extractor.apart)
    return extractor


@pytest.fixture(scope="module")
def whisper():
    torch.manual_seed(0)
    return WhisperModel(
        WhisperConfig(
            d_model=32,
            encoder_layers=2,
            encoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_layers=1,
            decoder_attention_heads=4,
            decoder_ffn_dim=64,
            vocab_size=60,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    ).eval()


def noise(samples, seed=0):
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


@torch.no_grad()
def test_a_window_hears_what_the_whole_clip_hears(extractor, config):
    sound = noise(320 * 80)
    whole, _ = extractor(sound, torch.tensor([sound.shape[1]]))
    first, reach = 20, config.acoustic_span * config.acoustic_layers + MARGIN
    part = sound[:, 320 * first :]
    window, _ = extractor(part, torch.tensor([part.shape[1]]))
    torch.testing.assert_close(window[:, reach:], whole[:, first + reach :], atol=1e-4, rtol=1e-4)
    assert (window[:, 0] - whole[:, first]).abs().max() > 0.01, "the edge does hear less"


@torch.no_grad()
def test_bands_and_features_are_whispers_own(extractor, config, whisper):
    sound = noise(16_000 * 30)
    given = WhisperFeatureExtractor()(sound[0].numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    bands = extractor.log_mel(sound, 1500)
    inner = bands[..., MARGIN : MARGIN + 2999]
    torch.testing.assert_close(inner[..., 5:-5], given[..., 5:2994], atol=2e-3, rtol=0)
    features = WhisperOriginal(whisper.encoder.state_dict(), config)(bands, 0)[-1]
    expected = whisper.encoder(given).last_hidden_state
    assert (features - expected)[:, 10:-10].abs().mean() < 0.02 * expected.abs().mean()


def test_an_encoder_is_read_from_transformers_files(whisper, tmp_path):
    whisper.save_pretrained(tmp_path)
    found = read_encoder(tmp_path)
    for name, value in whisper.encoder.state_dict().items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("content", [None, b"", b"nonsense that is no model at all"])
def test_a_folder_without_an_encoder_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(HiSTalkError, match=f"No Whisper encoder at '{tmp_path}'"):
        read_encoder(tmp_path)


def test_an_encoder_that_is_not_finite_is_refused(whisper, tmp_path):
    broken = copy.deepcopy(whisper)
    broken.encoder.conv1.bias.data[0] = float("inf")
    broken.save_pretrained(tmp_path)
    with pytest.raises(HiSTalkError, match="NaN or infinities"):
        read_encoder(tmp_path)


@pytest.mark.slow
def test_transfer_brings_whispers_features_nearer(config, whisper, tmp_path):
    whisper.save_pretrained(tmp_path)
    sounds = [torch.cat([noise(320 * 60, seed + i) for i in range(4)]) for seed in range(0, 800, 4)]

    def error(steps):
        torch.manual_seed(0)
        first = AVERAGED + 1  # before any step
        return transfer_from_whisper(WhisperExtractor(config), tmp_path, iter((sounds * 2)[: first + steps]), 10.0)

    assert error(200) < 0.7 * error(1)


def test_a_whisper_of_another_size_is_refused(whisper, tmp_path):
    whisper.save_pretrained(tmp_path)
    with pytest.raises(HiSTalkError, match="size"):
        transfer_from_whisper(
            WhisperExtractor(dataclasses.replace(whisper_tiny(10), acoustic_layers=1)), tmp_path, iter(()), 0.0
        )
