"""The loop that all pretraining shares: a loss on sound alone, minimised for some minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

WARM_UP = 20  # steps over which the learning rate rises


def pretrain(
    parameters: Iterable[nn.Parameter],
    waves: Iterable[Tensor],
    minutes: float,
    lr: float,
    loss_of: Callable[[Tensor, float], tuple[Tensor, Tensor]],
    clock: Callable[[], float],
    weight_decay: float = 0.01,
) -> float:
    """Minimise a loss on sound until the minutes are over or the sound ends; the second half cools down.

    Args:
        parameters: what is trained.
        waves: [B, N] rows of sound.
        lr: highest learning rate.
        loss_of: sound and the share of the minutes spent, 0 to 1 -> the loss, and the error to report.
        clock: seconds that the minutes are counted by.

    Returns:
        A running mean of the error; NaN if there was no step.
    """
    parameters = list(parameters)
    optimiser = torch.optim.AdamW(parameters, lr, weight_decay=weight_decay)
    began, error = clock(), float("nan")
    for step, wave in enumerate(waves):
        spent = (clock() - began) / (60 * minutes) if minutes else 1.0
        if spent >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / WARM_UP, 2 * (1 - spent))
        loss, shown = loss_of(wave, spent)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        error = shown.item() if step == 0 else 0.95 * error + 0.05 * shown.item()
    return error
