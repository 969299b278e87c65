"""What a finished run leaves to look at, beside its model: pictures, plain figures, a page."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genred.errors import OutputError
from genred_train import plots
from genred_train.front_end import LogMel
from genred_train.report import page, pictures, speed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genred.model.metadata import ModelMetadata
    from genred_train.data.corpus import Corpus
    from genred_train.recipe import Recipe
    from genred_train.training import Epoch

CONFIG = "model_config.json"
FIGURES = "performance_metrics.json"
PAGE = "report.html"

MEASURES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "kind_accuracy", "ece")

# So many recordings of each label are shown, and so much of each: where it is loudest, for some
# are silent in the middle. The loudest part is looked for in steps.
GALLERY_COLUMNS = 3
GALLERY_SECONDS = 4.0
_GALLERY_STEP_S = 0.25


@dataclass(frozen=True)
class Finished:
    """Everything that is known of a run at its end."""

    recipe: Recipe
    corpus: Corpus
    metadata: ModelMetadata
    metrics: dict[str, Any]
    history: Sequence[Epoch]


def write_all(folder: Path, run: Finished) -> None:
    """Write pictures, ``model_config.json``, ``performance_metrics.json`` and ``report.html``.

    ``folder`` holds ``model.onnx``, which is timed. Raises :class:`OutputError` if something
    cannot be written.
    """
    timed = speed.measure(folder / "model.onnx")
    try:
        _write(folder / CONFIG, config(run))
        _write(folder / FIGURES, figures(run, timed))
        shown = [picture.drawn(folder) for picture in _pictures(run)]
        text = page.of_run(run.metrics, run.recipe, timed, shown)
        (folder / PAGE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}", "make room") from None


def config(run: Finished) -> dict[str, Any]:
    """What the model is: its metadata, with the recipe spelt out."""
    known = run.metadata.model_dump(mode="json")
    known["training"]["recipe"] = run.recipe.model_dump(mode="json")
    del known["training"]["heard"]  # hashes for the lab's judging; nothing to read
    return known


def figures(run: Finished, timed: speed.Speed) -> dict[str, Any]:
    """The run's figures, flat, one name each, for spreadsheets and other programs."""
    metrics = run.metrics
    model, training = metrics["model"], metrics["training"]
    found: dict[str, Any] = {
        "name": metrics["name"],
        "created": metrics["created"],
        "seed": metrics["seed"],
        "data_fingerprint": metrics["data"]["fingerprint"],
        "device": training["device"],
        "epochs": training["epochs"],
        "best_epoch": training["best_epoch"],
        "training_seconds": training["seconds"],
        "parameters": model["parameters"],
        "bytes": model["bytes"],
        "macs_per_second": model["macs_per_second"],
        "cpu_ms_per_window": round(timed.milliseconds, 4),
        "cpu": timed.processor,
    }
    for epoch in run.history:
        if epoch.epoch == training["best_epoch"]:
            found["best_val_accuracy"] = epoch.val_accuracy
            found["best_val_macro_f1"] = epoch.val_macro_f1
    for split in ("val", "test"):
        for unit, judged in metrics.get(split, {}).items():
            for measure in MEASURES:
                found[f"{split}_{unit}_{measure}"] = judged[measure]
            for measure, (low, high) in judged["intervals"].items():
                found[f"{split}_{unit}_{measure}_low"] = low
                found[f"{split}_{unit}_{measure}_high"] = high
    return found


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture to be drawn: its file, what it shows in words, and how."""

    name: str
    title: str
    words: str
    draw: Callable[[Path], None]

    def drawn(self, folder: Path) -> page.Shown:
        """Draw it into ``folder`` on light ground, and once more for dark pages."""
        path, night = folder / self.name, folder / f"{self.name}.dark.png"
        try:
            for file, dark in ((path, False), (night, True)):
                with pictures.theme(dark=dark):
                    self.draw(file)
                pictures.shrink(file)
            return page.Shown(self.title, self.words, path.read_bytes(), night.read_bytes())
        finally:
            night.unlink(missing_ok=True)


def _pictures(run: Finished) -> list[_Picture]:
    metrics, test = run.metrics, run.metrics["test"]
    labels = [label["name"] for label in metrics["data"]["labels"]]
    history = [asdict(epoch) for epoch in run.history]
    best = metrics["training"]["best_epoch"]
    last = run.history[-1]
    found = [
        _Picture(
            "curves.png",
            "Loss and accuracy by epoch",
            f"Two line charts over {len(history)} epochs. Training loss ends at "
            f"{last.train_loss:.3f}, validation loss at {last.val_loss:.3f}; validation accuracy "
            f"at {last.val_accuracy:.3f}, macro F1 at {last.val_macro_f1:.3f}. Epoch {best} was "
            "kept. Training loss is that of augmented, smoothed and mixed crops.",
            lambda path: pictures.curves(history, best, path),
        ),
        _Picture(
            "confusion.png",
            "What was heard for what",
            "Confusion matrices of the test split, each row in per cent of what was there. "
            + _worst(test, labels),
            lambda path: plots.confusion_matrix(
                [(f"test, {unit}s (% of row)", test[unit]["confusion"]) for unit in test],
                labels,
                path,
            ),
        ),
        _Picture(
            "reliability.png",
            "How sure against how right",
            "Reliability diagrams of the test split: on the dashed diagonal the model is as sure "
            "as it is right. "
            + " ".join(f"Expected calibration error of {u}s: {test[u]['ece']:.3f}." for u in test),
            lambda path: pictures.reliability(
                [(f"test, {u}s", test[u]["reliability"], test[u]["ece"]) for u in test], path
            ),
        ),
    ]
    rows = spectrograms(run.corpus, run.recipe)
    if rows:
        front_end = run.recipe.front_end
        found.append(
            _Picture(
                "spectrograms.png",
                "What the network sees",
                f"Mel-spectrograms, up to {GALLERY_COLUMNS} recordings of each label, "
                f"the loudest {GALLERY_SECONDS:g} seconds of each: "
                f"{', '.join(label for label, _ in rows)}.",
                lambda path: pictures.gallery(
                    rows, GALLERY_SECONDS, (front_end.f_min, front_end.f_max), path
                ),
            )
        )
    return found


def spectrograms(corpus: Corpus, recipe: Recipe) -> list[tuple[str, Sequence[NDArray[np.float32]]]]:
    """Log-mel pictures ``[n_mels, frames]`` of a few recordings of each label.

    Real recordings come before generated ones, different groups before the same; each at its
    own level. Recordings shorter than :data:`GALLERY_SECONDS` are shown again from their start.
    """
    transform = LogMel(recipe.front_end, corpus.sample_rate)
    length = round(GALLERY_SECONDS * corpus.sample_rate)
    chosen: defaultdict[int, dict[str, int]] = defaultdict(dict)
    order = sorted(range(len(corpus.entries)), key=lambda n: not corpus.entries[n].scored)
    for position in order:
        entry = corpus.entries[position]
        if len(chosen[entry.label]) < GALLERY_COLUMNS:
            chosen[entry.label].setdefault(entry.group, position)
    rows: list[tuple[str, Sequence[NDArray[np.float32]]]] = []
    for label, name in enumerate(corpus.label_names):
        images = []
        for position in chosen[label].values():
            samples = corpus.audio(position).astype(np.float32) / np.float32(32768)
            start = _loudest(samples, length, round(_GALLERY_STEP_S * corpus.sample_rate))
            audio = np.resize(samples[start:], length)
            images.append(transform(torch.from_numpy(audio)[None])[0].numpy())
        rows.append((name, images))
    return rows


def _loudest(samples: NDArray[np.float32], length: int, step: int) -> int:
    """Where the ``length`` samples with the most power begin."""
    starts = np.arange(0, max(1, samples.size - length + 1), step)
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    ends = np.minimum(starts + length, samples.size)
    return int(starts[(energy[ends] - energy[starts]).argmax()])


def _worst(test: dict[str, Any], labels: Sequence[str]) -> str:
    unit = next(iter(test))
    matrix = np.asarray(test[unit]["confusion"], dtype=float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    row, column = divmod(int(shares.argmax()), len(labels))
    if not shares[row, column]:
        return f"No {unit} was taken for another label."
    return (
        f"Most often mistaken: {shares[row, column]:.0%} of the {unit}s of {labels[row]} were "
        f"taken for {labels[column]}."
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
