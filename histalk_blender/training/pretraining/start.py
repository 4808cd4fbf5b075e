"""How a run's acoustic extractor starts: from trained features, by self-supervision, or from mel bands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from ...network import HiSTalk, load_checkpoint
from ..options import TrainOptions
from .contrastive import contrastive_pretrain
from .distillation import distill
from .mel import mel_pretrain
from .whisper import transfer_from_whisper


def start_extractor(model: HiSTalk, options: TrainOptions, waves: Iterable[Tensor]) -> None:
    """Pretrain the model's acoustic extractor as the options ask for, or copy a trained one.

    Args:
        waves: [B, N] rows of sound at the extractor's rate.
    """
    config, extractor = model.config, model.acoustic
    minutes, lr, clock = options.pretrain_minutes, options.learning_rate, options.clock
    if config.acoustic == "whisper" and options.acoustic:
        error = transfer_from_whisper(extractor, Path(options.acoustic), waves, minutes, clock)
        print(f"Whisper's features: error {error:.2f} of their variance", flush=True)
    elif options.acoustic_from:
        teacher = load_checkpoint(options.acoustic_from).acoustic
        if config.acoustic == teacher.config.acoustic == "whisper":
            extractor.load_state_dict(teacher.state_dict())
            return
        error = distill(extractor, teacher, waves, minutes, lr, clock)
        print(f"Features of '{options.acoustic_from}': error {error:.2f} of their variance", flush=True)
    elif config.acoustic_source or config.acoustic != "wav2vec2" or not minutes:
        return
    elif options.contrastive:
        error = contrastive_pretrain(extractor, waves, minutes, lr, clock)
        print(f"Masked tokens: error {error:.2f} of guessing", flush=True)
    else:
        error = mel_pretrain(extractor, waves, minutes, clock)
        print(f"Log-mel bands: error {error:.2f} of their variance", flush=True)
