"""All measurements, one after another, as one record."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genred.bench import capacity
from genred.bench.daemon import cold_start, one_feed
from genred.bench.machine import cores, machine
from genred.bench.rates import RATES, retimed
from genred.bench.worker import Worker, ask_once, clean_environment
from genred.errors import InternalError, UnavailableError
from genred.model.session import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT: Final = 1
"""Of a record; a reader of another one leaves the line out."""

TRAINING_S: Final = 600.0
"""The lab's own measurement takes half a minute, on a laden machine ten times that."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    feeds: int = 1000
    """What "many feeds" are."""
    seconds: float = 4.0
    """Audio of each, in one measurement."""
    rates: tuple[float, ...] = RATES
    probes: int = 7
    """At most so many loads in the search for the most feeds."""
    most: int = capacity.MOST
    """Feeds that a core is given at most."""
    starts: int = 5
    daemon_s: float = 12.0
    memory: tuple[int, ...] = (1, 100, 1000)
    tag_s: float = 120.0
    tag_rounds: int = 5
    rounds: int = 9


QUICK: Final = Plan(
    feeds=20,
    seconds=0.5,
    rates=(4.0,),
    probes=1,
    most=50,
    starts=1,
    daemon_s=1.0,
    memory=(1, 20),
    tag_s=10.0,
    tag_rounds=1,
    rounds=2,
)
"""Everything once, in a few seconds: to see that it works. Its figures are worth nothing."""


def survey(
    file: Path, plan: Plan, say: Callable[[str], None], *, quick: bool = False
) -> dict[str, Any]:
    """Measure what the daemon costs with the model ``file``; ``say`` is told of each step."""
    metadata = load_model(file).metadata
    model, first = str(file.resolve()), cores()[0]
    record: dict[str, Any] = {
        "format": FORMAT,
        "quick": quick,
        "machine": asdict(machine()),
        "model": {
            "name": metadata.name,
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest()[:16],
            "parameters": metadata.network.parameters,
            "network_macs": metadata.network.network_macs_per_step * metadata.decisions_per_second,
            "macs": metadata.macs_per_second,
            "state": metadata.state_size,
            "hop": metadata.hop,
            "sample_rate": metadata.sample_rate,
            "labels": len(metadata.labels),
            "n_mels": metadata.front_end.n_mels,
            "n_fft": metadata.front_end.n_fft,
            "hop_length": metadata.front_end.hop_length,
            "decisions_per_second": metadata.decisions_per_second,
        },
    }
    own = metadata.decisions_per_second
    with tempfile.TemporaryDirectory() as made:
        record["rates"] = _rates(model, own, plan, Path(made), say)
    cost = next(each["many"]["cpu_ms"] for each in record["rates"] if each["rate"] == own)
    say("feeds per core")
    found = capacity.search(model, cost, plan.seconds, plan.probes, first, plan.most)
    together = capacity.everywhere(model, found.feeds, plan.seconds, cores())
    aligned = ask_once(
        first, "load", model=model, feeds=found.feeds, seconds=plan.seconds, aligned=True
    )
    record["capacity"] = {"one": asdict(found), "all": together, "aligned": aligned}
    say("cold start")
    window_s = metadata.window / metadata.sample_rate
    record["start"] = asdict(cold_start(file, window_s, plan.starts, first))
    say("one feed")
    record["one_feed"] = asdict(one_feed(file, plan.daemon_s, first))
    say("memory")
    record["memory"] = [ask_once(first, "memory", model=model, feeds=n) for n in plan.memory]
    say("yardsticks")
    record["yardsticks"] = ask_once(first, "yardsticks", n_fft=metadata.front_end.n_fft)
    say("parts")
    record["parts"] = ask_once(first, "parts", model=model, feeds=plan.feeds, seconds=plan.seconds)
    say("files")
    record["tag"] = ask_once(first, "tag", model=model, seconds=plan.tag_s, rounds=plan.tag_rounds)
    return record


def _rates(
    model: str, own: float, plan: Plan, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Costs at each rate; at another than the model's ``own`` by a network exported for it."""
    rates = sorted({own, *plan.rates})
    other = [rate for rate in rates if rate != own]
    files = {own: (model, "")}
    if other:
        say("models of other rates")
        made = retimed(Path(model), other, folder)
        files |= {each.rate: (each.model, each.error) for each in made}
    told = []
    for rate in rates:
        file, error = files[rate]
        if error:
            told.append({"rate": rate, "own": False, "error": error})
            continue
        say(f"{rate:g} decisions a second")
        with Worker(cores()[0]) as worker:
            one = worker.ask("load", model=file, feeds=1, seconds=4 * plan.seconds)
            many = worker.ask("load", model=file, feeds=plan.feeds, seconds=plan.seconds)
        together = capacity.everywhere(file, plan.feeds, plan.seconds, cores())
        told.append({"rate": rate, "own": rate == own, "one": one, "many": many, "all": together})
    return told


def training(seconds: float) -> dict[str, Any]:
    """What the lab says of its own speed.

    Raises :class:`UnavailableError` where the lab is not installed.
    """
    command = [sys.executable, "-m", "genred_train.bench_loader", "--json"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            [*command, "--seconds", str(seconds)],
            capture_output=True,
            text=True,
            timeout=TRAINING_S,
            check=False,
            env=clean_environment(),
        )
    except subprocess.TimeoutExpired:
        raise InternalError(f"no figures of training within {TRAINING_S:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        if "No module named" in last:
            raise UnavailableError("the lab is not installed", "pip install 'genred[train]'")
        raise InternalError(f"the measurement of training ended: {last}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
