"""``python -m genred_train.tune``: finds how a daemon should judge by a model, and tells it so."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import InputError, TemporaryError, UsageError
from genred_train.entry import Parser, answer, need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from genred.model.metadata import Judging
    from genred.model.session import Model
    from genred_train.console import Console
    from genred_train.evaluation.onair import Heard
    from genred_train.evaluation.replay import Recorded
    from genred_train.evaluation.tuning import Trial

_DESCRIPTION = """\
Tune how the daemon judges by a model: how sticky its smoother is, how much a decision weighs,
from what confidence on a label is said, and how sure it is shown to be. Tried on hours of radio
stitched from validation groups alone, or with --folds from the groups of each fold of a
cross-validation, as heard by the model that was not trained on them, without those of the model's
own test split. Kept in the model file, from which the daemon takes what its settings leave open.
Figures and card beside the model are brought up to date; with --folds also by what each fold's
model comes to on the air when it is judged as is best for the others: all groups, each unheard."""

_EPILOG = """\
example:  python -m genred_train.tune models/compact --data ~/music-by-genre"""

_NEEDED = ("torch", "torchaudio", "onnx", "onnxruntime")

# Some three thousand pieces. What is found on eight hours hangs on a few false changes: by folds
# it then came to three an hour more than where it was found.
_HOURS = 32.0
_SHOWN = 5

# Many short programmes are heard faster, in larger batches, than a few long ones.
_PROGRAMME_HOURS = 0.25


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="python -m genred_train.tune",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "model", type=Path, metavar="MODEL", help="a model.onnx or its folder; it is written anew"
    )
    made.add_argument("--data", type=Path, metavar="DIR", required=True, help="the recordings")
    made.add_argument(
        "--folds",
        type=Path,
        metavar="DIR",
        help="the folds of the recipe's cross-validation, a model in each",
    )
    made.add_argument("--hours", type=float, default=_HOURS, metavar="H", help="of radio")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="of radio and search")
    made.add_argument("--dry-run", action="store_true", help="only say what would be chosen")
    made.add_argument("--cache", type=Path, metavar="DIR", help="where decoded audio is kept")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("genred_train.tune", lambda: _tune(parser().parse_args(arguments)))


def _tune(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "tuning needs")
    # Imported here: what is above must work without torch.
    import numpy as np

    from genred.model.session import load_model
    from genred_train.console import Console
    from genred_train.data.cache import default_folder
    from genred_train.evaluation import noticing, programme, replay, subject, tuning

    if not chosen.hours > 0:
        raise UsageError("--hours wants a number above 0")
    console = Console()
    model = load_model(chosen.model)
    cache = chosen.cache or default_folder()
    apart: list[Recorded] = []
    alone: list[NDArray[np.int8]] = []
    if chosen.folds:
        for part, windows in _by_folds(model, chosen, cache, console):
            apart.append(part)
            alone.append(windows)
        recorded = replay.joined(model.metadata, apart)
    else:
        selection = subject.select(model.metadata, chosen.data, cache, console, split="val")
        if not selection.same_data:
            console.note("note: this is not the data that the model was made from; see its card")
        programmes = programme.hours(
            selection.corpus, selection.positions, chosen.hours, chosen.seed, _PROGRAMME_HOURS
        )
        with console.progress("Listening to the radio") as progress:
            recorded = replay.record(model, programmes, progress)
    with contextlib.ExitStack() as stack:
        beside: list[Future[Heard]] = []
        if apart:
            # Started afresh: a fork of a process with threads may hang.
            workers = min(len(apart), os.cpu_count() or 1)
            pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            stack.enter_context(pool)
            beside = [
                pool.submit(tuning.unheard, apart, number, chosen.seed, tuning.WHOLE)
                for number in range(len(apart))
            ]
        with console.progress("Trying judgements") as progress:
            best, trials = tuning.tune(recorded, chosen.seed, progress, tuning.WHOLE)
        plain = tuning.as_it_is(recorded, chosen.seed)
        _show(best, trials, plain)
        told = _told(best, plain, chosen)
        if beside:
            with console.progress("Trying them fold by fold"):
                heard = noticing.joined([_waited_for(each) for each in beside])
            told["unheard"] = noticing.collect(heard, chosen.seed, np.concatenate(alone))
            _show_unheard(told["unheard"])
    if not chosen.dry_run:
        _keep(chosen.model, best.judging, told)


def _waited_for(beside: Future[Heard]) -> Heard:
    try:
        return beside.result()
    except BrokenProcessPool:
        raise TemporaryError(
            "a process that tried judgements fold by fold was ended from outside, perhaps for "
            "want of memory; the model is as it was",
            "tune again with more memory free, or over fewer --hours",
        ) from None


def _by_folds(
    model: Model, chosen: argparse.Namespace, cache: Path, console: Console
) -> Iterator[tuple[Recorded, NDArray[np.int8]]]:
    """Hours of radio in equal parts of each fold's groups, heard by that fold's model.

    With each, what windows by themselves come to.
    """
    import numpy as np

    from genred.model.session import load_model
    from genred_train.data import corpus as corpora
    from genred_train.evaluation import folds, onair, programme, replay, subject

    recipe, known = subject.recipe_of(model.metadata)
    corpus = corpora.load(recipe, chosen.data, cache, console)
    if not known or corpus.fingerprint != model.metadata.training.data_fingerprint:
        raise InputError(
            f"{chosen.data} is not the data that the model was made from",
            "folds are of that data: name it, or tune without --folds",
        )
    plan = folds.found(recipe, corpus, chosen.folds)
    calibrated = recipe.training.learn_validation
    corrections = folds.corrections(recipe, corpus, chosen.folds) if calibrated else []
    for number, part in enumerate(folds.parts(corpus, plan)):
        own = [position for position in part.of("test") if corpus.entries[position].split != "test"]
        programmes = programme.hours(
            part, own, chosen.hours / plan.count, chosen.seed + number, _PROGRAMME_HOURS
        )
        heard_by = load_model(chosen.folds / f"fold-{number + 1}", feeds=len(programmes))
        with console.progress(f"Listening to the radio of fold {number + 1}") as progress:
            heard = replay.record(heard_by, programmes, progress)
        by = corrections[number] if calibrated else None
        with console.progress("The same, window by window") as progress:
            by_themselves = onair.alone(heard_by, programmes, progress, by.added() if by else 0.0)
        if by:
            # Played back with the temperature of the tuned model, yet as sure as with its own.
            warmth = model.metadata.calibration.temperature / by.temperature
            windows = np.arange(1, len(heard.logits) + 1) * recipe.audio.hop / recipe.audio.whole
            logits = by.shifted(heard.logits, windows[:, None]) * np.float32(warmth)
            heard = replace(heard, logits=logits)
        yield replace(heard, metadata=model.metadata), by_themselves


def _told(best: Trial, plain: Trial, chosen: argparse.Namespace) -> dict[str, Any]:
    """What stands in ``metrics.json`` of the tuning."""
    from genred_train.evaluation import tuning

    return {
        "split": "folds" if chosen.folds else "val",
        "hours": chosen.hours,
        "seed": chosen.seed,
        "tuned": tuning.brief(best.figures),
        "settings_alone": tuning.brief(plain.figures),
    }


def _keep(path: Path, judging: Judging, told: dict[str, Any]) -> None:
    import onnx

    from genred.model.session import FILE_NAME, load_model
    from genred_train.export import model_file
    from genred_train.report import outcome

    file = path / FILE_NAME if path.is_dir() else path
    graph = onnx.load(file)
    metadata = load_model(file).metadata.model_copy(update={"judging": judging})
    model_file.write(graph, metadata, file)
    if (file.parent / outcome.METRICS).exists():
        metrics = outcome.figures_of(file.parent)
        metrics["model"]["bytes"] = file.stat().st_size
        metrics["judging"] = judging.model_dump()
        metrics["tuning"] = told
        # What was heard with another judgement is no longer true of this file.
        metrics.pop("stream", None)
        outcome.rewrite(file.parent, metrics, metadata)
    print(f"kept in {file}")


def _show(best: Trial, trials: Sequence[Trial], plain: Trial) -> None:
    import rich.console
    from rich.table import Table

    from genred_train.evaluation import tuning

    screen = rich.console.Console(highlight=False)
    if not screen.is_terminal:
        screen.width = max(screen.width, 150)
    keys = list(best.judging.model_dump())
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    rows = [("chosen", best), *((str(n), t) for n, t in enumerate(trials[1:_SHOWN], start=2))]
    rows.append(("settings alone", plain))
    for name, _ in rows:
        table.add_column(name, justify="right")
    for key in keys:
        table.add_row(key, *(f"{getattr(trial.judging, key):g}" for _, trial in rows))
    for key in tuning.brief(best.figures):
        table.add_row(key, *(f"{tuning.brief(trial.figures)[key]:.3f}" for _, trial in rows))
    table.add_row("liking", *(f"{trial.liking:.2f}" for _, trial in rows))
    screen.print(table)
    print(f"of {len(trials)} judgements tried on all of it")


def _show_unheard(figures: dict[str, Any]) -> None:
    import rich.console

    from genred_train.evaluation import airtables

    rich.console.Console(highlight=False).print(airtables.render_unheard(figures))


if __name__ == "__main__":
    sys.exit(main())
