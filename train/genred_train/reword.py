"""``python -m genred_train.reword``: puts a recipe's words into a model trained by it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genred.errors import InputError
from genred_train.entry import Parser, answer, need

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_DESCRIPTION = """\
Put the [card] of a recipe into a model that was trained by it, and write its MODEL_CARD.md anew:
words change more often than networks. A recipe that differs in more than its card is refused."""

_NEEDED = ("onnx", "onnxruntime")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(prog="python -m genred_train.reword", description=_DESCRIPTION)
    made.add_argument(
        "recipe", type=Path, metavar="RECIPE", help="with the words as they should be"
    )
    made.add_argument("model", type=Path, metavar="MODEL", help="folder of the model")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("genred_train.reword", lambda: _reword(parser().parse_args(arguments)))


def _reword(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "rewording needs")
    import onnx

    from genred.model.session import load_model
    from genred_train import recipe as recipes
    from genred_train.export import model_file
    from genred_train.report import outcome

    path = chosen.model / "model.onnx"
    metadata = load_model(path).metadata
    wanted = recipes.load(chosen.recipe)
    was = recipes.Recipe.model_validate_json(metadata.training.recipe)
    mine, theirs = wanted.model_dump(exclude={"card"}), was.model_dump(exclude={"card"})
    other = [name for name in mine if mine[name] != theirs[name]]
    if other:
        raise InputError(
            f"{chosen.model} was trained with another [{other[0]}] than {chosen.recipe} has",
            "give the recipe it was trained by, with other words in [card]",
        )
    metrics = outcome.figures_of(chosen.model)
    told = metadata.training.model_copy(update={"recipe": wanted.model_dump_json()})
    now = metadata.model_copy(update={"training": told, "license": wanted.card.license})
    model_file.write(onnx.load(path), now, path)
    metrics["model"] |= {"bytes": path.stat().st_size, "license": wanted.card.license}
    outcome.rewrite(chosen.model, metrics, now)


if __name__ == "__main__":
    sys.exit(main())
