"""Acoustic feature extractor on mel bands: Whisper's encoder, raw audio -> frame-level features (paper: F̂_f).

Stands in wav2vec 2.0's place behind the same interface. Whisper gives each token a place in a window of 30 s; here
attention knows only how far apart two tokens are, so that a clip may be of any length and windows agree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from .config import HiSTalkConfig
from .masks import valid_mask

BANDS = 80
WINDOW = 400  # samples of a spectrum
STRIDE = 160  # samples between two spectra: two of them a token
MARGIN = 3  # spectra on each side that the convolutions see beyond the first and the last token
FLOOR = 10**-6.5  # power: eight decades below the loudest band of speech at our level; Whisper asks each clip's own
HIDDEN = -1e4  # what attention adds for a token that is not to be seen; minus infinity would make NaN of padded rows


def convolved(encoder: WhisperEncoder, bands: Tensor) -> Tensor:
    """[B, 80, 2M - 1 + 2 · MARGIN] -> [B, M, width], without padding: silence is no zero in these bands."""
    first, second = encoder.conv1, encoder.conv2
    hidden = nn.functional.gelu(nn.functional.conv1d(bands, first.weight, first.bias))
    hidden = hidden[..., MARGIN - 2 : hidden.shape[-1] - (MARGIN - 2)]
    hidden = nn.functional.gelu(nn.functional.conv1d(hidden, second.weight, second.bias, stride=2))
    return hidden.transpose(1, 2)


class WhisperExtractor(nn.Module):
    """`transformers`' Whisper encoder with tokens centred on multiples of the hop and relative attention."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.config = config
        self.encoder = WhisperEncoder(
            WhisperConfig(
                num_mel_bins=BANDS,
                d_model=config.acoustic_width,
                encoder_layers=config.acoustic_layers,
                encoder_attention_heads=config.acoustic_heads,
                encoder_ffn_dim=config.acoustic_feed_forward,
                max_source_positions=1,  # one place for all tokens
                dropout=config.acoustic_dropout,
                attention_dropout=config.acoustic_dropout,
                activation_dropout=config.acoustic_dropout,
                encoder_layerdrop=0.0,  # a layer dropped for a whole batch breaks graph compilers and gains little here
            )
        )
        self.encoder.embed_positions.requires_grad_(True)
        reach = 2 * config.acoustic_span + 1
        self.apart = nn.Parameter(torch.zeros(config.acoustic_layers, config.acoustic_heads, reach))
        filters = mel_filter_bank(WINDOW // 2 + 1, BANDS, 0.0, 8000.0, config.sample_rate, norm="slaney", mel_scale="slaney")
        self.register_buffer("filters", torch.from_numpy(filters.T).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

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
        padded = nn.functional.pad(waveform.float(), (before, max(0, after)))
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
        return self.inside(bands, valid)[-1] * valid[..., None], tokens

    def inside(self, bands: Tensor, valid: Tensor) -> list[Tensor]:
        """Mel bands and valid tokens [B, M] -> the inputs of each layer and the last output, [B, M, width] each."""
        out = [self.placed(convolved(self.encoder, bands))]
        for layer, mask in zip(self.encoder.layers, self.masks(valid)):
            out.append(layer(out[-1], mask.to(out[-1].dtype)))
        return [*out[:-1], self.encoder.layer_norm(out[-1])]

    def placed(self, hidden: Tensor) -> Tensor:
        """[B, M, width] out of the convolutions -> into the Transformer: all tokens stand at one place."""
        hidden = hidden + self.encoder.embed_positions.weight[0]
        return nn.functional.dropout(hidden, self.encoder.dropout, self.training)

    def masks(self, valid: Tensor) -> Tensor:
        """[B, M] valid tokens -> [layers, B, heads, M, M], what attention adds."""
        M, span = valid.shape[1], self.config.acoustic_span
        bias = self.apart[..., max(0, span - M + 1) : span + M]
        missing = max(0, M - 1 - span)
        bias = nn.functional.pad(bias, (missing, missing), value=HIDDEN)  # [layers, heads, 2M - 1]
        bias = bias.unfold(-1, M, 1).flip(-2)  # row i holds the distances j - i
        return bias[:, None] + torch.where(valid, 0.0, HIDDEN)[:, None, None]
