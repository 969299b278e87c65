"""Pictures of a run."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")  # draws into files; there may be no display

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def confusion_matrix(
    panels: Sequence[tuple[str, Sequence[Sequence[int]]]], labels: Sequence[str], path: Path
) -> None:
    """Draw confusion matrices side by side, each row as shares of what was really there."""
    side = 1.6 + 0.42 * len(labels)
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(side * len(panels), side + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for axis, (title, counts) in zip(axes[0], panels, strict=True):
        matrix = np.asarray(counts, dtype=float)
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(title)
        axis.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
        axis.set_yticks(range(len(labels)), labels)
        axis.set_xlabel("heard")
        axis.set_ylabel("true")
        for row, column in np.argwhere(shares >= 0.005):
            axis.text(
                column,
                row,
                f"{100 * shares[row, column]:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if shares[row, column] > 0.55 else "black",
            )
    # No date and no version: the same run draws the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
