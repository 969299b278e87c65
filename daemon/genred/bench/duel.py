"""genred beside what people would use in its place: the same audio, in alternation, on one core."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.bench.daemon import middle
from genred.bench.sound import programme
from genred.bench.worker import Worker
from genred.errors import UnavailableError

if TYPE_CHECKING:
    from genred.model.metadata import ModelMetadata

AUDIO_S: Final = 20.0

PEERS: Final = {
    "yamnet": "YAMNet, LiteRT with XNNPACK",
    "plain": "torchaudio mel + PyTorch network, window by window",
    "librosa_mel": "librosa mel + the network in onnxruntime, window by window",
}
"""The modules of ``genred_train.peers``, and what they are."""

GOALS: Final = {"yamnet": 10.0, "plain": 20.0}
"""How many times dearer than genred they shall be."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that were measured."""

    name: str
    cpu_ms: float
    """Median over the rounds: CPU milliseconds for each second of audio of one feed."""
    low: float
    high: float
    """Quartiles."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times dearer a peer was than genred in the same round."""

    name: str
    median: float
    low: float
    high: float
    """Quartiles over the rounds."""
    goal: float | None


@dataclass(frozen=True, slots=True)
class Duel:
    """What came of it."""

    feeds: int
    """Feeds that genred heard at once; the ratios are to the cost of one of them."""
    decisions_per_second: float
    rounds: int
    genred: Side
    single: Side
    """genred with one feed."""
    peers: list[Side]
    ratios: list[Ratio]
    single_ratios: list[Ratio]
    """The same to genred with one feed."""
    missing: list[str]
    """Peers that are not there, and why."""


def fight(
    model: Path,
    metadata: ModelMetadata,
    teacher: Path | None,
    *,
    feeds: int,
    rounds: int,
    seconds: float,
    core: int,
) -> Duel:
    """Measure all in alternation, ``rounds`` times, each ``seconds`` of audio.

    Raises :class:`UnavailableError` where the training lab, which keeps the peers, is not there.
    """
    if find_spec("genred_train") is None or find_spec("torch") is None:
        raise UnavailableError("the peers are not installed", "pip install 'genred[train,dev]'")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        audio = folder / "audio.npy"
        np.save(audio, programme(AUDIO_S, metadata.sample_rate))
        own = stack.enter_context(Worker(core))
        there: dict[str, Worker] = {}
        missing = []
        for name in PEERS:
            arguments = [name, "--model", str(model)]
            arguments += ["--teacher", str(teacher.resolve())] if teacher else []
            worker = Worker(core, "genred_train.peers", arguments)
            stack.enter_context(worker)
            answer = worker.ask("build")
            if "unavailable" in answer:
                missing.append(f"{PEERS[name]}: {answer['unavailable']}")
            else:
                there[name] = worker

        def genred(many: int) -> float:
            answer = own.ask(
                "load", model=str(model), feeds=many, seconds=seconds, audio=str(audio)
            )
            return float(answer["cpu_ms"])

        costs: dict[str, list[float]] = {name: [] for name in ("many", "single", *there)}
        for number in range(rounds + 1):
            found = {"many": genred(feeds), "single": genred(1)}
            for name, worker in there.items():
                answer = worker.ask("hear", audio=str(audio), seconds=seconds)
                found[name] = float(answer["cpu_ms"])
            if number:  # the first round warms up
                for name, cost in found.items():
                    costs[name].append(cost)
    return Duel(
        feeds=feeds,
        decisions_per_second=metadata.decisions_per_second,
        rounds=rounds,
        genred=_side(f"genred, {feeds} feeds", costs["many"]),
        single=_side("genred, one feed", costs["single"]),
        peers=[_side(PEERS[name], costs[name]) for name in there],
        ratios=[_ratio(name, costs[name], costs["many"]) for name in there],
        single_ratios=[_ratio(name, costs[name], costs["single"]) for name in there],
        missing=missing,
    )


def _side(name: str, costs: list[float]) -> Side:
    return Side(name, *middle(costs))


def _ratio(name: str, theirs: list[float], ours: list[float]) -> Ratio:
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    return Ratio(PEERS[name], *middle(ratios), GOALS.get(name))
