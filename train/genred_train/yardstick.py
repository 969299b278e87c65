"""``python -m genred_train.yardstick``: a recipe against its teacher, on the same folds.

Cross-validates the recipe over whole groups, as ``genred evaluate --cross-validate`` does, and on
the same folds a logistic regression on the teacher's embeddings: the yardstick.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import OutputError, UsageError
from genred_train.entry import Parser, add_lessons, answer, need
from genred_train.evaluation.cards import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from genred_train.console import Console
    from genred_train.data.corpus import Corpus
    from genred_train.evaluation.folds import Fold, Plan
    from genred_train.judging import Scored
    from genred_train.teacher.yardstick import Yardstick

_NEEDED = ("torch", "torchaudio", "onnxruntime", "ai_edge_litert")

# What stands in a row, of windows and of tracks.
FIGURES = ("macro_recall", "macro_f1", "accuracy")

# Windows by themselves are heard so many at once.
_FEEDS = 64


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(prog="python -m genred_train.yardstick", description=__doc__)
    made.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe, or a model with one")
    made.add_argument("--data", type=Path, metavar="DIR", required=True, help="the recordings")
    add_lessons(made, required=True)
    made.add_argument("--folds", type=int, metavar="K", default=4, help="(default: 4)")
    made.add_argument(
        "--first", type=int, metavar="N", help="only the first N of the folds, where time is short"
    )
    made.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of folds and bootstrap")
    made.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="finished folds are kept there"
    )
    made.add_argument(
        "--card",
        type=Path,
        metavar="DIR",
        help="put the figures into the metrics.json and MODEL_CARD.md of this model's folder",
    )
    made.add_argument("--cache", type=Path, metavar="DIR", help="where decoded audio is kept")
    made.add_argument("--threads", type=int, metavar="N", help="CPU threads of PyTorch")
    made.add_argument("--json", action="store_true", help="all figures as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("yardstick", lambda: _run(parser().parse_args(arguments)))


def _run(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "the yardstick needs")
    from genred_train.console import Console
    from genred_train.data.cache import default_folder
    from genred_train.evaluation import folds

    if chosen.folds < 2 or not 1 <= (chosen.first or chosen.folds) <= chosen.folds:
        raise UsageError("--folds wants at least 2, and --first no more than there are")
    plan = folds.Plan(
        recipe=folds.recipe_at(chosen.recipe).override(epochs=chosen.epochs),
        data=chosen.data,
        cache=chosen.cache or default_folder(),
        out=chosen.out,
        count=chosen.folds,
        seed=chosen.seed,
        device="cpu",
        threads=chosen.threads,
        teachers=tuple(chosen.teacher),
        unlabelled=chosen.unlabelled,
        first=chosen.first,
    )
    found = compare(plan, Console())
    _write(chosen.out / "yardstick.json", json.dumps(found, indent=1) + "\n")
    if chosen.card:
        into_card({"cross_validation": found}, chosen.card)
    print(json.dumps(found, indent=1) if chosen.json else render(found))


def compare(plan: Plan, console: Console) -> dict[str, Any]:
    """Figures of the recipe and of the yardstick, on the same windows of the same folds.

    ``rows`` has, by name, per ``window`` and ``track`` what :func:`genred_train.judging.judge`
    returns. Raises what training and the teacher raise.
    """
    from genred_train import judging
    from genred_train.evaluation import figures, folds
    from genred_train.teacher import panel, yardstick

    corpus, done = folds.trained(plan, console)
    student = folds.collect(plan, corpus, done)
    with console.progress("Asking the teacher") as progress:
        recordings = [entry.stored for entry in corpus.entries]
        # Whoever else taught the recipe, the yardstick is YAMNet.
        alone = panel.ordered(plan.teachers)[:1]
        embedded = panel.embeddings(alone, recordings, corpus.samples, plan.cache, progress)
    kinds = [label.kind.value for label in corpus.labels]
    window = plan.recipe.audio.window

    def judged(whole: Yardstick) -> dict[str, Any]:
        tracks = judging.by_track(whole.scored, whole.positions)
        return {
            "window": judging.judge(whole.scored, kinds, plan.seed),
            "track": judging.judge(tracks, kinds, plan.seed),
        }

    parts = list(folds.parts(corpus, plan))
    mine, positions = folds.pooled(corpus, done)
    fresh = yardstick.pooled(
        [
            _fresh(part, plan, n, fold)
            for n, (part, fold) in enumerate(zip(parts, done, strict=True))
        ]
    )
    rows: dict[str, Any] = {
        "remembered": {unit: student[unit] for unit in ("window", "track")},
        "one second": judged(fresh),
    }
    better = {}
    datasets = {"remembered": figures.by_dataset(mine, positions, corpus, plan.seed)}
    for name, made in (("yardstick", None), ("yardstick, real recordings alone", 0.0)):
        with console.progress(name) as progress:
            answers = []
            for number, part in enumerate(parts):
                known = yardstick.kept(part, embedded, plan.seed + number, plan.cache, made=made)
                answers.append(yardstick.judged(part, embedded, known, window))
                progress(number + 1, len(parts))
        beside = yardstick.pooled(answers)
        rows[name] = judged(beside)
        better[f"remembered less {name}"] = _better(mine, positions, beside, plan.seed)
        better[f"one second less {name}"] = _better(
            fresh.scored, fresh.positions, beside, plan.seed
        )
        datasets[name] = figures.by_dataset(beside.scored, beside.positions, corpus, plan.seed)
    return {
        "folds": plan.count,
        "folds_judged": len(parts),
        "epochs": plan.recipe.training.epochs,
        "groups": rows["yardstick"]["window"]["groups"],
        "seconds": [fold["seconds"] for fold in student["folds"]],
        "labels": corpus.label_names,
        "rows": rows,
        "better": better,
        "by_dataset": datasets,
    }


def _better(
    mine: Scored, positions: NDArray[np.int64], beside: Yardstick, seed: int
) -> dict[str, dict[str, list[float]]]:
    """By how much the network is better, per window and track, with intervals."""
    import numpy as np

    from genred_train import judging

    # Recordings come in the same order to both, and windows of each.
    if not np.array_equal(positions, beside.positions):
        raise ValueError("the windows are not the same")
    return {
        "window": judging.difference(mine, beside.scored, seed),
        "track": judging.difference(
            judging.by_track(mine, positions),
            judging.by_track(beside.scored, positions),
            seed,
        ),
    }


def _fresh(corpus: Corpus, plan: Plan, number: int, fold: Fold) -> Yardstick:
    """What a fold's model says of each window by itself, its state zeros before each.

    Corrected as ``fold`` is.
    """
    import numpy as np

    from genred.model.session import load_model
    from genred_train import scoring
    from genred_train.teacher.yardstick import Yardstick

    assert plan.out is not None
    model = load_model(plan.out / f"fold-{number + 1}" / "model.onnx", feeds=_FEEDS)
    metadata = model.metadata
    hop, steps = metadata.hop, -(-metadata.window // metadata.hop)
    chosen = scoring.windows(corpus, corpus.of("test"), steps * hop, metadata.window)
    answers = np.empty((chosen.starts.size, len(metadata.labels)), np.float32)
    for begin in range(0, chosen.starts.size, _FEEDS):
        part = slice(begin, begin + _FEEDS)
        audio = scoring.audio_of(corpus, chosen, part).numpy()
        state = model.new_state(len(audio))
        for step in range(steps):
            new = np.ascontiguousarray(audio[:, step * hop : (step + 1) * hop])
            logits, _, state = model.step(new, state)
        answers[part] = logits
    if fold.by:
        answers = fold.by.shifted(answers)
    scored = scoring.scored(answers, chosen, fold.temperature)
    return Yardstick(scored, chosen.positions, 0.0)


def render(found: dict[str, Any]) -> str:
    """The rows as a table in Markdown."""
    judged = found["folds_judged"]
    of = f"all {found['folds']}" if judged == found["folds"] else f"{judged} of {found['folds']}"
    names = [figure.replace("_", " ") for figure in FIGURES]
    header = ["", *(f"{unit} {name}" for unit in ("window", "track") for name in names), "ECE"]
    lines = []
    for name, row in found["rows"].items():
        cells = [
            f"{row[unit][figure]:.3f} [{low:.3f}, {high:.3f}]"
            for unit in ("window", "track")
            for figure in FIGURES
            for low, high in [row[unit]["intervals"][figure]]
        ]
        lines.append([name, *cells, f"{row['window']['ece']:.3f}"])
    for name, figures in found.get("better", {}).items():
        cells = [
            f"{100 * figures[unit][figure][0]:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            for unit in ("window", "track")
            for figure in FIGURES
            for low, high in [figures[unit][figure][1:]]
        ]
        lines.append([f"{name}, in points", *cells, ""])
    labels = []
    for number, label in enumerate(found["labels"]):
        cells = [
            f"{row['window']['by_label']['recall'][number]:.2f}, "
            f"{row['track']['by_label']['recall'][number]:.2f}"
            for row in found["rows"].values()
        ]
        labels.append([label, *cells])
    return (
        f"{of} folds of whole groups, {found['groups']} groups judged, {found['epochs']} epochs a "
        f"fold.\n\n{table(header, lines)}\n\nBy label, per window and per track:\n\n"
        f"{table(['recall of', *found['rows']], labels)}"
        f"{_render_datasets(found.get('by_dataset', {}))}"
    )


def _render_datasets(datasets: dict[str, Any]) -> str:
    """A table of the data sets that are scored, nothing where there is but one."""
    first: dict[str, Any] = next(iter(datasets.values()), {})
    if len(first) < 2:
        return ""
    header = ["accuracy on", "groups", "tracks"]
    header += [f"{name}, {unit}s" for name in datasets for unit in ("window", "track")]
    lines = []
    for dataset, part in first.items():
        cells = [
            f"{figures['accuracy']:.2f} [{low:.2f}, {high:.2f}]"
            for found in datasets.values()
            for figures in (found[dataset]["window"], found[dataset]["track"])
            for low, high in [figures["intervals"]["accuracy"]]
        ]
        counts = [f"{part['track'][count]:,}" for count in ("groups", "items")]
        lines.append([dataset or "-", *counts, *cells])
    return f"\n\nBy data set:\n\n{table(header, lines)}"


def into_card(found: dict[str, Any], folder: Path) -> None:
    """Put figures into a model's ``metrics.json``, by name, and write its card anew.

    Raises :class:`~genred.errors.InputError` if the folder has no model with figures.
    """
    from genred.model.session import load_model
    from genred_train.report import outcome

    metrics = outcome.figures_of(folder) | found
    outcome.rewrite(folder, metrics, load_model(folder / "model.onnx").metadata)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None


if __name__ == "__main__":
    sys.exit(main())
