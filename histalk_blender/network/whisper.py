"""Whisper's encoder as the acoustic feature extractor: mel bands of the audio -> frame-level features (paper: F̂_f).

It replaces wav2vec 2.0 behind the same interface. Whisper gives each token an absolute position in a window of 30 s;
here attention depends only on the distance of two tokens, so that a clip may be of any length and windows agree.
Weights are named as transformers names Whisper's; transformers itself is not needed.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import local_attention
from .config import HiSTalkConfig
from .linear import Linear
from .masks import valid_mask

BANDS = 80
WINDOW = 400  # samples of a spectrum
STRIDE = 160  # samples between two spectra: two of them a token
MARGIN = 3  # spectra that the convolutions need before the first and after the last token
FLOOR = 10**-6.5  # power, eight decades below the loudest band of speech at our level; Whisper's depends on the clip


def mel_filters(rate: int, highest: float = 8000.0) -> Tensor:
    """Slaney's mel scale, linear up to 1 kHz and logarithmic above, in triangles of equal area: [80, 201]."""
    step, knee, ratio = 200 / 3, 1000.0, np.log(6.4) / 27
    top = knee / step + np.log(highest / knee) / ratio
    mel = np.linspace(0, top, BANDS + 2)
    edges = np.where(mel < knee / step, mel * step, knee * np.exp(ratio * (mel - knee / step)))
    frequency = np.linspace(0, rate / 2, WINDOW // 2 + 1)
    rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.minimum(rising, falling).clip(min=0) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return torch.from_numpy(bank.astype(np.float32))


class SelfAttention(nn.Module):
    """Attention over the tokens within reach."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.num_heads, self.scaling, self.dropout = heads, (width // heads) ** -0.5, dropout
        self.k_proj = Linear(width, width, bias=False)
        self.v_proj, self.q_proj, self.out_proj = (Linear(width, width) for _ in range(3))

    def forward(self, hidden: Tensor, bias: Tensor, valid: Tensor) -> Tensor:
        """[B, M, width], [heads, 2 · span + 1], [B, M] -> [B, M, width]."""
        parts = (
            project(hidden).unflatten(-1, (self.num_heads, -1)) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        found = local_attention(*parts, bias, valid, self.dropout if self.training else 0.0)
        return self.out_proj(found.flatten(2))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, pre-norm."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        width = config.acoustic_width
        self.self_attn = SelfAttention(width, config.acoustic_heads, config.acoustic_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = Linear(width, config.acoustic_feed_forward)
        self.fc2 = Linear(config.acoustic_feed_forward, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.acoustic_dropout)

    def forward(self, hidden: Tensor, bias: Tensor, valid: Tensor) -> Tensor:
        """[B, M, width], [heads, 2 · span + 1], [B, M] -> [B, M, width]."""
        hidden = hidden + self.dropout(self.self_attn(self.self_attn_layer_norm(hidden), bias, valid))
        return hidden + self.dropout(self.fc2(F.gelu(self.fc1(self.final_layer_norm(hidden)))))


class Encoder(nn.Module):
    """Two convolutions over mel bands, one learnt position for all tokens, and the layers."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        width = config.acoustic_width
        self.conv1 = nn.Conv1d(BANDS, width, 3)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2)
        self.embed_positions = nn.Embedding(1, width)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.acoustic_layers))
        self.layer_norm = nn.LayerNorm(width)


def convolved(encoder: nn.Module, bands: Tensor) -> Tensor:
    """[B, 80, 2M - 1 + 2 · MARGIN] -> [B, M, width], without padding, as silence is not zero in these bands."""
    first, second = encoder.conv1, encoder.conv2
    hidden = F.gelu(F.conv1d(bands, first.weight, first.bias))
    hidden = hidden[..., MARGIN - 2 : hidden.shape[-1] - (MARGIN - 2)]
    hidden = F.gelu(F.conv1d(hidden, second.weight, second.bias, stride=2))
    return hidden.transpose(1, 2)


class WhisperExtractor(nn.Module):
    """Whisper's encoder with tokens centred on multiples of the hop and relative attention."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.config = config
        self.half_on = ("cuda",)  # where the layers run in half precision, as they are most of the model's work
        self.encoder = Encoder(config)
        reach = 2 * config.acoustic_span + 1
        self.apart = nn.Parameter(torch.zeros(config.acoustic_layers, config.acoustic_heads, reach))
        self.register_buffer("filters", mel_filters(config.sample_rate), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW, device="cpu"), persistent=False)

    def log_mel(self, waveform: Tensor, tokens: int) -> Tensor:
        """Whisper's bands of M tokens and of `MARGIN` spectra around them.

        Args:
            waveform: [B, N], zero where invalid.
            tokens: M.

        Returns:
            [B, 80, 2M - 1 + 2 · MARGIN].
        """
        count = 2 * tokens - 1 + 2 * MARGIN
        before = MARGIN * STRIDE + WINDOW // 2
        after = (count - 1) * STRIDE + WINDOW - before - waveform.shape[1]
        padded = F.pad(waveform.float(), (before, max(0, after)))
        spectra = torch.stft(padded, WINDOW, STRIDE, window=self.window, center=False, return_complex=True)
        power = spectra[..., :count].abs().square()
        level = (self.filters @ power).clamp(min=FLOOR).log10()
        return (level + 4) / 4

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Raw audio to frame-level features.

        Args:
            waveform: [B, N] at 16 kHz.
            lengths: [B] valid samples.

        Returns:
            features [B, M, width] at the 20 ms hop, zero where invalid, and valid tokens [B].
        """
        B, N = waveform.shape
        M = self.config.tokens(N)
        tokens = lengths // self.config.hop + 1
        valid = valid_mask(tokens, M)
        bands = self.log_mel(waveform * valid_mask(lengths, N), M)
        device = waveform.device.type
        half = device in self.half_on and not self.training
        with torch.autocast(device, torch.float16) if half else nullcontext():
            features = self.inside(bands, valid)[-1]
        return features.float() * valid[..., None], tokens

    def inside(self, bands: Tensor, valid: Tensor) -> list[Tensor]:
        """Mel bands, valid tokens [B, M] -> the input of each layer and the last output, [B, M, width] each."""
        out = [self.placed(convolved(self.encoder, bands))]
        for layer, apart in zip(self.encoder.layers, self.apart):
            out.append(layer(out[-1], apart, valid))
        return [*out[:-1], self.encoder.layer_norm(out[-1])]

    def placed(self, hidden: Tensor) -> Tensor:
        """The convolutions' output [B, M, width] -> the Transformer's input: all tokens get the same position."""
        hidden = hidden + self.encoder.embed_positions.weight[0]
        return F.dropout(hidden, self.config.acoustic_dropout, self.training)
