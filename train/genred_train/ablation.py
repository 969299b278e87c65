"""``python -m genred_train.ablation``: what each part of the student's recipe brings.

Trains the recipe with one part changed at a time, all on the same fold, and
prints what that does to the figures of the fold: what is kept, and what failed.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import OutputError, UsageError
from genred_train.entry import Parser, add_lessons, answer, need

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from genred_train.recipe import Recipe

_NEEDED = ("torch", "torchaudio", "onnxruntime", "ai_edge_litert")

YAMNET_ALONE = "YAMNet alone, without musicnn"

VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "without the teacher's embedding and opinions": {"teaching": {"embedding": 0.0}},
    "without the teacher's opinions of each second": {
        "teaching": {"opinions": 0.0},
        "network": {"options": {"opinions": 0.0}},
    },
    "opinions are predicted, but no part of the logits": {
        "network": {"options": {"opinions": 0.0}}
    },
    "opinions have a say in kinds": {"network": {"options": {"opinions_of_kinds": True}}},
    "gates do not open wide where opinions are far": {
        "network": {"options": {"opinion_reset": None}}
    },
    YAMNET_ALONE: {},
    "no generated music in the teachers' opinion": {"teaching": {"opinion_generated": 0.0}},
    "the opinion's penalty by what groups held out ask for": {"teaching": {"opinion_penalty": 0.0}},
    "without unlabelled music": {"teaching": {"unlabelled": 0.0}},
    "prompts of generated music taken at their word": {"teaching": {"generated": 0.0}},
    "labels of real recordings as they are": {"teaching": {"real": 0.0}},
    "labels reach the convolutions wholly": {"teaching": {"label_gradient": 1.0}},
    "labels do not reach the convolutions": {"teaching": {"label_gradient": 0.0}},
    "validation groups left out": {"training": {"learn_validation": False}},
    "twice the dropout": {"network": {"options": {"dropout": 0.4}}},
    "without generated music": {"data": {"exclude": ["generated-*"]}},
    "clips alike, not groups": {"training": {"group_balance": 0.0}},
    "without memory": {"network": {"options": {"memory": 0}}, "training": {"caution": 0.0}},
    "memory does not settle on longer passages": {"settling": {"epochs": 0}},
    "single pieces, no changes": {"airing": {"pieces": [1.0]}},
    "without radio's processing": {
        "airing": {"compress_p": 0.0, "noise_under_p": 0.0},
        "augment": {"equalise_p": 0.0, "low_pass_p": 0.0, "noise_p": 0.0, "talk_over_p": 0.0},
    },
    "no codecs, rooms and other speeds": {"airing": {"renderings": 1}},
    "two of them for each recording, not one": {"airing": {"renderings": 3}},
    "without averaging of weights": {"training": {"average": 0.0}},
    "two networks, the mean of their logits": {"training": {"members": 2}},
    "half as wide": {
        "network": {"options": {"widths": [12, 24, 32, 48], "vector": 96, "hidden": 128}}
    },
}
"""What is changed, by name: tables of the recipe with their keys, or who is asked."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(prog="python -m genred_train.ablation", description=__doc__)
    made.add_argument("recipe", type=Path, metavar="RECIPE")
    made.add_argument("--data", type=Path, metavar="DIR", required=True, help="the recordings")
    add_lessons(made, required=True)
    made.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    made.add_argument("--folds", type=int, metavar="K", default=4, help="(default: 4)")
    made.add_argument("--only", metavar="NAME", action="append", help="only these variants")
    made.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="finished trainings are kept there"
    )
    made.add_argument(
        "--card", type=Path, metavar="DIR", help="put the table into the card of this model"
    )
    made.add_argument("--cache", type=Path, metavar="DIR", help="where decoded audio is kept")
    made.add_argument("--threads", type=int, metavar="N", help="CPU threads of PyTorch")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("ablation", lambda: _run(parser().parse_args(arguments)))


def _run(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "the ablation needs")
    from genred_train.console import Console
    from genred_train.data.cache import default_folder
    from genred_train.evaluation import folds
    from genred_train.teacher.panel import ordered

    names = chosen.only or list(VARIANTS)
    strange = [name for name in names if name not in VARIANTS]
    if strange:
        raise UsageError(f"there is no variant {strange[0]!r}", "there are: " + "; ".join(VARIANTS))
    recipe = folds.recipe_at(chosen.recipe).override(epochs=chosen.epochs)
    console, rows = Console(), {}
    for name in names:
        console.note(name)
        plan = folds.Plan(
            recipe=changed(recipe, VARIANTS[name]),
            data=chosen.data,
            cache=chosen.cache or default_folder(),
            out=chosen.out / name.replace(" ", "-").replace("'", "").replace(",", ""),
            count=chosen.folds,
            device="cpu",
            threads=chosen.threads,
            teachers=tuple(ordered(chosen.teacher)[: 1 if name == YAMNET_ALONE else None]),
            unlabelled=chosen.unlabelled,
            first=1,
        )
        found = folds.cross_validate(plan, console)
        rows[name] = {unit: _brief(found[unit]) for unit in ("window", "track")}
    whole = {"epochs": recipe.training.epochs, "folds": chosen.folds, "rows": rows}
    try:
        (chosen.out / "ablation.json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write into {chosen.out}: {error.strerror}", "") from None
    if chosen.card:
        from genred_train.yardstick import into_card

        into_card({"ablation": whole}, chosen.card)
    print(render(whole))


def changed(recipe: Recipe, tables: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe with keys of some ``tables`` replaced; options of the network one by one."""
    raw = copy.deepcopy(recipe.model_dump())
    for table, keys in tables.items():
        for key, value in keys.items():
            if isinstance(value, dict):
                raw[table][key] = {**raw[table][key], **value}
            else:
                raw[table][key] = value
    return type(recipe).model_validate(raw)


def render(found: dict[str, Any]) -> str:
    """The table in Markdown, with what each change costs or brings."""
    rows = found["rows"]
    base = rows.get("the recipe")
    lines = ["| | window macro recall | track macro recall | window macro F1 | window accuracy |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name, row in rows.items():
        cells = []
        for unit, figure in (
            ("window", "macro_recall"),
            ("track", "macro_recall"),
            ("window", "macro_f1"),
            ("window", "accuracy"),
        ):
            value = row[unit][figure]
            moved = ""
            if base is not None and row is not base:
                moved = f" ({value - base[unit][figure]:+.3f})"
            cells.append(f"{value:.3f}{moved}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return (
        f"One fold of {found['folds']}, {found['epochs']} epochs each; one seed, which alone can "
        "move a recall by several points.\n\n" + "\n".join(lines)
    )


def _brief(figures: dict[str, Any]) -> dict[str, float]:
    return {key: figures[key] for key in ("macro_recall", "macro_f1", "accuracy", "ece")}


if __name__ == "__main__":
    sys.exit(main())
