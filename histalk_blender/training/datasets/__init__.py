"""Recordings with their motion: VOCASET, BIWI and our own corpus behind one interface."""

from __future__ import annotations

from pathlib import Path

from ...errors import HiSTalkError
from .base import DataSet, Recording, Topology
from .biwi import Biwi
from .corpus import Corpus
from .vocaset import Vocaset

DATA_SETS = {"corpus": Corpus, "vocaset": Vocaset, "biwi": Biwi}

__all__ = ["DATA_SETS", "DataSet", "Recording", "Topology", "open_data_set"]


def open_data_set(name: str, root: Path, **indices: Path | None) -> DataSet:
    """A data set from its folder.

    Args:
        name: one of `DATA_SETS`.
        root: the folder.
        indices: files of vertex indices, `lips`, `upper_face` and `landmarks`, in place of the data set's own.

    Raises:
        HiSTalkError: the folder or a file in it is missing or not what it should be.
    """
    if not Path(root).is_dir():
        raise HiSTalkError(f"No folder at '{root}': give the one that holds the data set.")
    return DATA_SETS[name](Path(root), **indices)
