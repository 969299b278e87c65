"""The same few epochs on every device there is, timed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from genred.bench.machine import processor
from genred_train import run
from genred_train.data import arrays
from genred_train.data import corpus as corpora

if TYPE_CHECKING:
    from genred_train.console import Console
    from genred_train.recipe import Recipe

# The first epoch also loads kernels and fills caches; a third one shows the pace.
EPOCHS = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """What a device took; ``epochs`` in seconds each, none where there is no such device."""

    kind: str
    name: str
    epochs: tuple[float, ...] = ()
    macro_f1: float = 0.0

    @property
    def line(self) -> str:
        """One line for people."""
        if not self.epochs:
            return f"{self.kind:5} {self.name}"
        each = ", ".join(f"{seconds:.2f}" for seconds in self.epochs)
        return (
            f"{self.kind:5} {sum(self.epochs):8.2f} s  (epochs: {each} s)  validation macro F1 "
            f"{self.macro_f1:.3f}  {self.name}"
        )


def compare(recipe: Recipe, options: run.Options, console: Console) -> list[Timed]:
    """Train ``recipe`` anew on the CPU and on the GPU, validation included; keeps nothing.

    Raises :class:`~genred.errors.GenredError` as :func:`genred_train.run.train` does.
    """
    run.settle(recipe.training.seed, options.threads)
    data = (
        arrays.load(recipe, options.data)
        if recipe.data.source == "arrays"
        else corpora.load(
            recipe, options.data, options.cache, console, unlabelled=options.unlabelled
        )
    )
    found = []
    for kind in ("cpu", "cuda"):
        if kind == "cuda" and not torch.cuda.is_available():
            found.append(Timed(kind, "not measured: there is no CUDA device here"))
            continue
        device = torch.device(kind)
        name = torch.cuda.get_device_name(device) if kind == "cuda" else processor()
        if kind == "cpu":
            name += f", threads: {torch.get_num_threads()}"
        console.note(f"on {name}")
        with tempfile.TemporaryDirectory(prefix="genred-devices-") as scratch:
            run.settle(recipe.training.seed, options.threads)
            asked = replace(options, resume=False, minutes=None)
            fitted = run.fit(recipe, data, Path(scratch), device, console, asked)
        history = fitted.trainer.history
        last = history[-1].val_macro_f1
        found.append(Timed(kind, name, tuple(epoch.seconds for epoch in history), last))
    return found
