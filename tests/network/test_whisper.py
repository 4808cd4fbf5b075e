"""The extractor on mel bands hears what Whisper hears, wherever in a clip it is said."""

import dataclasses
import struct

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from histalk_blender.errors import HiSTalkError
from histalk_blender.network.config import whisper_tiny
from histalk_blender.network.whisper import MARGIN, WhisperExtractor
from histalk_blender.training.pretraining.whisper import USUAL, Original, read_encoder, take_over

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
    features = Original(whisper.encoder.state_dict(), config)(bands, 0)[-1]
    expected = whisper.encoder(given).last_hidden_state
    assert (features - expected)[:, 10:-10].abs().mean() < 0.02 * expected.abs().mean()


def ctranslate2(encoder):
    """An encoder's weights as CTranslate2 writes them."""
    state = {name: value.numpy().astype(np.float16) for name, value in encoder.state_dict().items()}
    arrays = {"encoder/position_encodings/encodings": state["embed_positions.weight"]}
    linears = {f"encoder/{name}": name for name in ("conv1", "conv2")}
    norms = {"encoder/layer_norm": "layer_norm"}
    for i in range(2):
        ours, theirs = f"layers.{i}", f"encoder/layer_{i}"
        parts = [f"{ours}.self_attn.{x}_proj" for x in "qkv"]
        arrays[f"{theirs}/self_attention/linear_0/weight"] = np.concatenate([state[f"{x}.weight"] for x in parts])
        biases = [state.get(f"{x}.bias", np.zeros(32, np.float16)) for x in parts]
        arrays[f"{theirs}/self_attention/linear_0/bias"] = np.concatenate(biases)
        linears |= {f"{theirs}/self_attention/linear_1": f"{ours}.self_attn.out_proj"}
        linears |= {f"{theirs}/ffn/linear_{j}": f"{ours}.fc{j + 1}" for j in range(2)}
        norms |= {f"{theirs}/self_attention/layer_norm": f"{ours}.self_attn_layer_norm"}
        norms |= {f"{theirs}/ffn/layer_norm": f"{ours}.final_layer_norm"}
    arrays |= {f"{a}/{part}": state[f"{b}.{part}"] for a, b in linears.items() for part in ("weight", "bias")}
    arrays |= {
        f"{a}/{x}": state[f"{b}.{y}"] for a, b in norms.items() for x, y in (("gamma", "weight"), ("beta", "bias"))
    }

    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays) + 1)
    out += text("encoder/num_heads") + struct.pack("<BBI", 0, 2, 2) + b"\4\0"
    for name, array in arrays.items():
        out += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += struct.pack("<BI", 4, array.nbytes) + array.tobytes()
    return out


def test_an_encoder_is_read_from_either_kind_of_folder(whisper, tmp_path):
    (tmp_path / "ct2").mkdir()
    (tmp_path / "ct2" / "model.bin").write_bytes(ctranslate2(whisper.encoder))
    whisper.save_pretrained(tmp_path / "hf")
    theirs, ours = read_encoder(tmp_path / "hf"), read_encoder(tmp_path / "ct2")
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("content", [None, b"", b"\6\0\0\0nonsense that is no model at all"])
def test_a_folder_without_an_encoder_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(HiSTalkError, match=f"No Whisper encoder at '{tmp_path}'"):
        read_encoder(tmp_path)


def test_following_whisper_brings_its_features_nearer(config, whisper, tmp_path):
    whisper.save_pretrained(tmp_path)
    sounds = [torch.cat([noise(320 * 60, seed + i) for i in range(4)]) for seed in range(0, 800, 4)]

    def error(steps):
        torch.manual_seed(0)
        heard = USUAL + 1  # before any step
        return take_over(WhisperExtractor(config), tmp_path, iter((sounds * 2)[: heard + steps]), 10.0)

    assert error(200) < 0.7 * error(1)


def test_a_whisper_of_another_size_is_refused(whisper, tmp_path):
    whisper.save_pretrained(tmp_path)
    with pytest.raises(HiSTalkError, match="size"):
        take_over(WhisperExtractor(dataclasses.replace(whisper_tiny(10), acoustic_layers=1)), tmp_path, iter(()), 0.0)
