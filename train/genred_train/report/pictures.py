"""Pictures of runs and evaluations, for light and dark pages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")  # draws into files; there may be no display

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

DPI = 110

# Spectrograms are noise to a compressor; a band still has more than one dot.
GALLERY_DPI = 90

# Blue and vermilion of Okabe and Ito, which the colour-blind tell apart; lighter on dark.
_PAPER, _INK, _LIGHT = "#ffffff", "#1b1f24", ("#0072b2", "#d55e00")
_NIGHT, _CHALK, _BRIGHT = "#14181d", "#e6e9ed", ("#56b4e9", "#f0a03c")


@contextmanager
def theme(*, dark: bool) -> Iterator[None]:
    """Draw on light or dark ground inside this context."""
    ground, ink, colours = (_NIGHT, _CHALK, _BRIGHT) if dark else (_PAPER, _INK, _LIGHT)
    settings: Any = {  # typed by the name of every setting there is
        "figure.facecolor": ground,
        "savefig.facecolor": ground,
        "axes.facecolor": ground,
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.prop_cycle": cycler(color=list(colours)),
        "axes.grid": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": ink,
        "grid.alpha": 0.15,
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "legend.frameon": False,
    }
    with mpl.rc_context(settings):
        yield


def curves(history: Sequence[Mapping[str, float]], best: int, path: Path) -> None:
    """Draw loss, and accuracy with macro F1, by epoch; ``best`` is the epoch that was kept."""
    epochs = [line["epoch"] for line in history]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4), layout="constrained")
    pairs = (
        ("loss", (("train_loss", "training"), ("val_loss", "validation"))),
        ("validation", (("val_accuracy", "accuracy"), ("val_macro_f1", "macro F1"))),
    )
    for axis, (title, lines) in zip(axes, pairs, strict=True):
        for (key, name), style in zip(lines, ("-", "--"), strict=True):
            values = [line[key] for line in history]
            # A single epoch has no line; its point must still be seen.
            marker = "o" if len(epochs) <= 20 else ""
            axis.plot(epochs, values, style, marker=marker, markersize=4, label=name)
        if best in epochs:
            axis.axvline(best, color=mpl.rcParams["text.color"], linewidth=0.8, alpha=0.6)
            axis.annotate(
                "kept",
                (best, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -10),
                textcoords="offset points",
                fontsize=8,
            )
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(visible=True)
        axis.legend()
    axes[1].set_ylim(0, 1)
    save(figure, path)


def reliability(
    panels: Sequence[tuple[str, Mapping[str, Sequence[float]], float]], path: Path
) -> None:
    """Draw accuracy against confidence with the share of items below it.

    Each panel is a title, the bins as :func:`genred_train.judging.reliability` counts them, and
    the expected calibration error. On the diagonal the model is as sure as it is right.
    """
    figure, axes = plt.subplots(
        2,
        len(panels),
        figsize=(4.2 * len(panels), 4.8),
        height_ratios=(4, 1),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for (upper, lower), (title, bins, error) in zip(axes.T, panels, strict=True):
        items = np.asarray(bins["items"], dtype=float)
        edges = np.arange(items.size) / items.size
        filled = items > 0
        accuracy, confidence = np.asarray(bins["accuracy"]), np.asarray(bins["confidence"])
        width = 1 / items.size
        upper.bar(edges[filled], accuracy[filled], width, align="edge", alpha=0.45, label="right")
        upper.plot(
            confidence[filled], accuracy[filled], "o", color="C1", markersize=4, label="mean of bin"
        )
        upper.plot([0, 1], [0, 1], "--", color=mpl.rcParams["text.color"], linewidth=1)
        upper.set(xlim=(0, 1), ylim=(0, 1), title=f"{title}: ECE {error:.3f}")
        upper.set_ylabel("share that is right")
        upper.legend(loc="upper left", fontsize=8)
        upper.grid(visible=True)
        lower.bar(edges, items / max(items.sum(), 1), width, align="edge", alpha=0.8)
        lower.set_xlabel("how sure the model is")
        lower.set_ylabel("items")
    save(figure, path)


def gallery(
    rows: Sequence[tuple[str, Sequence[NDArray[np.float32]]]],
    seconds: float,
    frequencies: tuple[float, float],
    path: Path,
) -> None:
    """Draw log-mel spectrograms: one row a label, each ``[n_mels, frames]`` and ``seconds`` long.

    ``frequencies`` are those of the lowest and highest band, Hz; all share one scale of colour.
    """
    columns = max(len(pictures) for _, pictures in rows)
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(1.2 + 2.9 * columns, 0.5 + 1.05 * len(rows)),
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    everything = np.concatenate([picture.ravel() for _, pictures in rows for picture in pictures])
    low, high = np.percentile(everything, (2, 99.7))
    image = None
    for line, (label, pictures) in zip(axes, rows, strict=True):
        for axis in line[len(pictures) :]:
            axis.set_axis_off()
        for axis, picture in zip(line, pictures, strict=False):
            image = axis.imshow(
                picture,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=low,
                vmax=high,
                extent=(0, seconds, 0, picture.shape[0]),
                interpolation="nearest",
            )
            axis.set_yticks([])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for axis in axes[-1]:
        axis.set_xlabel("s")
    if image is not None:
        bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=40, pad=0.01)
        bar.set_label("log-mel power")
    bottom, top = frequencies
    figure.suptitle(f"{bottom:g} Hz (bottom) to {top:g} Hz (top), mel scale", fontsize=9)
    save(figure, path, GALLERY_DPI)


def shrink(path: Path) -> None:
    """Reduce a PNG to 256 colours: a third of its size, and to the eye the same."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(path, format="PNG", optimize=True)


def save(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a figure as PNG and close it."""
    # No date and no version: the same run draws the same file.
    figure.savefig(path, dpi=dpi, metadata={"Software": None})
    plt.close(figure)
