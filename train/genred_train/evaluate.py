"""``genred evaluate`` and ``python -m genred_train.evaluate``: says how good a model is."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import OutputError, UsageError
from genred_train.entry import Parser, answer, need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred_train.evaluation.listening import Answers
    from genred_train.evaluation.subject import Selection

_DESCRIPTION = """\
Judge a model file on recordings, as the daemon would hear them: accuracy, macro precision, recall
and F1 with intervals, label by label, confusion, calibration; per window, per track and per group
(artist, speaker, recording).

On the data it was made from, a model is judged on its own test split, which it has not heard; on
other data, on all groups that it is not known to have heard. Intervals are bootstrapped over
groups, not over windows.

With --stream, the same recordings are also stitched into hours of radio with known boundaries
(music, speech between, silence; cross-fades and cuts), which the daemon's own path hears: how
often the label is right, how soon a change is announced, how many are false. With --robustness,
they are judged again quieter, as MP3, low-passed, in noise.

DIR is a folder with one sub-folder a label, or with a manifest.csv, as for genred train. With
--cross-validate K, MODEL is a recipe (or a model file, for the recipe it was made by), which is
trained K times, each time judged on the groups that were held out."""

_EPILOG = """\
examples:  genred evaluate models/compact --data ~/music-by-genre
           genred evaluate models/compact --data ~/music-by-genre --stream --out judged
           genred evaluate --cross-validate 5 configs/train/compact.toml --data ~/music-by-genre"""

_NEEDED = ("torch", "torchaudio", "onnx", "matplotlib", "onnxruntime")

# Long enough for the false changes of an hour to be counted in dozens, a minute to hear.
_HOURS = 4.0

# Less radio has no boundaries to speak of; so much of it takes hours to hear.
_FEWEST_HOURS, _MOST_HOURS = 0.1, 1000.0

# Fewer folds are no cross-validation.
_FEWEST_FOLDS = 2


def parser() -> argparse.ArgumentParser:
    """The command line of ``genred evaluate``."""
    made = Parser(
        prog="genred evaluate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "model", type=Path, metavar="MODEL", help="a model.onnx or its folder; or a recipe"
    )
    made.add_argument(
        "--data", type=Path, metavar="DIR", required=True, help="the recordings (see above)"
    )
    made.add_argument(
        "--split",
        choices=("unseen", "test", "val", "train", "all", "manifest"),
        default="unseen",
        help="what to judge (default: unseen); manifest: the rows of its val and test",
    )
    made.add_argument("--labels", metavar="A,B,…", help="judge recordings of these labels alone")
    made.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write metrics.json, tracks.csv, pictures and report.html there",
    )
    made.add_argument(
        "--stream", action="store_true", help="also judge hours of radio made of the recordings"
    )
    made.add_argument(
        "--hours", type=float, metavar="H", help=f"of radio, at --stream (default: {_HOURS:g})"
    )
    made.add_argument("--robustness", action="store_true", help="also judge the recordings treated")
    made.add_argument(
        "--card",
        action="store_true",
        help="put what --stream and --robustness find into the metrics.json and MODEL_CARD.md "
        "that lie beside the model",
    )
    made.add_argument("--json", action="store_true", help="all figures as JSON, instead of tables")
    made.add_argument(
        "--cross-validate",
        type=int,
        metavar="K",
        help="train the recipe K times over folds of whole groups (with --out: finished folds are "
        "kept, and taken up by the next call)",
    )
    made.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    made.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of bootstrap, folds and radio"
    )
    made.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where decoded audio is kept (default: $XDG_CACHE_HOME/genred)",
    )
    made.add_argument(
        "--device", choices=("cpu", "cuda", "auto"), default="auto", help="where folds are trained"
    )
    made.add_argument("--threads", type=int, metavar="N", help="CPU threads of PyTorch for folds")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("genred evaluate", lambda: _judge(parser().parse_args(arguments)))


def _judge(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "judging needs")
    if chosen.cross_validate is None:
        _evaluate(chosen)
    else:
        _cross_validate(chosen)


def _evaluate(chosen: argparse.Namespace) -> None:
    # Imported here: what is above must work without torch.
    from genred.model.session import load_model
    from genred_train.console import Console
    from genred_train.data.cache import default_folder
    from genred_train.evaluation import (
        airtables,
        figures,
        listening,
        noticing,
        onair,
        programme,
        robustness,
        subject,
        tables,
    )
    from genred_train.report import outcome

    hours = _checked(chosen)
    model = load_model(chosen.model, feeds=listening.FEEDS)
    console = Console()
    selection = subject.select(
        model.metadata,
        chosen.data,
        chosen.cache or default_folder(),
        console,
        split=chosen.split,
        labels=_labels(chosen.labels),
    )
    with console.progress("Listening") as progress:
        answers = listening.listen(model, selection.corpus, selection.positions, progress)
    found = figures.collect(selection, answers, model.metadata, chosen.seed)
    heard = None
    if chosen.stream:
        programmes = programme.hours(selection.corpus, selection.positions, hours, chosen.seed)
        with console.progress("Listening to the radio") as progress:
            heard = onair.listen(model, programmes, progress)
        with console.progress("Listening to single windows") as progress:
            alone = onair.alone(model, programmes, progress)
        found["stream"] = noticing.collect(heard, chosen.seed, alone)
    if chosen.robustness:
        found["robustness"] = robustness.measure(
            model, selection.corpus, selection.positions, answers, console
        )
    if chosen.out:
        _write_out(found, selection, answers, chosen.out)
        outcome.write(found, heard, model.metadata, chosen.out)
    if chosen.card:
        outcome.into_card(found, heard, model)
    if chosen.json:
        print(json.dumps(found, indent=1))
        return
    _show(tables.render(found))
    if chosen.stream:
        _show("")
        _show(airtables.render(found["stream"]))
    if chosen.robustness:
        _show("")
        _show(airtables.render_treatments(found["robustness"]))


def _checked(chosen: argparse.Namespace) -> float:
    """Hold the options of an evaluation against each other; returns the hours of radio."""
    if chosen.epochs is not None:
        raise UsageError("--epochs goes with --cross-validate alone")
    if chosen.hours is not None and not chosen.stream:
        raise UsageError("--hours goes with --stream")
    if chosen.card and not (chosen.stream or chosen.robustness):
        raise UsageError("--card goes with --stream or --robustness")
    hours: float = _HOURS if chosen.hours is None else chosen.hours
    if not _FEWEST_HOURS <= hours <= _MOST_HOURS:
        raise UsageError(f"--hours wants a number from {_FEWEST_HOURS:g} to {_MOST_HOURS:g}")
    return hours


def _cross_validate(chosen: argparse.Namespace) -> None:
    from genred_train.console import Console
    from genred_train.data.cache import default_folder
    from genred_train.evaluation import folds, tables

    if chosen.cross_validate < _FEWEST_FOLDS:
        raise UsageError("--cross-validate wants at least 2 folds")
    if chosen.split != "unseen" or chosen.labels:
        raise UsageError("--split and --labels do not go with --cross-validate")
    if chosen.stream or chosen.robustness or chosen.card or chosen.hours is not None:
        raise UsageError(
            "--stream, --robustness, --hours and --card want a model; they do not go with "
            "--cross-validate"
        )
    recipe = folds.recipe_at(chosen.model).override(epochs=chosen.epochs)
    plan = folds.Plan(
        recipe=recipe,
        data=chosen.data,
        cache=chosen.cache or default_folder(),
        out=chosen.out,
        count=chosen.cross_validate,
        seed=chosen.seed,
        device=chosen.device,
        threads=chosen.threads,
    )
    found = folds.cross_validate(plan, Console())
    if chosen.out:
        _write_pictures(found, found["model"]["labels"], chosen.out, "held out")
        _write(chosen.out / "metrics.json", json.dumps(found, indent=1) + "\n")
    if chosen.json:
        print(json.dumps(found, indent=1))
    else:
        _show(tables.render_folds(found))


def _labels(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--labels names no label")
    return names


def _write_out(found: dict[str, Any], selection: Selection, answers: Answers, folder: Path) -> None:
    from genred_train.evaluation import figures

    _make(folder)
    _write_pictures(found, found["model"]["labels"], folder, found["data"]["split"])
    rows = figures.track_rows(answers, selection.corpus, found["model"]["temperature"])
    try:
        with (folder / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder / 'tracks.csv'}: {error.strerror}", "make room there"
        ) from None
    _write(folder / "metrics.json", json.dumps(found, indent=1) + "\n")


def _write_pictures(found: dict[str, Any], labels: list[str], folder: Path, what: str) -> None:
    from genred_train import plots
    from genred_train.report import pictures

    _make(folder)
    try:
        with pictures.theme(dark=False):
            plots.confusion_matrix(
                [
                    (f"{what}, {unit}s (% of row)", found[unit]["confusion"])
                    for unit in ("window", "track")
                ],
                labels,
                folder / "confusion.png",
            )
            pictures.reliability(
                [
                    (f"{unit}s", found[unit]["reliability"], found[unit]["ece"])
                    for unit in ("window", "track")
                ],
                folder / "reliability.png",
            )
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}", "make room") from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make {folder}: {error.strerror}", "choose another --out"
        ) from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "make room there") from None


def _show(renderable: Any) -> None:
    import rich.console

    screen = rich.console.Console(highlight=False)
    if not screen.is_terminal:
        # A file or a pipe has no width; tables must not break their numbers for it.
        screen.width = max(screen.width, 120)
    screen.print(renderable)


if __name__ == "__main__":
    sys.exit(main())
