"""wav2vec 2.0 as the acoustic feature extractor: raw audio -> frame-level features (paper: F̂_f).

After Baevski et al. 2020, with tokens centred on multiples of the hop and attention that reaches no further than
`acoustic_span`. Weights are named as transformers names them, which is needed only to fetch pre-trained ones.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import HiSTalkError
from ..runtime.output import printable
from .attention import local_attention
from .config import HiSTalkConfig
from .linear import Linear
from .masks import valid_mask

POSITION_GROUPS = 16  # of the convolution that gives tokens their relative position, as published


class MaskedGroupNorm(nn.Module):
    """wav2vec2-base's per-channel norm over time, with statistics from the valid tokens only.

    The published one includes padding in its mean, so that a clip's result depends on the others of its batch.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """[B, C, N], [B] valid tokens -> [B, C, N]."""
        mask = valid_mask(valid, x.shape[-1])[:, None]
        count = mask.sum(-1, keepdim=True)
        mean = (x * mask).sum(-1, keepdim=True) / count
        variance = ((x - mean).square() * mask).sum(-1, keepdim=True) / count
        return (x - mean) * (variance + self.eps).rsqrt() * self.weight[:, None] + self.bias[:, None]


def filter_bank(filters: int, kernel: int, sample_rate: int, outer: tuple[float, float]) -> Tensor:
    """Quadrature filters at mel-spaced centres, the first convolution's start (no labels, no training).

    Args:
        filters: a multiple of four: each centre gets +cos, -cos, +sin, -sin, whose rectified sum is an envelope.
        kernel: filter length in samples.
        sample_rate: samples a second.
        outer: Hz, the lowest and the highest centre.

    Returns:
        [filters, 1, kernel].
    """
    bands = filters // 4
    lowest, highest = (2595 * math.log10(1 + centre / 700) for centre in outer)
    mel = torch.linspace(lowest, highest, bands)
    centres = 700 * (10 ** (mel / 2595) - 1)
    spacing = torch.gradient(centres)[0]
    n = torch.arange(kernel) - (kernel - 1) / 2
    bank = []
    for centre, width in zip(centres.tolist(), spacing.tolist()):
        # A Hann window of length L passes about 2 / L; no shorter than 10 ms, or it would skip samples.
        length = min(kernel, max(0.010 * sample_rate, 2 * sample_rate / width))
        window = torch.where(n.abs() < length / 2, 0.5 + 0.5 * torch.cos(2 * math.pi * n / length), 0.0)
        window = window / window.norm()
        phase = 2 * math.pi * centre / sample_rate * n
        for wave in (phase.cos(), -phase.cos(), phase.sin(), -phase.sin()):
            bank.append(window * wave)
    return torch.stack(bank)[:, None]


class ConvLayer(nn.Module):
    """A convolution without bias, a norm in the first one, and GELU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: nn.Module | None = None):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, bias=False)
        nn.init.kaiming_normal_(self.conv.weight)
        self.layer_norm = norm

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, inputs, N], [B] valid -> [B, outputs, M], [B] valid."""
        lengths = (lengths - self.conv.kernel_size[0]) // self.conv.stride[0] + 1
        x = self.conv(x)
        if isinstance(self.layer_norm, MaskedGroupNorm):
            x = self.layer_norm(x, lengths)
        elif self.layer_norm is not None:
            x = self.layer_norm(x)
        return F.gelu(x), lengths


class FeatureEncoder(nn.Module):
    """Convolutions from the waveform to tokens of 20 ms."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        first = config.conv_dim[0]
        norm = nn.BatchNorm1d(first) if config.conv_norm == "batch" else MaskedGroupNorm(first)
        sizes = zip((1, *config.conv_dim), config.conv_dim, config.conv_kernel, config.conv_stride)
        self.conv_layers = nn.ModuleList(
            ConvLayer(*size, norm if place == 0 else None) for place, size in enumerate(sizes)
        )
        if config.conv_norm == "batch":
            with torch.no_grad(), torch.device("cpu"):
                bank = filter_bank(first, config.conv_kernel[0], config.sample_rate, config.filter_range)
                self.conv_layers[0].conv.weight.copy_(bank)

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, N] at 16 kHz, [B] valid samples or None for all -> [B, M, channels]."""
        if lengths is None:
            lengths = torch.full(waveform.shape[:1], waveform.shape[1], device=waveform.device)
        x = waveform[:, None]
        for layer in self.conv_layers:
            x, lengths = layer(x, lengths)
        return x.transpose(1, 2)


class FeatureProjection(nn.Module):
    """From the convolutions' channels to the Transformer's width."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.layer_norm = nn.LayerNorm(inputs)
        self.projection = Linear(inputs, width)

    def forward(self, features: Tensor) -> Tensor:
        """[B, M, inputs] -> [B, M, width]."""
        return self.projection(self.layer_norm(features))


class PositionalConvolution(nn.Module):
    """A wide grouped convolution over tokens, whose output is added to them: relative position."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=POSITION_GROUPS)
        nn.init.zeros_(conv.bias)
        self.conv = nn.utils.parametrizations.weight_norm(conv, dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, M, width] -> the same."""
        return F.gelu(self.conv(x.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)


class SelfAttention(nn.Module):
    """Attention over the tokens within reach; all of them where the span is 0."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        width = config.acoustic_width
        self.heads, self.span, self.dropout = config.acoustic_heads, config.acoustic_span, config.acoustic_dropout
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (Linear(width, width) for _ in range(4))

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """[B, M, width], [B, M] -> [B, M, width]."""
        parts = (project(hidden).unflatten(-1, (self.heads, -1)) for project in (self.q_proj, self.k_proj, self.v_proj))
        bias = hidden.new_zeros(self.heads, 2 * (self.span or hidden.shape[1]) + 1)
        found = local_attention(*parts, bias, valid, self.dropout if self.training else 0.0)
        return self.out_proj(found.flatten(2))


class FeedForward(nn.Module):
    """Two linear layers around GELU."""

    def __init__(self, width: int, inner: int, dropout: float):
        super().__init__()
        self.intermediate_dense = Linear(width, inner)
        self.output_dense = Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> the same."""
        return self.dropout(self.output_dense(self.dropout(F.gelu(self.intermediate_dense(x)))))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, post-norm."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        width = config.acoustic_width
        self.attention = SelfAttention(config)
        self.dropout = nn.Dropout(config.acoustic_dropout)
        self.layer_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, config.acoustic_feed_forward, config.acoustic_dropout)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """[B, M, width], [B, M] -> [B, M, width]."""
        hidden = self.layer_norm(hidden + self.dropout(self.attention(hidden, valid)))
        return self.final_layer_norm(hidden + self.feed_forward(hidden))


class Encoder(nn.Module):
    """The Transformer."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.pos_conv_embed = PositionalConvolution(config.acoustic_width, config.acoustic_position_kernel)
        self.layer_norm = nn.LayerNorm(config.acoustic_width)
        self.dropout = nn.Dropout(config.acoustic_dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.acoustic_layers))

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """[B, M, width], [B, M] -> [B, M, width]; padding must not reach the valid tokens through the convolution."""
        hidden = hidden * valid[..., None]
        hidden = self.dropout(self.layer_norm(hidden + self.pos_conv_embed(hidden)))
        for layer in self.layers:
            hidden = layer(hidden, valid)
        return hidden


class Wav2Vec2(nn.Module):
    """The published network's three parts, from random weights."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.feature_extractor = FeatureEncoder(config)
        self.feature_projection = FeatureProjection(config.conv_dim[-1], config.acoustic_width)
        self.encoder = Encoder(config)
        for module in self.encoder.modules():
            if isinstance(module, Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)


def read_pretrained(config: HiSTalkConfig) -> dict[str, Tensor]:
    """The weights that `acoustic_source` names: a local folder, or a hub name, which is fetched.

    Raises:
        HiSTalkError: they are not there, or of another size than the config.
    """
    from transformers import Wav2Vec2Model  # takes longer to import than a minute of speech to synthesise

    source = config.acoustic_source
    try:
        model = Wav2Vec2Model.from_pretrained(source, mask_time_prob=0.0, layerdrop=0.0)
    except Exception as error:  # transformers' failures on damaged files are of many kinds
        reason = printable((str(error).splitlines() or [type(error).__name__])[0], 120)
        raise HiSTalkError(f"No wav2vec 2.0 weights at '{source}' ({reason}): name a local folder of them.") from error
    found = model.config
    sizes = (tuple(found.conv_dim), found.hidden_size, found.num_hidden_layers)
    if sizes != (config.conv_dim, config.acoustic_width, config.acoustic_layers) or found.feat_extract_norm != "group":
        raise HiSTalkError(
            f"'{source}' is {found.hidden_size} wide with {found.num_hidden_layers} layers where the preset asks for "
            f"wav2vec2-base's {config.acoustic_width} and {config.acoustic_layers}."
        )
    return model.state_dict()


class Wav2Vec2Extractor(nn.Module):
    """wav2vec 2.0 with tokens centred on multiples of the hop."""

    def __init__(self, config: HiSTalkConfig, pretrained: bool = False):
        super().__init__()
        self.config = config
        self.half_on = ("cuda",)  # where the Transformer runs in half precision
        self.wav2vec2 = Wav2Vec2(config)
        if pretrained:
            self.wav2vec2.load_state_dict(read_pretrained(config))

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Raw audio to frame-level features.

        Args:
            waveform: [B, N] at the config's sample rate.
            lengths: [B] valid samples.

        Returns:
            features [B, M, width] at the 20 ms hop, zero where invalid, and valid tokens [B].
        """
        config = self.config
        N = waveform.shape[1]
        M = config.tokens(N)
        tokens = lengths // config.hop + 1
        # Token j must be centred on sample j · hop, and the last must just fit.
        before = config.receptive_centre
        after = (M - 1) * config.hop + config.receptive_field - before - N
        waveform = F.pad(waveform * valid_mask(lengths, N), (before, after))
        reach = (tokens - 1) * config.hop + config.receptive_field
        features = self.wav2vec2.feature_extractor(waveform, reach)[:, :M]
        hidden = self.wav2vec2.feature_projection(features)
        valid, device = valid_mask(tokens, M), waveform.device.type
        half = device in self.half_on and not self.training
        with torch.autocast(device, torch.float16) if half else nullcontext():
            hidden = self.wav2vec2.encoder(hidden, valid)
        return hidden.float() * valid[..., None], tokens
