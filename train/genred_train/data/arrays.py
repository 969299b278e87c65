"""Rows of numbers in place of recordings: a folder of ``SPLIT/mfccs/X.npy`` and ``labels.npy``.

So comes ``music_genre_data_di``: 26 numbers a second of music, the means and deviations of 13
MFCC. What its rows were cut from it does not say, so that every row stands for itself: where rows
of one recording are in several splits, figures flatter, and intervals are too narrow.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genred.errors import InputError
from genred.model.metadata import LabelInfo
from genred_train.data.catalogue import SPLITS
from genred_train.recipe import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from genred_train.recipe import Recipe

FOLDER = "mfccs"


@dataclass(frozen=True)
class Split:
    """Rows ``[rows, numbers]`` with their truth and group ``[rows]``."""

    rows: NDArray[np.float32]
    truth: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Arrays:
    """All three splits; ``fingerprint`` tells versions of the data apart."""

    labels: tuple[LabelInfo, ...]
    splits: dict[str, Split]
    fingerprint: str

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return int(self.splits["train"].rows.shape[1])

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of the logits."""
        return [label.name for label in self.labels]


def load(recipe: Recipe, folder: Path) -> Arrays:
    """Read the arrays in ``folder``.

    Raises :class:`InputError` if files are missing, do not fit each other, hold what is no
    number, or have labels that the recipe does not name.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "--data wants the folder of the arrays")
    read = {split: _read(folder / split / FOLDER) for split in SPLITS}
    there = sorted({str(label) for _, labels in read.values() for label in labels})
    wanted = recipe.data.labels or tuple(LabelInfo(name=n, kind=kind_of(n)) for n in there)
    names = [label.name for label in wanted]
    for split, (rows, labels) in read.items():
        if rows.shape[1] != read["train"][0].shape[1]:
            raise InputError(f"the rows of {folder / split} are of another length", "")
        strange = sorted(set(names).symmetric_difference(str(label) for label in labels))
        if strange:
            raise InputError(
                f"the {split} split of {folder} and the recipe do not have the same labels: "
                f"{', '.join(strange)}",
                "name the data's labels in data.labels, or none to take them as they are",
            )
    sha = hashlib.sha256("\n".join(names).encode())
    splits: dict[str, Split] = {}
    first = 0
    for split, (rows, labels) in read.items():
        truth = np.array([names.index(str(label)) for label in labels], dtype=np.int64)
        splits[split] = Split(rows, truth, np.arange(first, first + len(rows), dtype=np.int64))
        first += len(rows)
        sha.update(split.encode() + rows.tobytes() + truth.tobytes())
    return Arrays(wanted, splits, sha.hexdigest())


def _read(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    found = []
    for name in ("X.npy", "labels.npy"):
        path = folder / name
        try:
            found.append(np.load(path, allow_pickle=False))
        except FileNotFoundError:
            raise InputError(
                f"there is no {path}",
                f"arrays are {', '.join(SPLITS)}, each with {FOLDER}/X.npy and labels.npy",
            ) from None
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot read {path}: {error}", "it must be a NumPy array") from None
    rows, labels = found
    if rows.ndim != 2 or rows.dtype.kind != "f" or len(rows) != len(labels) or not len(rows):
        raise InputError(
            f"{folder}: {rows.shape} numbers ({rows.dtype}) do not go with {len(labels)} labels",
            "X.npy must be [rows, numbers], with one label a row",
        )
    if not np.isfinite(rows).all():
        raise InputError(f"{folder / 'X.npy'} holds values that are no numbers", "remove the rows")
    return rows.astype(np.float32), labels.astype(str)
