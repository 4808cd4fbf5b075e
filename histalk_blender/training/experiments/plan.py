"""Which runs make one table or figure, and what they must have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..options import TrainOptions


@dataclass(frozen=True)
class ExperimentPlan:
    """What to run, how often, and on what to score it."""

    corpus: Path
    out: Path
    options: TrainOptions  # the budget of a run; with `acoustic_from`, its steps and its device
    variants: tuple[str, ...] = ()  # of `ablations.VARIANTS`; () = all
    seeds: int = 3
    max_per_group: int = 60  # recordings that are scored
    # the checkpoint whose frozen extractor all runs share; None = each trains its own
    acoustic_from: Path | None = None

    def budget(self, digest: str = "", clips: int = 0) -> dict:
        """What stands beside a run's scores: runs of another budget make another table.

        Args:
            digest, clips: the shared extractor's checksum and the number of its training clips.
        """
        common = {"steps": self.options.steps, "most": self.max_per_group}  # names as the first version wrote them
        return common | ({"hearing": digest, "clips": clips} if digest else {"minutes": self.options.minutes})
