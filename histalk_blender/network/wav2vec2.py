"""wav2vec 2.0 as the acoustic feature extractor: raw audio -> frame-level features (paper: F̂_f)."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Wav2Vec2Config, Wav2Vec2Model

from ..errors import HiSTalkError, shown
from .attention import local_attention
from .config import HiSTalkConfig
from .linear import Linear
from .masks import valid_mask

LOCAL = "histalk_local"  # what transformers calls the attention below


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None, dropout: float = 0.0, **_
):
    """`local_attention` as transformers calls it: [B, heads, L, d] in, [B, L, heads, d] out."""
    B, heads, L, _ = query.shape
    reach = module.config.acoustic_span or L
    valid = torch.ones(B, L, dtype=torch.bool, device=query.device) if valid is None else valid
    rows = (x.transpose(1, 2) for x in (query, key, value))
    return local_attention(*rows, query.new_zeros(heads, 2 * reach + 1), valid, dropout), None


AttentionInterface.register(LOCAL, _attend)


class MaskedGroupNorm(nn.Module):
    """wav2vec2-base's per-channel norm over time, with statistics from the valid tokens only.

    transformers' own takes the padding into its mean, so that a clip's result depends on its batch mates.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps
        self.valid: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]; `valid` [B] counts each clip's tokens."""
        B, _, N = x.shape
        mask = torch.ones(B, 1, N, dtype=torch.bool, device=x.device)
        if self.valid is not None:
            mask = valid_mask(self.valid, N)[:, None]
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


def read_pretrained(config: HiSTalkConfig) -> Wav2Vec2Model:
    """The weights that `acoustic_source` names: a local folder, or a hub name, which is fetched.

    Raises:
        HiSTalkError: they are not there, or of another size than the config.
    """
    source = config.acoustic_source
    try:
        model = Wav2Vec2Model.from_pretrained(source, mask_time_prob=0.0, layerdrop=0.0)
    except Exception as error:  # transformers' failures on damaged files are of many kinds
        reason = shown((str(error).splitlines() or [type(error).__name__])[0])
        raise HiSTalkError(f"No wav2vec 2.0 weights at '{source}' ({reason}): name a local folder of them.") from error
    found = model.config
    sizes = (tuple(found.conv_dim), found.hidden_size, found.num_hidden_layers)
    if sizes != (config.conv_dim, config.acoustic_width, config.acoustic_layers) or found.feat_extract_norm != "group":
        raise HiSTalkError(
            f"'{source}' is {found.hidden_size} wide with {found.num_hidden_layers} layers where the preset asks for "
            f"wav2vec2-base's {config.acoustic_width} and {config.acoustic_layers}."
        )
    return model


class AcousticExtractor(nn.Module):
    """`transformers.Wav2Vec2Model` at our sizes, with tokens centred on multiples of the hop."""

    def __init__(self, config: HiSTalkConfig, pretrained: bool = False):
        super().__init__()
        self.config = config
        self.half_on = ("cuda",)  # where the Transformer runs in half precision
        if pretrained:
            self.wav2vec2 = read_pretrained(config)
        else:
            self.wav2vec2 = Wav2Vec2Model(
                Wav2Vec2Config(
                    conv_dim=config.conv_dim,
                    conv_kernel=config.conv_kernel,
                    conv_stride=config.conv_stride,
                    hidden_size=config.acoustic_width,
                    num_hidden_layers=config.acoustic_layers,
                    num_attention_heads=config.acoustic_heads,
                    intermediate_size=config.acoustic_feed_forward,
                    num_conv_pos_embeddings=config.acoustic_position_kernel,
                    hidden_dropout=config.acoustic_dropout,
                    attention_dropout=config.acoustic_dropout,
                    activation_dropout=config.acoustic_dropout,
                    feat_proj_dropout=0.0,
                    layerdrop=0.0,  # a layer dropped for a whole batch breaks graph compilers and gains little here
                    mask_time_prob=0.0,
                )
            )
        # No further than the span, so that windows agree; transformers' own reaches all tokens.
        self.wav2vec2.config.acoustic_span = config.acoustic_span
        self.wav2vec2.set_attn_implementation(LOCAL)
        for module in self.wav2vec2.modules():
            if type(module) is nn.Linear:
                module.__class__ = Linear  # the same weights, multiplied faster
        first = self.wav2vec2.feature_extractor.conv_layers[0]
        if config.conv_norm == "batch":
            first.layer_norm = nn.BatchNorm1d(config.conv_dim[0])
            with torch.no_grad(), torch.device("cpu"):
                first.conv.weight.copy_(
                    filter_bank(config.conv_dim[0], config.conv_kernel[0], config.sample_rate, config.filter_range)
                )
        else:
            norm = MaskedGroupNorm(config.conv_dim[0])
            norm.load_state_dict(first.layer_norm.state_dict())
            first.layer_norm = norm

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Raw audio to frame-level features.

        Args:
            waveform: [B, N] at the config's sample rate.
            lengths: [B] valid samples.

        Returns:
            features [B, M, width] at the 20 ms hop, zero where invalid, and valid tokens [B].
        """
        config = self.config
        B, N = waveform.shape
        M = config.tokens(N)
        tokens = lengths // config.hop + 1
        waveform = waveform * valid_mask(lengths, N)
        # Token j must be centred on sample j · hop, and the last must just fit.
        before = config.receptive_centre
        after = (M - 1) * config.hop + config.receptive_field - before - N
        waveform = nn.functional.pad(waveform, (before, after))
        first = self.wav2vec2.feature_extractor.conv_layers[0]
        if isinstance(first.layer_norm, MaskedGroupNorm):
            reach = (tokens - 1) * config.hop + config.receptive_field
            first.layer_norm.valid = (reach - config.conv_kernel[0]) // config.conv_stride[0] + 1
        features = self.wav2vec2.feature_extractor(waveform).transpose(1, 2)[:, :M]
        hidden, _ = self.wav2vec2.feature_projection(features)
        valid, device = valid_mask(tokens, M), waveform.device.type
        half = device in self.half_on and not self.training
        with torch.autocast(device, torch.float16) if half else nullcontext():
            hidden = self._encode(hidden, valid)
        return hidden.float() * valid[..., None], tokens

    def _encode(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """wav2vec 2.0's Transformer; transformers' own encoder would make a mask that our attention has no use for."""
        encoder = self.wav2vec2.encoder
        hidden = hidden * valid[..., None]
        hidden = encoder.dropout(encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden)))
        for layer in encoder.layers:
            hidden = layer(hidden, attention_mask=valid)
        return hidden
