"""Where a network's first weights come from, if not from chance: another run."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import torch

from genred.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

CHECKPOINT = "best.pt"

_HINT = "name the folder of a run, its best.pt, or the model.onnx beside it"


def member(folder: Path, number: int) -> Path:
    """Where in the ``folder`` of a run of several networks the checkpoints of one are, from 0."""
    return folder / f"member-{number + 1}"


def weights(path: Path, number: int = 0) -> dict[str, Tensor]:
    """The weights of the best epoch of a run: its folder, a checkpoint or its ``model.onnx``.

    Of a run of several networks those of one, ``number``; where it has fewer, it begins with the
    first again. A model file by itself does not hold them (its layers are folded into one another);
    they are read from the checkpoint beside it. Raises :class:`InputError` if there is none.
    """
    file = path / CHECKPOINT if path.is_dir() else path
    if file.suffix == ".onnx":
        file = file.with_name(CHECKPOINT)
    several = len(list(file.parent.glob(f"member-*/{CHECKPOINT}")))
    if several and not file.exists():
        file = member(file.parent, number % several) / CHECKPOINT
    elif path.suffix == ".onnx" and path.is_file() and not file.exists():
        raise InputError(
            f"there is no {CHECKPOINT} beside {path}, and a model file alone does not hold "
            "weights to train on",
            _HINT,
        )
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        # `last.pt` has the best weights apart from the newest.
        found = state.get("best") or state["network"]
        found = {str(name): torch.as_tensor(value) for name, value in found.items()}
    except FileNotFoundError:
        raise InputError(f"there is no {file}", _HINT) from None
    except (
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
    ) as error:
        told = str(error).splitlines()
        raise InputError(
            f"{file} is no checkpoint of a run: {told[0] if told else type(error).__name__}", _HINT
        ) from None
    return found
