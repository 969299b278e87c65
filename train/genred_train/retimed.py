"""``python -m genred_train.retimed``: a model's network at other rates of decisions, to be timed.

A model decides as often as it was made to, once a hop. What it would cost at another rate is
measured on the same network, untrained, exported with another hop: for timing alone, its answers
mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genred.errors import ConfigError, GenredError
from genred.model.metadata import Network as NetworkMetadata
from genred.model.session import FILE_NAME, load_model
from genred_train.export import lean, macs, model_file
from genred_train.export.step import Step
from genred_train.peers.job import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.model.metadata import ModelMetadata


def retime(metadata: ModelMetadata, rate: float, folder: Path) -> Path:
    """Write a ``model.onnx`` that decides ``rate`` times a second into ``folder``.

    Raises :class:`ConfigError` where the network's strides or the front end do not fit.
    """
    hop = metadata.sample_rate / rate
    if hop % metadata.front_end.hop_length:
        raise ConfigError(
            f"a hop of {hop:g} samples is no multiple of the front end's "
            f"{metadata.front_end.hop_length}"
        )
    if hop > metadata.window:
        raise ConfigError("a hop must not be longer than the window")
    job = Job(metadata, None)
    network = lean.rounded(job.network(), job.recipe().export.weights)  # as a model is exported
    try:
        step = Step(network, metadata.front_end, metadata.sample_rate, int(hop))
        graph = model_file.build_graph(step)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"the network cannot: {str(error).splitlines()[0]}") from None
    cost = macs.count(graph)
    told = metadata.model_copy(
        update={
            "name": f"{metadata.name}, untrained, {rate:g} decisions a second",
            "hop": int(hop),
            "state_size": step.state_size,
            "network": NetworkMetadata(
                name=metadata.network.name,
                parameters=sum(each.numel() for each in network.parameters()),
                network_macs_per_step=cost.network,
                front_end_macs_per_step=cost.front_end,
            ),
        }
    )
    path = folder / FILE_NAME
    model_file.write(graph, told, path)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a model a rate; print a line of JSON for each, with its path or why there is none."""
    parser = argparse.ArgumentParser(prog="python -m genred_train.retimed", description=__doc__)
    parser.add_argument("rates", type=float, nargs="+", help="decisions a second")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder for each goes in here")
    args = parser.parse_args(arguments)
    metadata = load_model(args.model).metadata
    for rate in args.rates:
        try:
            path = retime(metadata, rate, args.out / f"{rate:g}")
            load_model(path)
            answer = {"rate": rate, "model": str(path)}
        except GenredError as error:
            answer = {"rate": rate, "error": str(error)}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
