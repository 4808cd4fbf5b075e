"""wav2vec 2.0's self-supervision (Baevski et al. 2020); the objective is transformers'."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from ...network.wav2vec2 import AcousticExtractor
from .pretrain import pretrain

MASKED = 0.65  # the share of masked tokens (section 4.2)
SPAN = 10  # tokens of a masked run
NEGATIVES = 100  # distractors of a masked token, from its own row (section 3.2)
QUANTISER = {"num_codevectors_per_group": 320, "codevector_dim": 256, "proj_codevector_dim": 256}  # as wav2vec2-base's
TEMPERATURES = 2.0, 0.5  # of the quantiser's choice, first and last (section 4.2)


def contrastive_pretrain(
    extractor: AcousticExtractor,
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
    model, padding = extractor.wav2vec2, extractor.config.receptive_centre
    model.config.update(QUANTISER)
    task = Wav2Vec2ForPreTraining(model.config)
    task.wav2vec2 = model
    # transformers leaves out what stands for a masked token where it is not to mask by itself.
    model.masked_spec_embed = nn.Parameter(torch.rand(model.config.hidden_size))
    task.to(model.device).train()

    def loss_of(wave: Tensor, spent: float) -> tuple[Tensor, Tensor]:
        wave = nn.functional.pad(wave.to(model.device), (padding, padding))
        shape = len(wave), int(model._get_feat_extract_output_lengths(wave.shape[1]))
        masked = _compute_mask_indices(shape, MASKED, SPAN)
        others = _sample_negative_indices(shape, NEGATIVES, masked)
        task.set_gumbel_temperature(TEMPERATURES[0] + (TEMPERATURES[1] - TEMPERATURES[0]) * spent)
        masked, others = (torch.from_numpy(part).to(model.device) for part in (masked, others))
        out = task(wave, mask_time_indices=masked, sampled_negative_indices=others)
        return out.loss / masked.sum(), out.contrastive_loss / masked.sum() / math.log(1 + NEGATIVES)

    error = pretrain(task.parameters(), waves, minutes, lr, loss_of, clock)
    del model.masked_spec_embed
    return error
