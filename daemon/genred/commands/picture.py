"""``genred picture``: the dashboard as a picture, of the synthesised station really heard."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genred.errors import OutputError, UsageError

if TYPE_CHECKING:
    import argparse
    import threading

    from genred.model.session import Model
    from genred.publishers.base import Publisher
    from genred.views import NodeView

FEED: Final = "station"
NODE: Final = "demo"

WIDTH: Final = 80
HEIGHT: Final = 24
"""The terminal that everybody has."""

HEARD_S: Final = 312.0
"""How much of the station is heard first: the strip of five minutes is full then."""

BEGIN: Final = 1_769_860_800.0
"""The station's audio begins at 2026-01-31T12:00:00Z, so that a picture made anew differs only
where something else was heard."""

CONNECT_S: Final = 5.0
"""The embedded broker is on this machine; if it takes longer, the picture shows it away."""

SEED: Final = 7


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "picture",
        help="make a picture of the dashboard",
        description="Send the synthesised station through the model and the judgement, as fast "
        "as it goes, and show the dashboard at its end: as SVG, which refers to nothing from "
        "elsewhere, or as text.",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.svg", help="write the SVG here")
    parser.add_argument("--text", action="store_true", help="print it as text without colour")
    parser.add_argument("--width", type=int, default=WIDTH, help="columns (%(default)s)")
    parser.add_argument("--height", type=int, default=HEIGHT, help="lines (%(default)s)")
    parser.add_argument("--model", type=Path, metavar="PATH", help="a model.onnx, or its folder")
    parser.add_argument(
        "--seconds", type=float, default=HEARD_S, help="audio to hear first (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the station (%(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    if not (20 <= args.width <= 500 and 5 <= args.height <= 300):
        raise UsageError(
            f"a dashboard of {args.width} by {args.height} cells cannot be drawn",
            "give 20 to 500 columns and 5 to 300 lines",
        )
    if not 0 < args.seconds <= 86_400:
        raise UsageError(f"{args.seconds} seconds cannot be heard", "give up to a day")
    if not args.text and args.out is None:
        raise UsageError("nothing to do", "give --out FILE.svg, or --text")
    draw(
        sample_view(args.model, args.seconds, args.seed),
        args.width,
        args.height,
        out=args.out,
        text=args.text,
    )
    return 0


def draw(
    view: NodeView, width: int, height: int, *, out: Path | None = None, text: bool = False
) -> None:
    """Write the dashboard of ``view`` to the SVG file ``out`` and, as text, to standard output.

    Raises :class:`OutputError` where the file cannot be written.
    """
    from genred.dashboard.cells import Ink
    from genred.dashboard.layout import render
    from genred.dashboard.svg import svg

    frame = render(view, width, height)
    if out is not None:
        try:
            out.write_text(svg(frame, f"genred: {view.node}"), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {out}: {error.strerror}") from None
    if text:
        for line in frame.lines(Ink.MONO):
            sys.stdout.write("".join(part.text for part in line).rstrip() + "\n")


def sample_view(model: Path | None, seconds: float, seed: int) -> NodeView:
    """What the dashboard knows after ``seconds`` of the station: a real run, only faster.

    Every hop is judged the moment it is written, so that the lag shown is the real one; the clock
    goes by the audio. An embedded broker is published to, as in the demo.
    """
    from genred.model.session import load_model

    loaded = load_model(model)
    with ExitStack() as stack:
        publisher = _published(stack)
        return listen(loaded, seconds, seed, (publisher,))


def listen(
    model: Model, seconds: float, seed: int, publishers: tuple[Publisher, ...] = ()
) -> NodeView:
    """Hear ``seconds`` of the station with ``model``, hop by hop; the view at the end."""
    from genred.engine import Engine
    from genred.feed import Display, FeedSetup
    from genred.publishers.base import FeedInfo
    from genred.settings.dashboard import DashboardSettings
    from genred.settings.feeds import FeedSettings
    from genred.settings.judgement import JudgementSettings
    from genred.settings.mqtt import MqttSettings
    from genred.sources.base import StreamInfo
    from genred.sources.station import StationSource
    from genred.station import NAME, Station

    metadata = model.metadata
    station = Station(seed, metadata.sample_rate)
    clock = AudioClock()
    source = StationSource(clock, seed=seed)
    setup = FeedSetup(FeedSettings(id=FEED, source=f"station:{seed}"), JudgementSettings(), source)
    display = Display(seconds, DashboardSettings().strip_minutes * 60)
    engine = Engine(
        model,
        [setup],
        publishers,
        clock,
        node=NODE,
        heartbeat_s=MqttSettings().heartbeat_s,
        display=display,
    )
    for publisher in publishers:
        publisher.start(engine.info, [FeedInfo(FEED, source.description)])
    intake = engine.feeds[0].intake
    intake.listening()
    while clock.heard < seconds:
        passage = station.passage_at(station.position)
        intake.info(StreamInfo(NAME, passage.title, passage.label))
        audio = station.read(metadata.hop)
        begin = clock.now()
        clock.heard = station.position / metadata.sample_rate
        # Read ahead of time: no clock is to be held against it.
        intake.write_all(audio, begin)
        engine.tick()
        engine.look_after()
    deadline = time.monotonic() + CONNECT_S
    while time.monotonic() < deadline and not all("connected" in p.status() for p in publishers):
        time.sleep(0.02)
    view = engine.view()
    for publisher in publishers:
        publisher.stop()
    return view


def _published(stack: ExitStack) -> Publisher:
    """The demo's publisher, to an embedded broker that ends with ``stack``."""
    from genred.publishers.broker import EmbeddedBroker
    from genred.publishers.mqtt import MqttPublisher
    from genred.settings.broker import BrokerSettings
    from genred.settings.mqtt import MqttSettings

    broker = EmbeddedBroker(BrokerSettings().port)
    port = broker.start()
    stack.callback(broker.stop)
    return MqttPublisher(MqttSettings(url=f"mqtt://127.0.0.1:{port}"), NODE)


class AudioClock:
    """Wall time that goes by the audio heard, monotonic time that is the machine's own."""

    def __init__(self) -> None:
        self.heard = 0.0

    def now(self) -> float:
        """When the newest audio was heard, Unix seconds."""
        return BEGIN + self.heard

    def monotonic(self) -> float:
        """The machine's own."""
        return time.monotonic()

    def suspended(self) -> float:
        """Never."""
        return 0.0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for ``event`` at most ``seconds``."""
        return event.wait(seconds)
