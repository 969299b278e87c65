"""What was heard on the air, and what recordings lose by treatment, as rows and on the terminal.

The same rows make the tables of the terminal, of the page and of the model card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from genred_train.evaluation.tuning import (
    CALIBRATION,
    DELAY_S,
    FALSE_AN_HOUR,
    GAIN,
    KIND_RIGHT,
    SPEECH_AGAINST_MUSIC,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

Rows = list[tuple[str, ...]]

LABEL_HEADER = ("label", "groups", "hours", "windows right", "said right", "kind right", "said as")
TREATMENT_HEADER = (
    "treatment",
    "window recall",
    "lost",
    "window accuracy",
    "lost",
    "track recall",
    "lost",
    "track accuracy",
    "lost",
    "ECE",
)


def headline(stream: dict[str, Any]) -> str:
    """What was put on air, in a line."""
    return (
        f"{stream['hours']:g} hours of programme, {stream['pieces']} pieces of "
        f"{stream['groups']} groups, seed {stream['seed']}"
    )


def noticed(stream: dict[str, Any]) -> Rows:
    """What a listener notices: each figure with what it should be."""
    changes = stream["changes"]
    # Figures of earlier versions have it not.
    once = stream.get("said_once")
    delay, right, kind = changes["delay_s"], changes["until_right_s"], changes["until_kind_s"]
    before = stream["intervals"]

    def within(name: str) -> str:
        low, high = before[name]
        return f"{_percent(stream[name])} [{_percent(low)}, {_percent(high)}]"

    return [
        ("label right, of the time that a label is on", within("label_right"), ""),
        ("the same, of windows by themselves", within("windows_right"), ""),
        (
            "the same, of the network at each decision, with what it remembers",
            _percent(stream["network_right"]),
            "",
        ),
        (
            "the same, were boundaries known and each piece named once, so long after it began",
            f"{_percent(once['label_right'])}, {once['after_s']:g} s" if once else "not measured",
            "",
        ),
        ("gained over windows, points", within("gain"), f"at least {100 * GAIN:g}"),
        ("kind right, of all time", _percent(stream["kind_right"]), _aim(KIND_RIGHT)),
        (
            "speech against music",
            _percent(stream["speech_against_music"]),
            _aim(SPEECH_AGAINST_MUSIC),
        ),
        (
            "until a change is announced, s (median, 90 %)",
            f"{delay['median']:.2f}, {delay['p90']:.2f} (of {delay['changes']})",
            f"median at most {DELAY_S:g}",
        ),
        (
            "until the right label is said, s",
            f"{right['median']:.2f}, {right['p90']:.2f} (of {right['changes']})",
            "",
        ),
        (
            "until the right kind is, s",
            f"{kind['median']:.2f}, {kind['p90']:.2f} (of {kind['changes']})",
            "",
        ),
        (
            "changes missed; never named rightly; said already",
            "; ".join(str(changes[name]) for name in ("missed", "never_right", "said_already"))
            + f" (of {changes['true']})",
            "",
        ),
        (
            "false changes an hour",
            f"{changes['false_an_hour']:.1f}",
            f"at most {FALSE_AN_HOUR:g}",
        ),
        (
            f"wrong and sure ({stream['sure_at']:.0%} or more)",
            _percent(stream["wrong_and_sure"]),
            "",
        ),
        ("a label is said; it is then right", _both(stream, "named", "named_right"), ""),
        (
            "`unknown` is said; the best guess would have been wrong",
            _both(stream, "unknown", "unknown_deserved"),
            "wrong more often than not",
        ),
        (
            "calibration error (ECE) of what is shown; of windows",
            f"{stream['ece']:.3f}; {stream['windows_ece']:.3f}",
            f"under {CALIBRATION:g}",
        ),
    ]


def _aim(share: float) -> str:
    return f"at least {_percent(share)}"


def _both(stream: dict[str, Any], one: str, other: str) -> str:
    return f"{_percent(stream[one])}; {_percent(stream[other])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def by_label(stream: dict[str, Any]) -> Rows:
    """One row a label: :data:`LABEL_HEADER`."""
    names = [row["label"] for row in stream["by_label"]] + ["unknown"]
    rows: Rows = []
    for number, row in enumerate(stream["by_label"]):
        total = sum(row["said"])
        if not total:
            continue
        other = [(count, names[n]) for n, count in enumerate(row["said"]) if n != number and count]
        listed = [f"{name} {count / total:.0%}" for count, name in sorted(other, reverse=True)[:2]]
        rows.append(
            (
                row["label"],
                str(row["groups"]) if row["groups"] else "-",
                f"{row['hours']:.2f}",
                _percent(row["windows_right"]) if row["windows_right"] else "-",
                _percent(row["right"]),
                _percent(row["kind_right"]),
                ", ".join(listed) or "-",
            )
        )
    return rows


def treatments(found: dict[str, Any]) -> Rows:
    """One row a treatment, :data:`TREATMENT_HEADER`, and the mean of all but the first."""
    keys = [f"{unit}_{key}" for unit in ("window", "track") for key in ("macro_recall", "accuracy")]
    rows: Rows = []
    for row in found["rows"]:
        cells = [row["treatment"]]
        for key in keys:
            cells.append(f"{row[key]:.3f}")
            cells.append(f"{100 * row['loss'][key]:+.1f}" if "loss" in row else "")
        rows.append((*cells, f"{row['window_ece']:.3f}"))
    mean = ["mean loss, points"]
    for key in keys:
        mean += ["", f"{100 * found['mean_loss'][key]:+.1f}"]
    rows.append((*mean, ""))
    return rows


def render(stream: dict[str, Any]) -> RenderableType:
    """Tables of programmes, from what :func:`~.noticing.collect` returned."""
    return Group(
        Text(f"on the air: {headline(stream)}", style="bold"),
        _table(("", "", "wanted"), noticed(stream)),
        Text(),
        Text("on the air, by label", style="bold"),
        _table(LABEL_HEADER, by_label(stream)),
    )


def render_unheard(figures: dict[str, Any]) -> RenderableType:
    """The table of folds, each judged by the others, from :func:`~.tuning.unheard`."""
    return Group(
        Text(f"on the air, each fold judged by the others: {headline(figures)}", style="bold"),
        _table(("", "", "wanted"), noticed(figures)),
    )


def render_treatments(found: dict[str, Any]) -> RenderableType:
    """The table of treatments, from what :func:`~.robustness.measure` returned."""
    return Group(
        Text("treated recordings, and what is lost by it (points)", style="bold"),
        _table(TREATMENT_HEADER, treatments(found)),
    )


def _table(header: Sequence[str], rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(header):
        table.add_column(head, justify="left" if not number else "right")
    for row in rows:
        table.add_row(*(cell.replace("`", "") for cell in row))
    return table
