"""Whisper's encoder made ours: read from a file, its absolute places turned into relative ones, without labels."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ...errors import HiSTalkError, shown
from ...files import open_regular
from ...network.config import HiSTalkConfig
from ...network.whisper import BANDS, WhisperExtractor, convolved
from .warm_start import practise

PLACES = 1500  # tokens of Whisper's 30 s
USUAL = 80  # batches that a place's usual features are averaged over
RATE = 3e-4  # of learning, while the relative encoder follows the absolute one


def read_encoder(source: Path) -> dict[str, Tensor]:
    """Whisper's encoder as `transformers` names its weights.

    Args:
        source: a folder with CTranslate2's model.bin, as faster-whisper has it, or with transformers' own files.

    Raises:
        HiSTalkError: there is none, or it holds no Whisper.
    """
    source = Path(source)
    try:
        if not source.is_dir():
            raise OSError("there is no such folder")
        if (source / "model.bin").is_file():
            return _from_ctranslate2(_read_ctranslate2(source / "model.bin"))
        from transformers import WhisperModel

        return WhisperModel.from_pretrained(source, local_files_only=True, use_safetensors=True).encoder.state_dict()
    except Exception as error:  # neither our reader's nor transformers' failures on damaged files are of few kinds
        raise HiSTalkError(
            f"No Whisper encoder at '{source}' ({shown(error)}): name a folder with model.bin (faster-whisper) or with "
            "transformers' config.json and model.safetensors."
        ) from error


def _read_ctranslate2(path: Path) -> dict[str, Tensor]:
    """Name -> half-precision tensor of CTranslate2's file of plain arrays; other types are left out."""
    out = {}
    with open_regular(path) as file:
        total = os.fstat(file.fileno()).st_size

        def number(form: str) -> int:
            return struct.unpack(form, file.read(struct.calcsize(form)))[0]

        def text() -> str:
            return file.read(number("<H"))[:-1].decode()

        number("<I"), text(), number("<I")  # version, kind of model, its revision
        for _ in range(number("<I")):
            name, shape = text(), [0] * number("<B")
            shape = [number("<I") for _ in shape]
            kind, size = number("<B"), number("<I")
            if file.tell() + size > total:
                raise ValueError("it breaks off")
            data = file.read(size)
            if kind == 4:
                array = np.frombuffer(data, np.float16).reshape(shape)
                if not np.isfinite(array).all():
                    raise ValueError(f"{shown(name)} holds NaN or infinities")
                out[name] = torch.from_numpy(array.astype(np.float32))
    return out


def _from_ctranslate2(given: dict[str, Tensor]) -> dict[str, Tensor]:
    layers = sum(name.startswith("encoder/layer_") and name.endswith("/ffn/linear_0/weight") for name in given)
    out = {"embed_positions.weight": given["encoder/position_encodings/encodings"]}
    norms = {"layer_norm": "encoder/layer_norm"}
    linears = {name: f"encoder/{name}" for name in ("conv1", "conv2")}
    for i in range(layers):
        own, theirs = f"layers.{i}", f"encoder/layer_{i}"
        for part, weights in zip("qkv", given[f"{theirs}/self_attention/linear_0/weight"].chunk(3)):
            out[f"{own}.self_attn.{part}_proj.weight"] = weights
        query, _, value = given[f"{theirs}/self_attention/linear_0/bias"].chunk(3)
        out |= {f"{own}.self_attn.q_proj.bias": query, f"{own}.self_attn.v_proj.bias": value}
        linears |= {
            f"{own}.self_attn.out_proj": f"{theirs}/self_attention/linear_1",
            f"{own}.fc1": f"{theirs}/ffn/linear_0",
            f"{own}.fc2": f"{theirs}/ffn/linear_1",
        }
        norms |= {
            f"{own}.self_attn_layer_norm": f"{theirs}/self_attention/layer_norm",
            f"{own}.final_layer_norm": f"{theirs}/ffn/layer_norm",
        }
    for own, theirs in linears.items():
        out |= {f"{own}.{part}": given[f"{theirs}/{part}"] for part in ("weight", "bias")}
    for own, theirs in norms.items():
        out |= {f"{own}.weight": given[f"{theirs}/gamma"], f"{own}.bias": given[f"{theirs}/beta"]}
    return out


class Original(nn.Module):
    """Whisper's encoder as published, on clips shorter than its 30 s."""

    def __init__(self, weights: dict[str, Tensor], config: HiSTalkConfig):
        super().__init__()
        self.encoder = WhisperEncoder(
            WhisperConfig(
                num_mel_bins=BANDS,
                d_model=config.acoustic_width,
                encoder_layers=config.acoustic_layers,
                encoder_attention_heads=config.acoustic_heads,
                encoder_ffn_dim=config.acoustic_feed_forward,
                max_source_positions=PLACES,
            )
        )
        try:
            self.encoder.load_state_dict(weights)
        except RuntimeError as error:
            raise HiSTalkError(f"This Whisper is not of the preset's size, which is that of tiny: {error}") from error
        self.eval()

    def forward(self, bands: Tensor, first: int) -> list[Tensor]:
        """Mel bands of M tokens -> the inputs of each layer and the last output, as if token 0 stood at `first`."""
        hidden = convolved(self.encoder, bands)
        out = [hidden + self.encoder.embed_positions.weight[first : first + hidden.shape[1]]]
        for layer in self.encoder.layers:
            out.append(layer(out[-1], None))
        return [*out[:-1], self.encoder.layer_norm(out[-1])]


def take_over(extractor: WhisperExtractor, source: Path, waves: Iterable[Tensor], minutes: float) -> float:
    """Make the extractor hear as Whisper does, without Whisper's absolute places.

    What a distance adds to each head's attention is first counted on sound, then all weights follow the original's
    features until the minutes are over.

    Args:
        extractor: in the preset's size, on any device.
        source: see `read_encoder`.
        waves: [B, N] rows of sound at 16 kHz.
        minutes: of following, or until the waves end.

    Returns:
        The last error of the features, as a share of their variance.

    Raises:
        HiSTalkError: the source is missing or of another size.
    """
    weights = read_encoder(source)
    device = extractor.apart.device
    original = Original(weights, extractor.config).to(device)
    places = weights.pop("embed_positions.weight")
    extractor.encoder.load_state_dict(weights | {"embed_positions.weight": places.mean(0, keepdim=True)})
    random = np.random.default_rng(0)
    waves = iter(waves)
    extractor.eval()
    with torch.no_grad():
        _count_distances(extractor, original, next(waves).to(device))
        usual = _usual(extractor, original, waves)
    extractor.train()

    def loss_of(wave: Tensor, _: float) -> tuple[Tensor, Tensor]:
        wave = wave.to(device)
        M = extractor.config.tokens(wave.shape[1])
        with torch.no_grad():
            bands = extractor.log_mel(wave, M)
            first = int(random.integers(0, PLACES - M))
            wanted = [x - place[first : first + M] for x, place in zip(original(bands, first), usual)]
        shown = extractor.inside(bands, torch.ones(len(wave), M, dtype=torch.bool, device=device))
        errors = [((a - b).square().mean() / b.var()) for a, b in zip(shown[1:], wanted[1:])]
        return sum(errors) + 2 * errors[-1], errors[-1]

    return practise(extractor.parameters(), waves, minutes, RATE, loss_of, weight_decay=0.0)


def _count_distances(extractor: WhisperExtractor, original: Original, wave: Tensor) -> None:
    """Set `apart` to what a distance adds to a head's logits in the original and not in a copy without places."""
    span = extractor.config.acoustic_span
    bands = extractor.log_mel(wave, extractor.config.tokens(wave.shape[1]))
    own = extractor.placed(convolved(extractor.encoder, bands))
    valid = torch.ones(own.shape[:2], dtype=torch.bool, device=own.device)
    for i, (layer, theirs) in enumerate(zip(extractor.encoder.layers, original(bands, 0))):
        difference = _logits(layer, theirs) - _logits(layer, own)  # [B, heads, M, M]
        for distance in range(-span, span + 1):
            if abs(distance) < own.shape[1]:
                extractor.apart[i, :, span + distance] = difference.diagonal(distance, -2, -1).mean((0, -1))
        own = layer(own, extractor.apart[i], valid)


def _usual(extractor: WhisperExtractor, original: Original, waves: Iterable[Tensor]) -> list[Tensor]:
    """What each place adds to the original's features, whatever is said there: [PLACES, width] of each layer.

    Half of the variance of Whisper's output is where a token stands; who follows its features need not learn that.
    """
    sums: list[Tensor | float] = [0.0] * (extractor.config.acoustic_layers + 1)
    heard = torch.zeros(PLACES, 1, device=extractor.apart.device)
    first = 0
    for _, wave in zip(range(USUAL), waves):
        M = extractor.config.tokens(wave.shape[1])
        first = first % (PLACES - M + 1)
        bands = extractor.log_mel(wave.to(heard.device), M)
        heard[first : first + M] += len(wave)
        for i, x in enumerate(original(bands, first)):
            sums[i] = sums[i] + nn.functional.pad(x.sum(0), (0, 0, first, PLACES - first - M))
        first += M // 2
    means = [total / heard.clamp(min=1) for total in sums]
    return [x - x.mean(0) for x in means]


def _logits(layer: nn.Module, hidden: Tensor) -> Tensor:
    attention, hidden = layer.self_attn, layer.self_attn_layer_norm(hidden)
    query, key = (
        projection(hidden).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj)
    )
    return query @ key.transpose(-1, -2) * attention.scaling
