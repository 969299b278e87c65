"""Pictures of what was heard on the air: an hour's strip, and accuracy against coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from genred_train.report.pictures import save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# The rows of a strip, each a quarter of an hour: pieces of half a minute can be told apart.
ROW_S = 900.0

# Silence and unknown have no hue.
_SILENCE, _UNKNOWN = "#000000", "#9a9a9a"


def colours(labels: Sequence[str]) -> dict[str, Any]:
    """A colour for each label; silence and unknown are black and grey."""
    wheel = mpl.colormaps["tab20"]
    # Grey stands for unknown alone.
    hues = [wheel(n) for n in range(20) if n not in {14, 15}]
    found: dict[str, Any] = {
        label: hues[number % len(hues)]
        for number, label in enumerate(labels)
        if label not in {"silence", "unknown"}
    }
    return found | {"silence": _SILENCE, "unknown": _UNKNOWN}


def strip(
    truth: NDArray[np.int8],
    said: NDArray[np.int8],
    confidence: NDArray[np.float32],
    labels: Sequence[str],
    hop_s: float,
    path: Path,
) -> None:
    """Draw what was on (above) and what was heard (below), quarter of an hour by quarter.

    ``truth``, ``said`` and ``confidence`` ``[decisions]``; the fainter, the less sure.
    """
    size = round(ROW_S / hop_s)
    count = max(1, -(-truth.size // size))
    palette = colours(labels)
    table = np.array([mpl.colors.to_rgba(palette[label]) for label in labels])
    figure, axes = plt.subplots(
        count, 1, figsize=(10.5, 0.9 + 0.95 * count), squeeze=False, layout="constrained"
    )
    for row, axis in enumerate(axes[:, 0]):
        part = slice(row * size, (row + 1) * size)
        begin = row * ROW_S / 60
        _bars(axis, table[truth[part]], begin, hop_s, 1.05)
        heard = table[np.maximum(said[part], 0)].copy()
        heard[:, 3] = np.where(said[part] < 0, 0.0, 0.25 + 0.75 * confidence[part])
        _bars(axis, heard, begin, hop_s, 0.0)
        axis.set(xlim=(begin, begin + ROW_S / 60), ylim=(0, 2.05), yticks=(0.5, 1.55))
        axis.set_yticklabels(("heard", "on air"))
        axis.tick_params(left=False)
    axes[-1, 0].set_xlabel("minutes")
    used = sorted({*truth.tolist(), *said.tolist()} - {-1})
    handles = [mpl.patches.Patch(color=palette[labels[n]], label=labels[n]) for n in used]
    figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8)
    save(figure, path)


def _bars(
    axis: Axes, colour: NDArray[np.float64], begin: float, hop_s: float, bottom: float
) -> None:
    end = begin + len(colour) * hop_s / 60
    axis.imshow(
        colour[None], extent=(begin, end, bottom, bottom + 1), aspect="auto", interpolation="none"
    )


def coverage(
    curve: Mapping[str, Sequence[float]], enter: float, named: tuple[float, float], path: Path
) -> None:
    """Draw accuracy against coverage over all thresholds, and where the model is judged.

    ``named`` is the share of time that a label is said, and the share of that which is right.
    """
    figure, axis = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
    share, accuracy = np.asarray(curve["coverage"]), np.asarray(curve["accuracy"])
    some = share > 0.005
    axis.plot(share[some], accuracy[some], label="at least so sure")
    rest = share < 0.995
    axis.plot(share[rest], np.asarray(curve["below"])[rest], "--", label="less sure than that")
    for threshold in (0.3, 0.5, 0.7, 0.9):
        at = int(np.argmin(np.abs(np.asarray(curve["threshold"]) - threshold)))
        if some[at]:
            axis.annotate(
                f"{threshold:g}", (share[at], accuracy[at]), xytext=(0, 6), fontsize=8,
                textcoords="offset points", ha="center",
            )  # fmt: skip
            axis.plot(share[at], accuracy[at], "o", color="C0", markersize=4)
    axis.plot(*named, "D", color="C1", markersize=7, label=f"as judged, said from {enter:g} on")
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of time", ylabel="share of it that is right")
    axis.axhline(0.5, color=mpl.rcParams["text.color"], linewidth=0.8, alpha=0.5)
    axis.grid(visible=True)
    axis.legend(loc="lower left", fontsize=8)
    save(figure, path)
