"""``make lab``: every recipe on one's own data, one after another, and the table of all."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import GenredError
from genred_train.entry import Parser, answer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from genred_train.console import Console
    from genred_train.recipe import Recipe

_DESCRIPTION = """\
Train all recipes on one's own recordings, cheapest first, and lay them side by side. A run that is
whole in --out is not trained again; one that was broken off goes on after its last whole epoch."""

# Cheapest first, so that there is something to look at soon.
ORDER = (
    "mfcc-mlp-arrays",
    "mfcc-mlp",
    "melgram-cnn",
    "sequential",
    "compact",
    "cnn3",
    "crnn",
)

# Where the arrays lie beside the recordings, if they are there.
ARRAYS = "music_genre_data_di"

# What a recipe says and a run does not depend on.
_TOLD = {"card", "published"}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(prog="python -m genred_train.lab", description=_DESCRIPTION)
    made.add_argument("--data", type=Path, metavar="DIR", required=True, help="the recordings")
    made.add_argument("--recipes", type=Path, metavar="DIR", default=Path("configs/train"))
    made.add_argument("--only", metavar="A,B,…", help="these recipes alone")
    made.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("runs/lab"), help="a folder for each run"
    )
    made.add_argument(
        "--shipped",
        type=Path,
        metavar="DIR",
        default=Path("models"),
        help="runs that were kept; what stands there of a recipe is not trained again",
    )
    made.add_argument(
        "--update", type=Path, metavar="FILE", help="put the table between the markers of a file"
    )
    made.add_argument("--html", type=Path, metavar="FILE", help="write a page with all runs")
    made.add_argument("--cache", type=Path, metavar="DIR", help="where decoded audio is kept")
    made.add_argument("--device", choices=("cpu", "cuda", "auto"), default="auto")
    made.add_argument("--threads", type=int, metavar="N", help="CPU threads of PyTorch")
    made.add_argument("--epochs", type=int, metavar="N", help="in place of every recipe's")
    made.add_argument(
        "--minutes", type=float, metavar="N", help="for each recipe; begin no epoch after so long"
    )
    made.add_argument(
        "--evaluate",
        action="store_true",
        help="also judge each model file as the daemon would hear the recordings",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer(
        "lab",
        lambda: _lab(parser().parse_args(arguments)),
        stopped="stopped; the next call goes on from here",
    )


def _lab(chosen: argparse.Namespace) -> int:
    from genred_train.console import Console
    from genred_train.recipe import load

    names = chosen.only.split(",") if chosen.only else ORDER
    recipes = [load(chosen.recipes / f"{name}.toml") for name in names]
    console = Console()
    failed = 0
    folders = []
    for recipe in recipes:
        try:
            folders.append(_one(recipe.override(epochs=chosen.epochs), chosen, console))
        except GenredError as error:
            # One recipe that the data does not suit must not cost the others.
            console.note(f"{recipe.name}: {error}")
            failed = failed or error.exit_code
    if folders:
        missing = [
            recipe
            for name in ORDER
            if (path := chosen.recipes / f"{name}.toml").exists()
            and (recipe := load(path)).data.source == "audio"
            and recipe.name not in {folder.name for folder in folders}
        ]
        _compare(folders, missing, chosen)
    return failed


def _one(recipe: Recipe, chosen: argparse.Namespace, console: Console) -> Path:
    """Train one recipe unless it is done; returns the folder of its run."""
    from genred_train import arrays_run, evaluate, run
    from genred_train.data.cache import default_folder
    from genred_train.team import Team

    rows = recipe.data.source == "arrays"
    folder: Path = chosen.out / recipe.name
    for there in (chosen.shipped / recipe.name, folder):
        if finished(there, recipe, chosen.minutes):
            console.note(f"{recipe.name}: done, in {there}")
            folder = there
            break
    else:
        console.note(f"{recipe.name}: into {folder}")
        options = run.Options(
            data=chosen.data / ARRAYS if rows else chosen.data,
            out=folder,
            cache=chosen.cache or default_folder(),
            device=chosen.device,
            threads=chosen.threads,
            resume=_begun(folder, recipe),
            minutes=chosen.minutes,
        )
        (arrays_run.train if rows else run.train)(recipe, options, console, Team())
    judged = chosen.out / recipe.name / "evaluation"
    if chosen.evaluate and not rows and not (judged / "metrics.json").exists():
        code = evaluate.main([str(folder), "--data", str(chosen.data), "--out", str(judged)])
        if code:
            console.note(f"{recipe.name}: could not be evaluated")
    return folder


def finished(folder: Path, recipe: Recipe, minutes: float | None = None) -> bool:
    """Whether ``folder`` holds a whole run of ``recipe``, as far as the run depends on it.

    One that was stopped because its time was up is whole for whoever gives it no more time than
    it had: ``minutes``, None for as long as it takes.
    """
    try:
        training = json.loads((folder / "metrics.json").read_bytes())["training"]
    except (OSError, ValueError, KeyError):
        return False
    if "time" in training.get("stopped", "") and (
        minutes is None or training["seconds"] < minutes * 60
    ):
        return False
    if recipe.data.source == "arrays":
        return _begun(folder, recipe)
    from genred.model.session import load_model

    try:
        told = load_model(folder).metadata.training.recipe
    except GenredError:
        return False
    return _same(recipe, told)


def _begun(folder: Path, recipe: Recipe) -> bool:
    """Whether a run of ``recipe`` was begun in ``folder``."""
    import torch

    try:
        state = torch.load(folder / "last.pt", map_location="cpu", weights_only=True)
        return _same(recipe, json.dumps(state["recipe"]))
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is nothing to go on from
        return False


def _same(recipe: Recipe, told: str) -> bool:
    from pydantic import ValidationError

    from genred_train.recipe import Recipe as Recipes

    try:
        other = Recipes.model_validate_json(told)
    except ValidationError:
        return False
    return recipe.model_dump(exclude=_TOLD) == other.model_dump(exclude=_TOLD)


def _compare(
    folders: Sequence[Path], missing: Sequence[Recipe], chosen: argparse.Namespace
) -> None:
    from genred_train.report import comparison, page

    runs = [comparison.read(folder) for folder in folders]
    audio = [run for run in runs if run.speed is not None]
    text = comparison.markdown(audio, missing) if audio else ""
    for run in runs:
        if run.speed is None:
            text += "\n" + of_rows(run.metrics)
    print(text, end="")
    if chosen.update:
        comparison.put_into(chosen.update, text)
    if chosen.html and audio:
        made = page.of_comparison(
            comparison.HEADERS, comparison.rows(audio), comparison.notes(audio)
        )
        chosen.html.write_text(made, encoding="utf-8")


def of_rows(metrics: dict[str, Any]) -> str:
    """What a run on rows came to, as Markdown: figures and confusion matrix of its test split."""
    test, training = metrics["test"]["window"], metrics["training"]
    labels = [label["name"] for label in metrics["data"]["labels"]]
    sizes = [
        f"{sum(row['rows'] for row in rows)} {split}"
        for split, rows in metrics["data"]["by_split"].items()
    ]
    there = "CPU" if training["device"] == "cpu" else "GPU"
    other = "GPU" if there == "CPU" else "CPU"
    low, high = test["intervals"]["macro_f1"]
    told = (
        f"`{metrics['name']}`, on its own rows ({', '.join(sizes)}; data "
        f"{metrics['data']['fingerprint'][:12]}): test accuracy {test['accuracy']:.3f}, macro F1 "
        f"{test['macro_f1']:.3f} [{low:.3f}, {high:.3f}], epoch {training['best_epoch']} of "
        f"{training['epochs']}, {metrics['model']['parameters']:,} parameters. Trained in "
        f"{training['seconds']:.1f} s on the {there}; on a {other} not measured. Rows stand for "
        "themselves: which came of one recording is not known, so that the interval is too narrow."
    )
    lines = [
        told,
        "",
        "| is, below; was taken for | " + " | ".join(labels) + " |",
        "| --- |" + " ---: |" * len(labels),
    ]
    for label, row in zip(labels, test["confusion"], strict=True):
        lines.append(f"| {label} | " + " | ".join(str(count) for count in row) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
