"""How a run's acoustic extractor starts: from trained features, by self-supervision, or from mel bands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from torch import Tensor

from ...errors import HiSTalkError
from ...network import PRESETS, HiSTalk, load_checkpoint
from ...network.wav2vec2 import Wav2Vec2Extractor
from ...network.whisper import WhisperExtractor
from ..options import TrainOptions
from .distillation import distill
from .mel import mel_pretrain

Extractor = Wav2Vec2Extractor | WhisperExtractor


def check_start(options: TrainOptions) -> None:
    """Refuse a start that the preset does not have, before the corpus is read, which takes minutes.

    Raises:
        HiSTalkError: options contradict each other, or weights to start from are missing or no such weights.
    """
    config = PRESETS[options.preset](0)
    random = config.acoustic == "wav2vec2" and not config.acoustic_source  # how the encoder's weights begin
    if random and options.acoustic:
        raise HiSTalkError(f"The preset `{options.preset}` has no pre-trained encoder: leave --acoustic out.")
    if options.contrastive and (not random or options.acoustic_from or options.init):
        raise HiSTalkError("--contrastive is for the preset `wav2vec2-small` alone, without --acoustic-from or --init.")
    if config.acoustic_source and not options.acoustic:
        raise HiSTalkError(
            f"The preset `{options.preset}` starts from pre-trained weights: name their folder with --acoustic."
        )
    if config.acoustic == "whisper" and options.acoustic:
        from .whisper import read_encoder  # transformers' import takes seconds, as below

        read_encoder(Path(options.acoustic))
    for weights in filter(None, (options.init, options.acoustic_from)):
        load_checkpoint(weights)


def start_extractor(model: HiSTalk, options: TrainOptions, waves: Iterable[Tensor]) -> None:
    """Pretrain the model's acoustic extractor as the options ask for, or copy a trained one.

    Args:
        waves: [B, N] rows of sound at the extractor's rate.
    """
    extractor = cast(Extractor, model.acoustic)
    minutes, lr, clock = options.pretrain_minutes, options.learning_rate, options.clock
    if isinstance(extractor, WhisperExtractor) and options.acoustic:
        from .whisper import transfer_from_whisper

        error = transfer_from_whisper(extractor, Path(options.acoustic), waves, minutes, clock)
        print(f"Whisper's features: error {error:.2f} of their variance", flush=True)
    elif options.acoustic_from:
        teacher = cast(Extractor, load_checkpoint(options.acoustic_from).acoustic)
        if isinstance(extractor, WhisperExtractor) and isinstance(teacher, WhisperExtractor):
            extractor.load_state_dict(teacher.state_dict())
            return
        error = distill(extractor, teacher, waves, minutes, lr, clock)
        print(f"Features of '{options.acoustic_from}': error {error:.2f} of their variance", flush=True)
    elif not isinstance(extractor, Wav2Vec2Extractor) or model.config.acoustic_source or not minutes:
        return
    elif options.contrastive:
        from .contrastive import contrastive_pretrain

        error = contrastive_pretrain(extractor, waves, minutes, lr, clock)
        print(f"Masked tokens: error {error:.2f} of guessing", flush=True)
    else:
        error = mel_pretrain(extractor, waves, minutes, clock)
        print(f"Log-mel bands: error {error:.2f} of their variance", flush=True)
