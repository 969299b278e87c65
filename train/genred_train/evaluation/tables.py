"""An evaluation on the terminal: what was judged, how good it is, label by label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from genred_train.evaluation.figures import UNITS
from genred_train.judging import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

MEASURES = (
    ("accuracy", "accuracy"),
    ("macro_precision", "macro precision"),
    ("macro_recall", "macro recall"),
    ("macro_f1", "macro F1"),
    ("kind_accuracy", "kind (music, speech, noise)"),
    ("ece", "calibration error (ECE)"),
)

# Of a part of the data, what does not depend on the other parts: precision, and with it F1, does.
PART_MEASURES = ("accuracy", "macro_recall")

# Shares below this are not written into the confusion matrix: they would only hide the others.
_WORTH_A_NUMBER = 0.005


def render(figures: dict[str, Any]) -> RenderableType:
    """All tables of an evaluation, from what :func:`~.figures.collect` returned."""
    labels = figures["model"]["labels"]
    parts: list[RenderableType] = [Text(_title(figures), style="bold"), scores(figures)]
    parts.append(Text(_intervals(figures), style="dim"))
    if len(figures["by_standing"]) > 1:
        parts.append(_of_parts("by what the model has heard", figures["by_standing"]))
    if len(figures["by_dataset"]) > 1:
        parts.append(_of_parts("by data set", figures["by_dataset"]))
    parts += [_by_label(figures, labels), _confusion(figures, labels), _calibration(figures)]
    parts += [Text(f"note: {warning}", style="yellow") for warning in figures["warnings"]]
    return Group(*_spaced(parts))


def render_folds(figures: dict[str, Any]) -> RenderableType:
    """Tables of a cross-validation, from what :func:`~.folds.cross_validate` returned."""
    labels, data = figures["model"]["labels"], figures["data"]
    title = (
        f"{figures['model']['name']}, {len(figures['folds'])} folds over groups: "
        f"{data['recordings']} recordings of {data['groups']} groups, each judged once by a model "
        f"that has not heard its group; data {data['fingerprint'][:12]}"
    )
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        _spread(figures),
        scores(figures),
        Text(_intervals(figures), style="dim"),
        _by_label(figures, labels),
        _confusion(figures, labels),
        _calibration(figures),
    ]
    return Group(*_spaced(parts))


def _spread(figures: dict[str, Any]) -> RenderableType:
    """Each fold, then their mean and standard deviation."""
    table = _table()
    title = "fold by fold, with mean and standard deviation; below, all folds pooled"
    table.add_column("fold")
    for head in ("groups", "best epoch", "minutes"):
        table.add_column(head, justify="right")
    keys = [(unit, key) for unit in ("window", "track") for key in ("macro_recall", "macro_f1")]
    for unit, key in keys:
        table.add_column(f"{unit} {key.replace('_', ' ').replace('f1', 'F1')}", justify="right")
    for number, fold in enumerate(figures["folds"], start=1):
        table.add_row(
            str(number),
            str(len(fold["groups"])),
            str(fold["best_epoch"]),
            f"{fold['seconds'] / 60:.1f}",
            *(f"{fold[unit][key]:.3f}" for unit, key in keys),
        )
    spread = figures["spread"]
    cells = ["{:.3f} ± {:.3f}".format(*spread[unit][key]) for unit, key in keys]
    table.add_row("mean ± s.d.", "", "", "", *cells, style="bold")
    return _titled(title, table)


def scores(figures: dict[str, Any]) -> Table:
    """The figures of windows, tracks and groups with their intervals."""
    table = _table()
    table.add_column("")
    for unit in UNITS:
        table.add_column(f"{unit}s", justify="right")
    table.add_row("items", *(f"{figures[unit]['items']:,}" for unit in UNITS))
    for key, name in MEASURES:
        table.add_row(name, *(with_interval(figures[unit], key) for unit in UNITS))
    return table


def with_interval(figures: dict[str, Any], key: str) -> str:
    """``0.612 [0.580, 0.651]``, or the figure alone where it has no interval."""
    if key not in figures["intervals"]:
        return f"{figures[key]:.3f}"
    low, high = figures["intervals"][key]
    return f"{figures[key]:.3f} [{low:.3f}, {high:.3f}]"


def _title(figures: dict[str, Any]) -> str:
    model, data = figures["model"], figures["data"]
    return (
        f"{model['name']} on {data['recordings']} recordings of {data['groups']} groups "
        f"({data['split']}), data {data['fingerprint'][:12]}"
    )


def _intervals(figures: dict[str, Any]) -> str:
    missing = figures["data"]["labels_missing"]
    text = (
        f"In brackets: 95 % intervals from {RESAMPLES} bootstrap draws of whole groups, within "
        "labels; where a label has one group they cannot see how it varies. A track is what its "
        "windows say together, a group what its tracks do."
    )
    if missing:
        text += (
            f" Not in this data: {', '.join(missing)}; macro figures are over the "
            f"{len(figures['model']['labels']) - len(missing)} labels that are."
        )
    return text


def _of_parts(title: str, parts: dict[str, Any]) -> RenderableType:
    table = _table()
    table.add_column("")
    for name in ("groups", "tracks", "windows"):
        table.add_column(name, justify="right")
    for name in ("window accuracy", "macro recall", "track accuracy", "macro recall"):
        table.add_column(name, justify="right")
    for name, part in parts.items():
        window, track = part["window"], part["track"]
        table.add_row(
            name or "-",
            str(track["groups"]),
            f"{track['items']:,}",
            f"{window['items']:,}",
            *(f"{part[unit][key]:.3f}" for unit in ("window", "track") for key in PART_MEASURES),
        )
    return _titled(title, table)


def _by_label(figures: dict[str, Any], labels: Sequence[str]) -> RenderableType:
    window, track = figures["window"]["by_label"], figures["track"]["by_label"]
    table = _table()
    title = "by label"
    table.add_column("label")
    heads = ("groups", "tracks", "windows", "precision", "recall", "F1", "track rec.", "track F1")
    for head in heads:
        table.add_column(head, justify="right")
    table.add_column("most taken for")
    for n, label in enumerate(labels):
        if not window["items"][n]:
            continue
        table.add_row(
            label,
            str(window["groups"][n]),
            f"{track['items'][n]:,}",
            f"{window['items'][n]:,}",
            f"{window['precision'][n]:.2f}",
            f"{window['recall'][n]:.2f}",
            f"{window['f1'][n]:.2f}",
            f"{track['recall'][n]:.2f}",
            f"{track['f1'][n]:.2f}",
            _taken_for(figures["window"]["confusion"][n], n, labels),
        )
    return _titled(title, table)


def _taken_for(row: Sequence[int], label: int, labels: Sequence[str]) -> str:
    wrong = [(count, labels[n]) for n, count in enumerate(row) if n != label and count]
    if not wrong:
        return "-"
    count, name = max(wrong)
    return f"{name} ({count / sum(row):.0%})"


def _confusion(figures: dict[str, Any], labels: Sequence[str]) -> RenderableType:
    matrix = figures["window"]["confusion"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    title = "confusion of windows, % of what is there (rows); columns in the same order"
    table.add_column("")
    for number in range(len(labels)):
        table.add_column(labels[number][:4], justify="right")
    for label, row in zip(labels, matrix, strict=True):
        total = sum(row)
        if total:
            shares = [count / total for count in row]
            table.add_row(
                label, *(f"{100 * s:.0f}" if s >= _WORTH_A_NUMBER else "·" for s in shares)
            )
    return _titled(title, table)


def _calibration(figures: dict[str, Any]) -> RenderableType:
    table = _table()
    title = "calibration: how sure against how right"
    table.add_column("sure")
    for unit in ("window", "track"):
        for head in (f"{unit}s", "mean", "right"):
            table.add_column(head, justify="right")
    bins = [figures[unit]["reliability"] for unit in ("window", "track")]
    count = len(bins[0]["items"])
    for n in range(count):
        if not any(each["items"][n] for each in bins):
            continue
        cells: list[str] = []
        for each in bins:
            items = each["items"][n]
            cells.append(f"{items:,}" if items else "")
            cells += [f"{each[key][n]:.2f}" if items else "" for key in ("confidence", "accuracy")]
        table.add_row(f"{n / count:.2f} to {(n + 1) / count:.2f}", *cells)
    return _titled(title, table)


def _table() -> Table:
    return Table(box=None, pad_edge=False)


def _titled(title: str, table: Table) -> Group:
    """A table under its title, which may be wider than it."""
    return Group(Text(title, style="bold"), table)


def _spaced(parts: Iterable[RenderableType]) -> list[RenderableType]:
    spaced: list[RenderableType] = []
    for part in parts:
        if spaced and isinstance(part, Table | Group):
            spaced.append(Text())
        spaced.append(part)
    return spaced
