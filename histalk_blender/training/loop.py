"""The training loop: resumable, every loss logged, its length given in minutes."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..errors import HiSTalkError
from ..network import HiSTalk, load_checkpoint
from .distributed import ProcessGroup, process_group
from .examples.batches import SpeechBatches
from .examples.sources import CapturedSource, CorpusSource, Source
from .losses import LossInputs, compute_losses
from .options import TrainOptions
from .pretraining.start import check_start, start_extractor
from .run_state import Progress, read_state, save_run

LOG_STEPS = 20  # between two lines of the log
SMOOTHING = 0.98  # of the logged losses, a step


def train(options: TrainOptions) -> Path:
    """Train a preset on the corpus or on captured motion; an interrupted run resumes from its last state.

    In processes that torchrun started, each trains on its rows of the same batches; the first one logs and saves.

    Returns:
        Path of the half-precision checkpoint.

    Raises:
        HiSTalkError: the corpus or the weights to start from are missing or do not fit, the folder holds a run of
            another network, or there are more processes than GPUs or rows of a batch.
    """
    with process_group(options.device) as processes:
        options = replace(options, device=processes.device)
        check_start(options)
        _check_rows(options, processes.size)
        options.out.mkdir(parents=True, exist_ok=True)
        with processes.main_first():
            source = CapturedSource(options.data) if options.data else CorpusSource(options.corpus)
        _Trainer(options, processes, source).run()
    return options.checkpoint


def _check_rows(options: TrainOptions, processes: int) -> None:
    rows = max(1, round(options.batch_seconds / max(options.row_seconds)))
    if rows < processes:
        raise HiSTalkError(
            f"Batches have {rows} rows or more for {processes} processes: give torchrun fewer, or --batch-seconds "
            f"{math.ceil(processes * max(options.row_seconds))}."
        )


class _Trainer:
    """One run: its network, optimiser, data and progress."""

    def __init__(self, options: TrainOptions, processes: ProcessGroup, source: Source):
        torch.manual_seed(options.seed)
        self.options, self.processes, self.source, self.progress = options, processes, source, Progress()
        self.config = replace(source.config(options.preset, options.acoustic), **dict(options.changes))
        model = options.build(self.config, pretrained_acoustic=bool(self.config.acoustic_source))
        self.model = processes.prepare(model.to(options.device))
        # The basis spans all that the teacher can show; moving it would only cost time.
        basis = self.model.get_parameter(f"outputs.{self.config.topologies[0][0]}.basis").requires_grad_(False)
        groups = _parameter_groups(self.model, options)
        self.optimiser = torch.optim.AdamW(groups, options.learning_rate, (0.9, 0.98), weight_decay=0.01)
        if options.resume and options.state.exists():
            self._resume()
        elif options.init:
            _load_weights(self.model, options.init)
        else:
            basis.data.copy_(source.first_basis(self.config.dense_components, options.seed))
        space, clips = source.targets(basis.detach().cpu())
        self.space = space.to(options.device)
        seed = options.seed + self.progress.step
        self.batches = DataLoader(
            SpeechBatches(clips, options.row_seconds, options.batch_seconds, self.config.fps, seed),
            batch_size=None,
            num_workers=options.workers,
            prefetch_factor=4 if options.workers else None,
        )

    def _resume(self) -> None:
        model, optimiser, self.progress = read_state(self.options.state, self.options.device)
        try:
            self.model.load_state_dict(model)
            self.optimiser.load_state_dict(optimiser)
        except Exception as error:  # whatever another network's parts do not fit
            raise HiSTalkError(f"'{self.options.state}' is a run of another network: name another --out.") from error

    def run(self) -> None:
        """Train until the minutes or steps are over, and save, whatever ends it."""
        options, processes, progress = self.options, self.processes, self.progress
        loader = iter(self.batches)
        self.model.train()
        if progress.step == 0 and not options.init and processes.is_main:
            start_extractor(self.model, options, (wave for wave, *_ in loader))
        if processes.size > 1:
            processes.broadcast_model(self.model, options.seed)
            loader = iter(self.batches)  # all at the same batch again
        began, saved = options.clock() - progress.elapsed, options.clock()
        with ExitStack() as stack:
            log = stack.enter_context(_Log(options, processes, progress))
            if processes.is_main:
                stack.callback(self._save)
            while options.unfinished(progress.elapsed, progress.step):
                rate = options.learning_rate * _schedule(progress.elapsed / (options.minutes * 60), progress.step)
                wave, *labels = (part.to(options.device) for part in next(loader))
                parts = self._step(wave, labels, rate)
                progress.step += 1
                progress.speech_seconds += wave.numel() / self.config.sample_rate
                progress.elapsed = processes.broadcast(options.clock() - began)
                log.add(parts, rate)
                if processes.is_main and options.clock() - saved > 60 * options.save_minutes:
                    self._save()
                    saved = options.clock()

    def _step(self, wave: Tensor, labels: list[Tensor], rate: float) -> dict[str, Tensor]:
        """One step of the optimiser on a batch (see `SpeechBatches`) -> its losses by name."""
        options, processes = self.options, self.processes
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        controls, phones, sure = labels
        with torch.autocast(torch.device(options.device).type, torch.bfloat16, enabled=options.bfloat16):
            out = self.model.components(processes.shard(wave)).float()
        out = processes.gather(out, len(wave))
        parts = compute_losses(LossInputs(out, controls, phones, self.space, sure), self.source.without)
        total = torch.stack(list(parts.values())).sum()
        self.optimiser.zero_grad()
        total.backward()
        processes.sum_gradients(self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if math.isfinite(total.item()):
            self.optimiser.step()
        return parts

    def _save(self) -> None:
        save_run(self.model, self.optimiser, self.options, self.progress, self.source.notes)


class _Log:
    """log.jsonl and the progress bar; only the first process has them."""

    def __init__(self, options: TrainOptions, processes: ProcessGroup, progress: Progress):
        self.options, self.progress, self.shown = options, progress, round(progress.elapsed)
        self.file = (options.out / "log.jsonl" if processes.is_main else Path(os.devnull)).open("a")
        total, hidden = round(options.minutes * 60), None if processes.is_main else True
        self.bar = tqdm(total=total, initial=self.shown, unit="s", mininterval=5, disable=hidden)
        self.running: dict[str, float] = {}

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()
        self.file.close()

    def add(self, parts: dict[str, Tensor], rate: float) -> None:
        """One step's losses."""
        for name, value in parts.items():
            number = value.item()
            self.running[name] = SMOOTHING * self.running.get(name, number) + (1 - SMOOTHING) * number
        progress = self.progress
        self.bar.update(round(progress.elapsed) - self.shown)
        self.shown = round(progress.elapsed)
        if progress.step % LOG_STEPS and self.options.unfinished(progress.elapsed, progress.step):
            return
        row = {"step": progress.step, "minutes": progress.elapsed / 60, "speech_hours": progress.speech_seconds / 3600}
        row |= {"lr": rate, **self.running}
        self.file.write(json.dumps({name: round(value, 5) for name, value in row.items()}) + "\n")
        self.file.flush()
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in self.running.items()}, refresh=False)


def _parameter_groups(model: HiSTalk, options: TrainOptions) -> list[dict]:
    """What is trained, and at which share of the learning rate: an extractor that is trained already learns slower."""
    given = options.acoustic or options.acoustic_from or options.init
    trained = bool(model.config.acoustic_source or (model.config.acoustic == "whisper" and given))
    parts: tuple[list, list] = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parts[name.startswith("acoustic.")].append(parameter)
    shares = 1.0, options.acoustic_lr_share if trained else 1.0
    return [{"params": part, "share": share} for part, share in zip(parts, shares)]


def _load_weights(model: HiSTalk, path: Path) -> None:
    """Start from a checkpoint's weights, its basis included, so that its phones and motion are not unlearnt."""
    given = load_checkpoint(path).state_dict()
    own = model.state_dict()
    if any(name not in given or given[name].shape != value.shape for name, value in own.items()):
        raise HiSTalkError(f"'{path}' is of another network or another head: leave --init out.")
    model.load_state_dict({name: given[name] for name in own})


def _schedule(progress: float, step: int) -> float:
    """The share of the learning rate: a linear rise over 200 steps, then a cosine over the run, from 0 to 1."""
    return min(1.0, (step + 1) / 200) * max(0.005, 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress)))
