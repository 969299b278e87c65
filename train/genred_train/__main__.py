"""``genred train`` and ``python -m genred_train``: trains a model from a recipe and data."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import UsageError
from genred_train.entry import Parser, add_lessons, answer, need

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Train a model from a recipe and a folder of recordings.

DIR is a folder with one sub-folder a genre (any format FFmpeg decodes; sub-folders of a genre
are taken for artists), or a folder with a manifest.csv (path,label,group,split). No group, and so
no artist, stands on both sides of a split."""

_EPILOG = """\
Into --out go model.onnx, metrics.json, MODEL_CARD.md, report.html with its pictures, history.csv,
training.log, TensorBoard events and the checkpoints best.pt and last.pt.

Several GPUs, or processes on one CPU, train together with PyTorch's own torchrun.

examples: genred train configs/train/compact.toml --data ~/music-by-genre
          torchrun --nproc-per-node 2 -m genred_train configs/train/crnn.toml --data ~/music \\
              --out runs/crnn
"""

# What the lab needs beyond the daemon.
_NEEDED = (
    "torch",
    "torchaudio",
    "onnx",
    "onnxscript",
    "matplotlib",
    "onnxruntime",
    "jinja2",
    "tensorboard",
)


def parser() -> argparse.ArgumentParser:
    """The command line of ``genred train``."""
    made = Parser(
        prog="genred train",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file")
    made.add_argument(
        "--data", type=Path, metavar="DIR", required=True, help="the recordings (see above)"
    )
    made.add_argument(
        "--out", type=Path, metavar="DIR", help="where results go (default: runs/RECIPE-TIME)"
    )
    made.add_argument(
        "--device",
        choices=("cpu", "cuda", "auto"),
        default="auto",
        help="where to train (default: auto, CUDA where there is one)",
    )
    made.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where decoded audio is kept (default: $XDG_CACHE_HOME/genred)",
    )
    made.add_argument(
        "--labels",
        metavar="A,B,…",
        help="train on these labels in place of the recipe's; 'data' takes all there are",
    )
    made.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out after its last whole epoch",
    )
    made.add_argument(
        "--init-from",
        type=Path,
        metavar="MODEL",
        help="begin with another run's weights (its folder, checkpoint, or model.onnx in it), all "
        "but the layer of logits; see training.freeze",
    )
    add_lessons(made, required=False)
    made.add_argument(
        "--folds",
        type=Path,
        metavar="DIR",
        help="where the recipe was cross-validated (genred evaluate --cross-validate, --out): "
        "calibrates where training.learn_validation leaves nothing else to do it by",
    )
    made.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="begin no epoch after so long, and export what there is",
    )
    made.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    made.add_argument(
        "--time-devices",
        action="store_true",
        help="train a few epochs (--epochs, or 3) on the CPU and on the GPU, print both times and "
        "keep nothing",
    )
    made.add_argument("--seed", type=int, metavar="N", help="in place of the recipe's")
    made.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads of PyTorch (default: all cores)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :mod:`genred.errors`)."""
    return answer("genred train", lambda: _train(parser().parse_args(arguments)))


def _train(chosen: argparse.Namespace) -> None:
    need(_NEEDED, "training needs")
    # Imported here: what is above must work without torch.
    import rich.console

    from genred_train import arrays_run, devices, run
    from genred_train.console import Console
    from genred_train.data.cache import default_folder
    from genred_train.recipe import load
    from genred_train.team import joined

    recipe = load(chosen.recipe).override(
        labels=chosen.labels, epochs=chosen.epochs, seed=chosen.seed
    )
    if chosen.threads is not None and chosen.threads < 1:
        raise UsageError("--threads must be at least 1")
    if chosen.minutes is not None and not chosen.minutes > 0:
        raise UsageError("--minutes must be above 0")
    if chosen.resume and not chosen.out:
        raise UsageError("--resume needs --out", "name the folder of the run to go on with")
    if chosen.unlabelled and not chosen.teacher:
        raise UsageError("--unlabelled needs --teacher", "nobody else knows what it is")
    console = Console()
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    options = run.Options(
        data=chosen.data,
        out=chosen.out or Path("runs") / f"{recipe.name}-{stamp}",
        cache=chosen.cache or default_folder(),
        device=chosen.device,
        threads=chosen.threads,
        resume=chosen.resume,
        init_from=chosen.init_from,
        minutes=chosen.minutes,
        teachers=tuple(chosen.teacher or ()),
        unlabelled=chosen.unlabelled,
        folds=chosen.folds,
    )
    if chosen.time_devices:
        recipe = recipe.override(epochs=chosen.epochs or devices.EPOCHS)
        for timed in devices.compare(recipe, options, console):
            print(timed.line)
        return
    with joined(chosen.device) as team:
        if not team.leads:
            console = Console(rich.console.Console(quiet=True))
        work = arrays_run.train if recipe.data.source == "arrays" else run.train
        metrics = work(recipe, options, console, team)
        if team.leads:
            print(_summary(metrics, options.out))


def _summary(metrics: dict[str, Any], folder: Path) -> str:
    if "bytes" in metrics["model"]:
        lines = [f"{folder / 'model.onnx'}  ({metrics['model']['bytes']:,} bytes)"]
    else:
        lines = [f"{folder}  (rows are no audio: no model.onnx)"]
    for unit, test in metrics["test"].items():
        lines.append(
            f"test, per {unit}: accuracy {test['accuracy']:.3f}, macro recall "
            f"{test['macro_recall']:.3f}, macro F1 {test['macro_f1']:.3f}, ECE {test['ece']:.3f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
