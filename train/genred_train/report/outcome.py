"""What judging a model leaves: a page with pictures, and the sections of its card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from genred.errors import InputError, OutputError
from genred_train import card, plots
from genred_train.evaluation import airtables, cards
from genred_train.evaluation.subject import recipe_of
from genred_train.evaluation.tables import MEASURES
from genred_train.report import page, pictures, strips

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genred.model.metadata import ModelMetadata
    from genred.model.session import Model
    from genred_train.evaluation.onair import Heard

PAGE = "report.html"
METRICS = "metrics.json"
CARD = "MODEL_CARD.md"

# An hour is drawn; more would be too fine to see.
_DRAWN_S = 3600.0


def write(found: dict[str, Any], heard: Heard | None, known: ModelMetadata, folder: Path) -> None:
    """Write ``report.html`` and the pictures of what was ``heard`` on the air into ``folder``.

    Raises :class:`OutputError` if something cannot be written.
    """
    labels = found["model"]["labels"]
    tables = [page.Grid("How good it is", ("", "windows", "tracks", "groups"), _scores(found))]
    if stream := found.get("stream"):
        title = f"On the air: {airtables.headline(stream)}"
        tables += [
            page.Grid(title, ("", "", "aim"), airtables.noticed(stream)),
            page.Grid("On the air, by label", airtables.LABEL_HEADER, airtables.by_label(stream)),
        ]
    if treated := found.get("robustness"):
        rows = airtables.treatments(treated)
        tables.append(page.Grid("Treated recordings", airtables.TREATMENT_HEADER, rows))
    units = ("window", "track")
    drawn = [
        _shown(
            folder / "confusion.png",
            "What was heard for what",
            "Confusion matrices, each row in per cent of what was there.",
            lambda path: plots.confusion_matrix(
                [(f"{unit}s (% of row)", found[unit]["confusion"]) for unit in units], labels, path
            ),
        ),
        _shown(
            folder / "reliability.png",
            "How sure against how right",
            "Reliability diagrams: on the dashed diagonal the model is as sure as it is right.",
            lambda path: _reliability(found, path),
        ),
    ]
    if heard is not None:
        drawn += _of_air(found["stream"], heard, known, folder)
    words = (
        f"{found['data']['recordings']} recordings of {found['data']['groups']} groups "
        f"({found['data']['split']})."
    )
    _write(folder / PAGE, page.of_evaluation(found, words, tables, drawn))


def into_card(found: dict[str, Any], heard: Heard | None, model: Model) -> None:
    """Put what was found on the air and by treatments into the figures and the card of a run.

    Raises :class:`InputError` where no run's figures lie beside the model file.
    """
    folder = model.path if model.path.is_dir() else model.path.parent
    metrics = figures_of(folder)
    metrics |= {name: found[name] for name in ("stream", "robustness") if name in found}
    if heard is not None:
        _of_air(found["stream"], heard, model.metadata, folder)
    rewrite(folder, metrics, model.metadata)


def figures_of(folder: Path) -> dict[str, Any]:
    """What the ``metrics.json`` of a run holds. Raises :class:`InputError` if there is none."""
    try:
        metrics: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read the figures {folder / METRICS}: {error}",
            "name a model in the folder of its run",
        ) from None
    return metrics


def rewrite(folder: Path, metrics: dict[str, Any], known: ModelMetadata) -> None:
    """Write figures and card of a run anew, from ``metrics`` and the recipe in its model."""
    recipe, _ = recipe_of(known)
    _write(folder / METRICS, json.dumps(metrics, indent=1) + "\n")
    _write(folder / CARD, card.write(metrics, recipe))


def _of_air(
    stream: dict[str, Any], heard: Heard, known: ModelMetadata, folder: Path
) -> list[page.Shown]:
    first = slice(0, round(_DRAWN_S / heard.hop_s))
    hour = (heard.truth[0, first], heard.said[0, first], heard.confidence[0, first])
    enter = known.judging.enter if known.judging else 0.0
    named = (stream["named"], stream["named_right"])
    return [
        _shown(
            folder / cards.STRIP,
            "An hour on the air",
            "A strip for each quarter of an hour: above what was on, below what was heard, the "
            f"fainter the less sure. Right {stream['label_right']:.0%} of the time, "
            f"{stream['changes']['false_an_hour']:.1f} false changes an hour.",
            lambda path: strips.strip(*hour, heard.labels, heard.hop_s, path),
        ),
        _shown(
            folder / cards.COVERAGE,
            "Accuracy against coverage",
            "The share of time in which the best guess is at least so sure, and how much of that "
            f"is right. A label is said {stream['named']:.0%} of the time and then "
            f"{stream['named_right']:.0%} right.",
            lambda path: strips.coverage(stream["coverage"], enter, named, path),
        ),
    ]


def _shown(path: Path, title: str, words: str, draw: Callable[[Path], None]) -> page.Shown:
    """Draw a picture, and once more for dark pages."""
    night = path.with_name(f"{path.name}.dark.png")
    try:
        for file, dark in ((path, False), (night, True)):
            with pictures.theme(dark=dark):
                draw(file)
            pictures.shrink(file)
        return page.Shown(title, words, path.read_bytes(), night.read_bytes())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None
    finally:
        night.unlink(missing_ok=True)


def _reliability(found: dict[str, Any], path: Path) -> None:
    units = ("window", "track")
    panels = [(f"{unit}s", found[unit]["reliability"], found[unit]["ece"]) for unit in units]
    if "stream" in found:
        panels.append(("on the air", found["stream"]["reliability"], found["stream"]["ece"]))
    pictures.reliability(panels, path)


def _scores(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, *(f"{found[unit][key]:.3f}" for unit in ("window", "track", "group")))
        for key, name in MEASURES
    ]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None
