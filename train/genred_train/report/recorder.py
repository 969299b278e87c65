"""Keeps the course of a run while it trains: ``history.csv`` and TensorBoard's event file."""

from __future__ import annotations

import csv
import io
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from genred.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch.utils.tensorboard import SummaryWriter

    from genred_train.training import Epoch

HISTORY = "history.csv"
EVENTS = "tensorboard"

_SCALARS = {
    "loss/training": "train_loss",
    "loss/validation": "val_loss",
    "validation/accuracy": "val_accuracy",
    "validation/macro_f1": "val_macro_f1",
    "learning_rate": "learning_rate",
    "seconds": "seconds",
}


class Recorder:
    """Told of every epoch; a context that closes what it has open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def epoch(self, history: Sequence[Epoch]) -> None:
        """Keep the last line of ``history``, which holds all epochs so far.

        The table is written whole each time, so that a resumed run has no epoch twice. Raises
        :class:`OutputError` if nothing can be written.
        """
        newest = asdict(history[-1])
        number = newest["epoch"]
        text = io.StringIO()
        table = csv.DictWriter(text, list(newest), lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(epoch) for epoch in history)
        path = self._folder / HISTORY
        beside = path.with_suffix(".new")
        try:
            beside.write_text(text.getvalue(), encoding="utf-8")
            beside.replace(path)
            if self._writer is None:
                self._writer = _writer(self._folder / EVENTS, number)
            for name, key in _SCALARS.items():
                self._writer.add_scalar(name, newest[key], number)
            self._writer.flush()
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None


def _writer(folder: Path, first: int) -> SummaryWriter:
    with warnings.catch_warnings():
        # TensorBoard's own imports warn of each other's age; nothing here depends on it.
        warnings.simplefilter("ignore")
        from torch.utils.tensorboard import SummaryWriter
    # What an earlier, killed part of the run wrote of this epoch and later is hidden.
    return SummaryWriter(folder, purge_step=first)
