"""Model files at other rates of decisions than the model's own, made by the training lab."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from genred.bench.worker import clean_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RATES: Final = (1.0, 2.0, 4.0, 10.0)
"""Decisions a second that costs are told for."""

EXPORT_S: Final = 240.0
"""PyTorch's exporter takes some seconds a model, and minutes on a laden machine."""


@dataclass(frozen=True, slots=True)
class Retimed:
    """A model file that decides ``rate`` times a second, or why there is none."""

    rate: float
    model: str
    error: str


def retimed(model: Path, rates: Sequence[float], folder: Path) -> list[Retimed]:
    """Have the lab export the model's network, untrained, at each of ``rates``."""
    if find_spec("genred_train") is None or find_spec("torch") is None:
        why = "only the training lab makes a model of another rate (genred[train])"
        return [Retimed(rate, "", why) for rate in rates]
    command = [sys.executable, "-m", "genred_train.retimed", *map(str, rates)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            [*command, "--model", str(model), "--out", str(folder)],
            capture_output=True,
            text=True,
            timeout=EXPORT_S,
            check=False,
            env=clean_environment(),
        )
    except subprocess.TimeoutExpired:
        return [Retimed(rate, "", f"no export within {EXPORT_S:.0f} s") for rate in rates]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    told = {each["rate"]: each for each in found}
    last = (done.stderr.strip().splitlines() or ["the lab said nothing"])[-1]
    return [
        Retimed(
            rate,
            told.get(rate, {}).get("model", ""),
            told.get(rate, {"error": last}).get("error", ""),
        )
        for rate in rates
    ]
