"""``genred measure``: what the daemon costs on this machine, measured from outside."""

from __future__ import annotations

import json
import queue
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from genred.commands.common import add_config_options, load
from genred.errors import InternalError

if TYPE_CHECKING:
    import argparse
    import subprocess
    from contextlib import AbstractContextManager
    from pathlib import Path

FEED: Final = "station"

START_S: Final = 3.0
"""Start-up is over by then and does not count as the cost of listening."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; the names carry the units."""

    machine: str
    date: str
    cold_start_s: float
    """From starting the process to its first decision arriving at a subscriber."""
    cold_start_beyond_window_s: float
    """The same less the window that has to be heard first."""
    delay_median_ms: float
    """From the end of a window's audio to its message arriving at a subscriber."""
    delay_p99_ms: float
    decisions: int
    resident_mb: float
    cpu_seconds_per_audio_second: float
    model_mb: float
    parameters: int
    macs_per_audio_second: float


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "measure",
        help="measure what the daemon costs on this machine",
        description="Start the daemon on the synthesised station, in real time and headless, "
        "beside an embedded broker; subscribe to it and watch its process. One run with every "
        "decision published tells start and delay, a second one as usual tells CPU and memory.",
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="length of each of the two runs (20)"
    )
    parser.add_argument(
        "--format", choices=["table", "markdown", "json"], default="table", help="how to print them"
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    figures = measure(args.seconds, load(args).settings.model.path)
    if args.format == "json":
        print(json.dumps(asdict(figures), indent=2))
        return 0
    rows = describe(figures)
    if args.format == "markdown":
        print("| figure | measured |\n|---|---|")
        for name, value in rows.items():
            print(f"| {name} | {value} |")
        return 0
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    return 0


def describe(figures: Figures) -> dict[str, str]:
    """The figures in words, as the README shows them."""
    return {
        "cold start to the first decision": f"{figures.cold_start_s:.2f} s, of which "
        f"{figures.cold_start_beyond_window_s:.2f} s beyond the window that has to be heard",
        "end of a window to its MQTT message": f"median {figures.delay_median_ms:.1f} ms, 99th "
        f"percentile {figures.delay_p99_ms:.1f} ms ({figures.decisions} decisions)",
        "CPU, one feed at 4 decisions a second": f"{figures.cpu_seconds_per_audio_second:.4f} s "
        "for each second of audio, the station's synthesis included",
        "resident memory, one feed": f"{figures.resident_mb:.0f} MB",
        "model": f"{figures.model_mb:.2f} MB, {figures.parameters:,} parameters, "
        f"{figures.macs_per_audio_second / 1e6:.1f} million multiply-adds for each second of "
        "audio, front end included",
        "measured on": f"{figures.machine}, {figures.date}",
    }


def measure(seconds: float, model_path: Path | None = None) -> Figures:
    """Run the daemon twice for ``seconds`` and watch it.

    Raises :class:`genred.errors.InternalError` where it says nothing.
    """
    from genred.bench.machine import cores, processor
    from genred.model.session import FILE_NAME, load_model, shipped_model
    from genred.publishers.broker import EmbeddedBroker

    path = model_path or shipped_model()
    metadata = load_model(path).metadata
    file = path / FILE_NAME if path.is_dir() else path
    broker = EmbeddedBroker(0)
    port = broker.start()
    try:
        cold_start, delays = _decisions(port, seconds, file)
        resident, cpu = _cost(port, seconds, file)
    finally:
        broker.stop()
    window_s = metadata.window / metadata.sample_rate
    return Figures(
        machine=f"{len(cores())} cores of {processor()}",
        date=time.strftime("%Y-%m-%d"),
        cold_start_s=cold_start,
        cold_start_beyond_window_s=cold_start - window_s,
        delay_median_ms=statistics.median(delays) * 1000,
        delay_p99_ms=statistics.quantiles(delays, n=100)[98] * 1000,
        decisions=len(delays),
        resident_mb=resident,
        cpu_seconds_per_audio_second=cpu,
        model_mb=file.stat().st_size / 1e6,
        parameters=metadata.network.parameters,
        macs_per_audio_second=metadata.macs_per_second,
    )


def _decisions(port: int, seconds: float, model: Path) -> tuple[float, list[float]]:
    """Time to the first decision and the delay of each, seconds, as a subscriber sees them."""
    from genred.bench.daemon import FIRST_DECISION_S

    arrivals: queue.Queue[tuple[float, float, dict[str, Any]]] = queue.Queue()
    client = _subscribe(port, arrivals)
    try:
        started = time.monotonic()
        with _daemon(port, model, scores="true"):
            try:
                first, _, _ = arrivals.get(timeout=FIRST_DECISION_S)
            except queue.Empty:
                raise InternalError("the daemon made no decision") from None
            time.sleep(seconds)
    finally:
        client.disconnect()
        client.loop_stop()
    delays = []
    while not arrivals.empty():
        _, at, message = arrivals.get()
        delays.append(at - datetime.fromisoformat(message["ts"]).timestamp())
    return first - started, delays


def _subscribe(port: int, arrivals: queue.Queue[tuple[float, float, dict[str, Any]]]) -> Any:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        arrivals.put((time.monotonic(), time.time(), json.loads(message.payload)))

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.subscribe(f"genred/+/{FEED}/scores")
    client.loop_start()
    return client


def _cost(port: int, seconds: float, model: Path) -> tuple[float, float]:
    """Resident MB and CPU seconds for each second of audio, once start-up is over."""
    from genred.bench.daemon import cpu_seconds, resident_mb

    with _daemon(port, model, scores="false") as process:
        time.sleep(START_S)
        before, at = cpu_seconds(process.pid), time.monotonic()
        time.sleep(seconds)
        cpu = (cpu_seconds(process.pid) - before) / (time.monotonic() - at)
        return resident_mb(process.pid), cpu


def _daemon(
    port: int, model: Path, *, scores: str
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The daemon on the station, publishing to a broker on the loopback."""
    from genred.bench.daemon import daemon

    return daemon(model, "--plain", "--mqtt", f"mqtt://127.0.0.1:{port}", MQTT__SCORES=scores)
