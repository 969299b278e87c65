"""A run on rows of numbers: the same loop, judged the same way, without a model file.

What the daemon would hear is not known to be transformed as the rows were; a model file that
listens is made from recordings.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from genred.errors import OutputError
from genred_train import judging, plots, run
from genred_train.data import arrays
from genred_train.data.catalogue import SPLITS
from genred_train.materials import Rows
from genred_train.team import Team

if TYPE_CHECKING:
    from genred_train.console import Console
    from genred_train.recipe import Recipe

_PACKAGES = ("genred", "torch", "numpy")


def train(
    recipe: Recipe, options: run.Options, console: Console, team: Team | None = None
) -> dict[str, Any]:
    """Carry out a recipe on arrays; returns what stands in ``metrics.json``.

    Writes ``metrics.json``, ``history.csv``, ``training.log``, ``confusion.png`` and checkpoints
    into ``options.out``. Raises :class:`~genred.errors.GenredError` as
    :func:`genred_train.run.train` does.
    """
    team = team or Team()
    device = run.choose_device(options.device)
    run.settle(recipe.training.seed, options.threads)
    began = time.monotonic()
    data = arrays.load(recipe, options.data)
    sizes = ", ".join(f"{len(data.splits[split].truth)} {split}" for split in SPLITS)
    console.note(f"rows of {data.width} numbers: {sizes}, data {data.fingerprint[:12]}")
    prepared = time.monotonic() - began
    folder = options.out
    run.make(folder)
    with run.logged(console, folder, team):
        fitted = run.fit(recipe, data, folder, device, console, options, team)
    if not team.leads:
        return {}
    trainer, network = fitted.trainer, fitted.network
    assert isinstance(trainer.material, Rows)
    parameters = [p.numel() for p in network.parameters()]
    metrics: dict[str, Any] = {
        "name": recipe.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": recipe.training.seed,
        "published": [each.model_dump() for each in recipe.published],
        "versions": {name: version(name) for name in _PACKAGES},
        "data": _describe(data),
        "model": {
            "network": recipe.network.name,
            "parameters": sum(parameters),
            # One row a second; a weight of a layer is one multiply-add.
            "macs_per_second": sum(p.numel() for p in network.parameters() if p.ndim > 1),
        },
        "training": run.training_facts(trainer, fitted.seconds, prepared),
        "calibration": {"temperature": fitted.temperature},
    }
    kinds = [label.kind.value for label in data.labels]
    # The test split is read here, once, when nothing is left to choose.
    for name in ("val", "test"):
        split = data.splits[name]
        answers = trainer.material.logits(network, name)
        probabilities = judging.softmax(answers, fitted.temperature)
        scored = judging.Scored(probabilities, split.truth, split.groups)
        metrics[name] = {"window": judging.judge(scored, kinds, recipe.training.seed)}
    run.write(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    try:
        plots.confusion_matrix(
            [("test, windows (% of row)", metrics["test"]["window"]["confusion"])],
            data.label_names,
            folder / "confusion.png",
        )
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}", "make room") from None
    return metrics


def _describe(data: arrays.Arrays) -> dict[str, Any]:
    return {
        "fingerprint": data.fingerprint,
        "labels": [label.model_dump(mode="json") for label in data.labels],
        "by_split": {
            name: [
                {"label": label, "rows": int((split.truth == number).sum())}
                for number, label in enumerate(data.label_names)
            ]
            for name, split in data.splits.items()
        },
    }
