"""wav2vec 2.0's self-supervision (Baevski et al. 2020); the objective is transformers'."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.modeling_outputs import Wav2Vec2BaseModelOutput
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from ...network.wav2vec2 import Wav2Vec2, Wav2Vec2Extractor
from .pretrain import pretrain

MASKED = 0.65  # the share of masked tokens (section 4.2)
SPAN = 10  # tokens of a masked run
NEGATIVES = 100  # distractors of a masked token, from its own row (section 3.2)
QUANTISER = {"num_codevectors_per_group": 320, "codevector_dim": 256, "proj_codevector_dim": 256}  # as wav2vec2-base's
TEMPERATURES = 2.0, 0.5  # of the quantiser's choice, first and last (section 4.2)


class MaskedWav2Vec2(nn.Module):
    """wav2vec 2.0 as transformers' objective calls it: a learnt vector stands in for each masked token."""

    def __init__(self, model: Wav2Vec2, width: int):
        super().__init__()
        self.model = model
        self.masked_token = nn.Parameter(torch.rand(width))

    def forward(self, wave: Tensor, mask_time_indices: Tensor, **_) -> Wav2Vec2BaseModelOutput:
        """[B, N], [B, M] booleans -> the last layer's output, and the normalised features before the Transformer."""
        projection = self.model.feature_projection
        features = projection.layer_norm(self.model.feature_extractor(wave))
        hidden = torch.where(mask_time_indices[..., None], self.masked_token, projection.projection(features))
        hidden = self.model.encoder(hidden, torch.ones_like(mask_time_indices))
        return Wav2Vec2BaseModelOutput(last_hidden_state=hidden, extract_features=features)


def contrastive_pretrain(
    extractor: Wav2Vec2Extractor,
    waves: Iterable[Tensor],
    minutes: float,
    lr: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """wav2vec 2.0's own self-supervision: tell a masked token's quantised features from
    a hundred of its row's others.

    The objective is transformers'.

    Args:
        waves: [B, N] at the extractor's rate.
        lr: highest learning rate.

    Returns:
        The last error, as a share of what guessing costs.
    """
    config, device = extractor.config, next(extractor.parameters()).device
    padding = config.receptive_centre
    # Only the objective's own layers are used of this; the network is ours.
    sizes: dict = {"conv_dim": config.conv_dim, "conv_kernel": config.conv_kernel, "conv_stride": config.conv_stride}
    sizes |= QUANTISER | {"hidden_size": config.acoustic_width, "num_attention_heads": config.acoustic_heads}
    task = Wav2Vec2ForPreTraining(Wav2Vec2Config(**sizes, num_hidden_layers=1))
    task.wav2vec2 = MaskedWav2Vec2(extractor.wav2vec2, config.acoustic_width)  # pyright: ignore
    nn.Module.to(task, device).train()

    def loss_of(wave: Tensor, spent: float) -> tuple[Tensor, Tensor]:
        wave = nn.functional.pad(wave.to(device), (padding, padding))
        shape = len(wave), (wave.shape[1] - config.receptive_field) // config.hop + 1
        masked = _compute_mask_indices(shape, MASKED, SPAN)
        others = _sample_negative_indices(shape, NEGATIVES, masked)
        task.set_gumbel_temperature(TEMPERATURES[0] + (TEMPERATURES[1] - TEMPERATURES[0]) * spent)  # pyright: ignore
        masked, others = (torch.from_numpy(part).to(device) for part in (masked, others))
        out = task(wave, mask_time_indices=masked, sampled_negative_indices=others)
        return out.loss / masked.sum(), out.contrastive_loss / masked.sum() / math.log(1 + NEGATIVES)

    return pretrain(task.parameters(), waves, minutes, lr, loss_of, clock)
