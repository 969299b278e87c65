"""Runs side by side: one row a run, for terminals, pages and Markdown."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genred.errors import InputError, OutputError
from genred_train.recipe import Published
from genred_train.report import speed
from genred_train.report.page import minutes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genred_train.recipe import Recipe
    from genred_train.report.speed import Speed

METRICS = "metrics.json"
MODEL = "model.onnx"

BEGIN = "<!-- lab table -->"
END = "<!-- end of lab table -->"

HEADERS = (
    "run",
    "window macro F1",
    "track macro F1",
    "window accuracy",
    "track accuracy",
    "parameters",
    "multiply-adds a second",
    "ms a window, one core",
    "training",
    "published, other data",
)

# Before the epochs of a run that was not given the time for all of them.
_CUT = "stopped after"

# What stands where something was not measured.
_NOTHING = "not measured"


@dataclass(frozen=True)
class Run:
    """A run's folder, its ``metrics.json``, and what a window costs here (if there is a model)."""

    folder: Path
    metrics: dict[str, Any]
    speed: Speed | None

    @property
    def cells(self) -> list[str]:
        """One cell for each of :data:`HEADERS`."""
        model, training = self.metrics["model"], self.metrics["training"]
        test = self.metrics.get("test", {})
        told = [Published.model_validate(each) for each in self.metrics.get("published", ())]
        return [
            str(self.metrics["name"]),
            *(
                _figure(test.get(unit), measure)
                for measure in ("macro_f1", "accuracy")
                for unit in ("window", "track")
            ),
            f"{model['parameters']:,}",
            f"{model['macs_per_second'] / 1e6:,.1f} M",
            f"{self.speed.milliseconds:.3g}" if self.speed else _NOTHING,
            _training(training),
            published(told),
        ]


def read(folder: Path) -> Run:
    """Read a run's folder and time its model.

    Raises :class:`InputError` if it is no folder of a run.
    """
    path = folder / METRICS
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        run = Run(folder, metrics, None)
        _ = run.cells  # whatever a row needs must be there
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}",
            "name the folder of a run, --out of genred train",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path} holds no figures of a run", "name the folder of a run, --out of genred train"
        ) from None
    model = folder / MODEL
    return Run(folder, metrics, speed.measure(model) if model.exists() else None)


def rows(runs: Sequence[Run]) -> list[list[str]]:
    """The cells of all runs; those of one name are told apart by their folders."""
    named = Counter(str(run.metrics["name"]) for run in runs)
    found = []
    for run in runs:
        name, *rest = run.cells
        found.append([f"{name} ({run.folder})" if named[name] > 1 else name, *rest])
    return found


def notes(runs: Sequence[Run]) -> list[str]:
    """What must be known to read the table: whether the data were the same, and the machine."""
    found = []
    fingerprints = {run.metrics["data"]["fingerprint"] for run in runs}
    if len(fingerprints) > 1:
        listed = ", ".join(
            f"{run.metrics['name']} {run.metrics['data']['fingerprint'][:12]}" for run in runs
        )
        found.append(
            "These runs were not judged on the same recordings and splits, so that their figures "
            f"cannot be compared one to one. Data: {listed}."
        )
    else:
        found.append(f"All on data {next(iter(fingerprints))[:12]}.")
    processors = sorted({run.speed.processor for run in runs if run.speed})
    if processors:
        found.append(
            f"Milliseconds: median of one decision on one core of {', '.join(processors)}, through "
            "onnxruntime, front end included."
        )
    if any(_cut_short(run.metrics["training"]) for run in runs):
        found.append(
            "Runs that were stopped had no time for all epochs of their recipe: their figures are "
            "those of the time they had, not of what such a network can reach."
        )
    if any(run.metrics.get("published") for run in runs):
        found.append("Published figures are of other data, other splits and mostly whole tracks.")
    return found


def markdown(runs: Sequence[Run], missing: Sequence[Recipe] = ()) -> str:
    """The table and its notes as Markdown; recipes that are ``missing`` get a row that says so."""
    empty = [
        [recipe.name, *[_NOTHING] * (len(HEADERS) - 2), published([*recipe.published])]
        for recipe in missing
    ]
    lines = [HEADERS, ["---", *["---:"] * (len(HEADERS) - 2), "---"], *rows(runs), *empty]
    table = "\n".join("| " + " | ".join(c.replace("|", "/") for c in line) + " |" for line in lines)
    told = (
        "Test split: groups that were not trained on, read once. In brackets: 95 % intervals, "
        "bootstrapped over groups."
    )
    return table + "\n\n" + "\n".join([told, *notes(runs)]) + "\n"


def put_into(path: Path, text: str) -> None:
    """Replace what stands between :data:`BEGIN` and :data:`END` in a file.

    Raises :class:`InputError` if the file or its markers are not there, :class:`OutputError` if
    it cannot be written.
    """
    try:
        old = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{path} has no place for a table", f"add the lines {BEGIN} and {END}")
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None


def published(figures: Sequence[Published]) -> str:
    """What was published for such a system, in one cell."""
    told = "; ".join(f"{each.figure} {each.value} ({each.data})" for each in figures)
    return told or "-"


def _training(training: dict[str, Any]) -> str:
    """How long it took, on what, and whether it was cut short."""
    told = f"{minutes(training['seconds'])}, {training['device']}"
    if training.get("processes", 1) > 1:
        told += f" x {training['processes']}"
    return f"{told}; {_CUT} {_epochs(training)}" if _cut_short(training) else told


def _epochs(training: dict[str, Any]) -> str:
    return f"{training['epochs']} of {training['epochs_planned']} epochs"


def _cut_short(training: dict[str, Any]) -> bool:
    return "time" in training.get("stopped", "")


def _figure(judged: dict[str, Any] | None, measure: str) -> str:
    if judged is None:
        return _NOTHING
    low, high = judged["intervals"][measure]
    return f"{judged[measure]:.3f} [{low:.3f}, {high:.3f}]"
