"""Pages that need nothing but themselves: pictures inside, light and dark, for any screen."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred_train.recipe import Recipe
    from genred_train.report.speed import Speed


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on a page: PNG on light and on dark ground, and what it shows in words."""

    title: str
    words: str
    light: bytes
    dark: bytes

    @property
    def light_uri(self) -> str:
        """The light one as a ``data:`` address."""
        return _data_uri(self.light)

    @property
    def dark_uri(self) -> str:
        """The dark one as a ``data:`` address."""
        return _data_uri(self.dark)


def of_run(metrics: dict[str, Any], recipe: Recipe, timed: Speed, pictures: Sequence[Shown]) -> str:
    """Return the page of one run as HTML."""
    return (
        _environment()
        .get_template("run.html.j2")
        .render(
            metrics=metrics,
            model=metrics["model"],
            training=metrics["training"],
            data=metrics["data"],
            timed=timed,
            pictures=pictures,
            published=recipe.published,
            recipe=json.dumps(recipe.model_dump(mode="json"), indent=1, ensure_ascii=False),
            splits=[
                (words, metrics[split])
                for split, words in (("val", "validation"), ("test", "test"))
                if split in metrics
            ],
        )
    )


def of_comparison(
    headers: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """Return a page that lays runs side by side; the first cell of each row names the run."""
    template = _environment().get_template("comparison.html.j2")
    return template.render(headers=headers, rows=rows, notes=notes)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table on a page."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def of_evaluation(
    found: dict[str, Any], words: str, tables: Sequence[Grid], pictures: Sequence[Shown]
) -> str:
    """Return the page of a judged model as HTML."""
    template = _environment().get_template("evaluation.html.j2")
    return template.render(
        name=found["model"]["name"],
        words=words,
        tables=tables,
        pictures=pictures,
        warnings=found["warnings"],
        seed=found["seed"],
        fingerprint=found["data"]["fingerprint"],
    )


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("genred_train.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["minutes"] = minutes
    return made


def minutes(seconds: float) -> str:
    """``38 s``, ``7.1 min`` or ``1.6 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
