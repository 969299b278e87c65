"""Sections of the model card about the air: what ``metrics.json`` holds of them, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genred_train.evaluation import airtables

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIP = "strip.png"
COVERAGE = "coverage.png"

PICTURES = (STRIP, COVERAGE)
"""Pictures that the sections show, beside the card."""


def sections(metrics: dict[str, Any]) -> list[str]:
    """Paragraphs of the card; none for what was not measured."""
    parts: list[str] = []
    if stream := metrics.get("stream"):
        unheard = metrics.get("tuning", {}).get("unheard")
        parts += ["## On the air", _stream(stream, unheard)]
        parts += ["## Calibration and coverage", _calibration(metrics, stream)]
    if found := metrics.get("robustness"):
        parts += ["## Robustness", _robustness(found)]
    return parts


def _stream(stream: dict[str, Any], unheard: dict[str, Any] | None) -> str:
    words = (
        "Unseen recordings (groups of the test split) stitched into radio and heard by the "
        f"daemon's own path: {airtables.headline(stream)}. Pieces of 20 to 60 s of music, each "
        "label as often as another, with speech, noise and silence between them, cross-fades "
        "and hard cuts. A change that is announced and has no boundary of its own is false. "
        "In brackets: 95 % intervals, bootstrapped over groups within labels."
    )
    header: tuple[str, ...] = ("", "", "aim")
    rows = airtables.noticed(stream)
    if unheard:
        words += (
            " The test split holds one group of several labels. *By folds* is the same of all "
            "groups: each fold's on air before the model that was not trained on them, judged in "
            f"the way that was found best on the radio of the other folds: "
            f"{airtables.headline(unheard)}."
        )
        header = ("", "test split", "by folds", "aim")
        rows = [
            (name, value, other, aim)
            for (name, value, aim), (_, other, _) in zip(
                rows, airtables.noticed(unheard), strict=True
            )
        ]
    return "\n\n".join(
        (
            words,
            table(header, rows),
            table(airtables.LABEL_HEADER, airtables.by_label(stream)),
            f"![An hour of it: on air above, heard below]({STRIP})",
        )
    )


def _calibration(metrics: dict[str, Any], stream: dict[str, Any]) -> str:
    told = (
        "The confidence that is shown and published is the smoother's belief, tempered between "
        "kinds and between the labels of a kind."
    )
    if judging := metrics.get("judging"):
        tuned_on = (
            "of each fold's groups, as the model heard them that was not trained on them, without "
            "those of the test split: "
            if metrics.get("tuning", {}).get("split") == "folds"
            else "of the validation split alone: "
        )
        told += (
            " Smoother, thresholds and temperatures were tuned on programmes "
            + tuned_on
            + ", ".join(f"`{name}` {value:g}" for name, value in judging.items())
            + ". Of these, keys of `[judgement]` give way to what is set there."
        )
    curve = stream["coverage"]
    rows = []
    for threshold in (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        at = min(
            range(len(curve["threshold"])), key=lambda n: abs(curve["threshold"][n] - threshold)
        )
        rows.append(
            (
                f"{threshold:g}",
                f"{100 * curve['coverage'][at]:.1f} %",
                f"{100 * curve['accuracy'][at]:.1f} %" if curve["coverage"][at] else "-",
                f"{100 * curve['below'][at]:.1f} %" if curve["coverage"][at] < 1 else "-",
            )
        )
    header = ("confidence from", "share of time", "right", "right of the rest")
    return "\n\n".join((told, table(header, rows), f"![Accuracy against coverage]({COVERAGE})"))


def _robustness(found: dict[str, Any]) -> str:
    return (
        "The recordings of the test split again, treated; the same windows count. At most "
        f"{100 * found['allowed']:g} points are to be lost on the average.\n\n"
        + table(airtables.TREATMENT_HEADER, airtables.treatments(found))
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in lines
    )
