"""``genred run``: listen to the feeds that are configured and tell what is playing."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from genred.commands.common import add_config_options, load
from genred.commands.serving import LOGMEL_S, STRIP_S, web_publisher
from genred.errors import ConfigError, GenredError, InternalError, UsageError
from genred.history.place import written_to
from genred.watch.place import socket_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from genred.clock import Clock
    from genred.engine import Engine
    from genred.feed import Display, FeedSetup
    from genred.frugal import Tidy
    from genred.publishers.base import Publisher
    from genred.publishers.mqtt import MqttPublisher
    from genred.reload import Reloader
    from genred.service.manager import ServiceManager
    from genred.settings.feeds import FeedSettings
    from genred.settings.root import Settings

STATION_FEED: Final = "station"
"""The feed's id when nothing is configured: the synthesised station."""

POLL_S: Final = 0.5
"""How often the main thread looks whether a broker refuses, where that would be the end; of all
else it is told."""

RINGS: Final = 4096
"""So many rings are heard as one."""

STOP_S: Final = 5.0
"""A stop that takes longer than this is a fault, and is said to be one."""

LOADING_S: Final = 180.0
"""Loading, measuring and warming up a model: under a second on a CPU, but a GPU's libraries were
never made for being quick to load."""

DASHBOARD_LOGMEL_S: Final = 26.0
"""Seconds of log-mel that the widest dashboard shows."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "run",
        help="listen, and tell what is playing",
        description="Listen to the configured feeds and tell what is playing: over MQTT, and on "
        "a dashboard or, with --plain or without a terminal, in one line a change. With neither "
        "a configuration nor --source it is the demo: a synthesised station and a broker of its "
        "own. A source or broker named here that refuses ends the command; one named in a "
        "configuration is tried for ever.",
    )
    add_run_options(parser)
    parser.set_defaults(run=run, demo=False)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options that ``run`` and ``demo`` share."""
    add_config_options(parser)
    parser.add_argument(
        "--duration", type=_seconds, metavar="SECONDS", help="stop after so many seconds"
    )
    parser.add_argument(
        "--plain", action="store_true", default=None, help="one line a change, no dashboard"
    )
    parser.add_argument(
        "--json", action="store_true", help="like --plain, each message as one line of JSON"
    )
    parser.add_argument(
        "--provider", choices=["auto", "cpu", "cuda"], help="what the model runs on"
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], help="what is worth a line"
    )
    group = parser.add_argument_group("what to listen to")
    group.add_argument(
        "--source",
        action="append",
        metavar="SOURCE",
        help="device:NAME, default, a file, a folder, a URL, - (raw PCM on standard input), "
        "station or station:SEED; may be given several times; takes the place of all other feeds",
    )
    group.add_argument("--channel", choices=["mix", "left", "right"], help="of a stereo source")
    group.add_argument("--rate", type=int, help="samples a second of raw PCM or a device")
    group.add_argument("--channels", type=int, help="channels of raw PCM or a device")
    group.add_argument("--format", choices=["s16le", "f32le"], help="of raw PCM")
    group.add_argument("--fast", action="store_true", default=None, help="files: not in real time")
    group.add_argument("--loop", action="store_true", default=None, help="files: begin again")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number of seconds")
    return seconds


def typed_feeds(args: argparse.Namespace) -> list[FeedSettings]:
    """The feeds that ``--source`` names; ids come from the names.

    Raises :class:`UsageError` where an option does not fit.
    """
    from pydantic import ValidationError

    from genred.settings.feeds import FeedSettings

    options = {
        name: getattr(args, name)
        for name in ("channel", "rate", "channels", "format", "fast", "loop")
        if getattr(args, name) is not None
    }
    feeds: list[FeedSettings] = []
    taken: set[str] = set()
    for source in args.source:
        feed_id = name = _id_of(source)
        number = 2
        while feed_id in taken:
            feed_id, number = f"{name}_{number}", number + 1
        taken.add(feed_id)
        try:
            feeds.append(FeedSettings(id=feed_id, source=source, **options))
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"--{first['loc'][0]}: {first['msg']}") from None
    return feeds


def _id_of(source: str) -> str:
    """A short id for a source: the last telling part of its name."""
    if source == "-":
        return "stdin"
    tail = source.split("?", maxsplit=1)[0].rstrip("/").rsplit("/", 1)[-1].rsplit("@", 1)[-1]
    stem = Path(tail.removeprefix("device:")).stem
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", stem).strip("_")[:40] or "feed"


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from genred import frugal
    from genred.service.manager import from_environment

    frugal.begin()
    manager = from_environment(os.environ)
    try:
        with _ended_at_once():
            return _run(args, manager)
    except GenredError as error:
        manager.status(str(error))
        raise
    finally:
        manager.stopping()
        manager.close()


def _run(args: argparse.Namespace, manager: ServiceManager) -> int:
    from genred import logs
    from genred.clock import SystemClock
    from genred.engine import Engine

    loaded = load(args)
    settings = loaded.settings
    demo = args.demo or not (args.source or settings.feeds)
    if demo and not args.demo and manager.present:
        # Whoever runs a service wants to know what is on air, not what genred can play.
        raise ConfigError("no feeds are configured", f"add [[feeds]] to {loaded.path or 'a file'}")
    dashboard = not (settings.dashboard.plain or args.json) and sys.stdout.isatty()
    logs.setup(settings.logging.level, form=settings.logging.format)
    clock = SystemClock()
    feeds = _feeds(args, settings, demo=demo)
    setups = open_feeds(feeds, settings, clock, typed=bool(args.source))

    from genred.model.session import load_model

    manager.extend(LOADING_S)
    manager.status("loading the model")
    model = load_model(
        settings.model.path,
        provider=settings.model.provider,
        threads=settings.model.threads,
        feeds=len(setups),
    )
    with ExitStack() as stack:
        publishers, mqtt = _publishers(args, settings, stack, demo=demo, dashboard=dashboard)
        web = web_publisher(settings, model) if settings.web.enabled else None
        if web is not None:
            stack.callback(web.stop)
            publishers.append(web)
        engine = Engine(
            model,
            setups,
            publishers,
            clock,
            node=settings.node.name,
            heartbeat_s=settings.mqtt.heartbeat_s,
            scores=settings.mqtt.scores,
            display=_display(settings, dashboard=dashboard),
        )
        _let_watch(engine, settings, stack)
        if web is not None:
            web.attach(engine)
        reloader = None
        if not sys.stdout.isatty():
            from genred.reload import Reloader

            # On a terminal SIGHUP says that the terminal has gone, as ever.
            reloader = Reloader(
                engine,
                settings,
                lambda: load(args).settings,
                manager,
                clock,
                typed=feeds if args.source or demo else None,
            )
        # A broker typed on the command line that refuses ends the command, like a source does.
        refused = mqtt if args.mqtt is not None else None
        return _supervise(
            engine,
            settings,
            args.duration,
            _Watch(manager, reloader, refused, dashboard=dashboard),
        )


def _display(settings: Settings, *, dashboard: bool) -> Display:
    from genred.feed import Display

    display = Display()
    if dashboard:
        display = Display(DASHBOARD_LOGMEL_S, settings.dashboard.strip_minutes * 60)
    elif socket_path(settings.dashboard, os.environ) is not None:
        display = Display(DASHBOARD_LOGMEL_S, STRIP_S)
    if settings.web.enabled:
        display = Display(LOGMEL_S, max(STRIP_S, display.strip_s))
    return display


def _let_watch(engine: Engine, settings: Settings, stack: ExitStack) -> None:
    """Let others on this machine look on, where there is a place for the socket."""
    path = socket_path(settings.dashboard, os.environ)
    if path is None:
        return
    from genred.watch.server import WatchServer

    server = WatchServer(path, engine.view, settings.dashboard)
    server.start()
    stack.callback(server.stop)


def _feeds(args: argparse.Namespace, settings: Settings, *, demo: bool) -> Sequence[FeedSettings]:
    from genred.settings.feeds import FeedSettings

    if args.source:
        return typed_feeds(args)
    if demo:
        seed = getattr(args, "seed", None)
        source = "station" if seed is None else f"station:{seed}"
        return [FeedSettings(id=STATION_FEED, source=source)]
    return settings.feeds


def open_feeds(
    feeds: Sequence[FeedSettings], settings: Settings, clock: Clock, *, typed: bool
) -> list[FeedSetup]:
    """Make a source for each feed; nothing is opened yet.

    A path that is not there is an error where it was typed, else it is looked for until it is.
    Raises :class:`GenredError` where a source cannot be understood.
    """
    from genred.feed import FeedSetup
    from genred.sources.opening import open_configured, open_source

    open_one = open_source if typed else open_configured
    return [
        FeedSetup(feed, settings.judgement_for(feed), open_one(feed, clock), retry=not typed)
        for feed in feeds
    ]


def _publishers(
    args: argparse.Namespace, settings: Settings, stack: ExitStack, *, demo: bool, dashboard: bool
) -> tuple[list[Publisher], MqttPublisher | None]:
    publishers: list[Publisher] = []
    mqtt_settings, mqtt = settings.mqtt, None
    embedded = settings.broker.embedded
    if mqtt_settings.url is None and (embedded == "on" or (embedded == "auto" and demo)):
        from genred.publishers.broker import EmbeddedBroker, watch_line

        broker = EmbeddedBroker(settings.broker.port)
        port = broker.start()
        stack.callback(broker.stop)
        mqtt_settings = mqtt_settings.model_copy(update={"url": f"mqtt://127.0.0.1:{port}"})
        sys.stderr.write(f"watch what is published: {watch_line(port)}\n")
    if mqtt_settings.url is not None:
        from genred.publishers.mqtt import MqttPublisher

        mqtt = MqttPublisher(mqtt_settings, settings.node.name)
        publishers.append(mqtt)
    kept = written_to(settings.history, os.environ)
    if kept is not None:
        from genred.publishers.history import HistoryPublisher

        publishers.append(HistoryPublisher(settings.history, kept, settings.node.name))
    if not dashboard:
        from genred.publishers.plain import PlainPublisher

        publishers.append(PlainPublisher(sys.stdout, json_lines=args.json))
    return publishers, mqtt


@dataclass(slots=True)
class _Signals:
    """What signals have asked for.

    A handler sets nothing but these: it may interrupt the main thread in the middle of anything,
    an ``Event``'s own lock included.
    """

    stop: bool = False
    reload: bool = False


class _Bell:
    """What the main thread sleeps by: rung by every signal, and from any thread for the end."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._heard, self._rung = socket.socketpair()
        self._rung.setblocking(False)  # as Python wants it; one ring that waits is as good as many

    def __enter__(self) -> Self:
        self._before = signal.set_wakeup_fd(self._rung.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before)
        self._heard.close()
        self._rung.close()

    def end(self) -> None:
        """Everything shall end: set :attr:`stop` and end a wait, or the next one."""
        self.stop.set()
        with suppress(OSError):  # full, or closed because nobody waits any more
            self._rung.send(b"\0")

    def wait(self, seconds: float | None) -> None:
        """Sleep until it rings, at most ``seconds``."""
        self._heard.settimeout(seconds)
        with suppress(TimeoutError):
            self._heard.recv(RINGS)


@dataclass(frozen=True, slots=True)
class _Watch:
    """Who looks on while the engine runs."""

    manager: ServiceManager
    reloader: Reloader | None
    refused: MqttPublisher | None
    dashboard: bool


def _supervise(engine: Engine, settings: Settings, duration: float | None, watch: _Watch) -> int:
    """Run the engine on a thread of its own until it ends, a signal comes or time is up."""
    from genred import frugal
    from genred.clock import SystemClock
    from genred.service.pulse import Reporter

    signals = _Signals()
    crash: list[BaseException] = []
    bell = _Bell()
    stop = bell.stop

    def work() -> None:
        try:
            engine.run(stop)
        except BaseException as error:  # noqa: BLE001 - told below, on the main thread
            crash.append(error)
        finally:
            bell.end()

    thread = threading.Thread(target=work, name="genred-engine", daemon=True)
    reporter = Reporter(watch.manager, engine.pulse, SystemClock())

    tidy = frugal.Tidy()

    def ended() -> bool:
        tidy()
        if signals.reload and watch.reloader is not None:
            signals.reload = False
            watch.reloader.ask()
        return (
            signals.stop
            or stop.is_set()
            or not thread.is_alive()
            or _refusal(watch.refused) is not None
        )

    with (
        bell,
        _signals_into(signals, reload=watch.reloader is not None),
        _stopped_after(duration, bell.end),
    ):
        thread.start()
        if watch.reloader is not None:
            watch.reloader.start()
        # Neither a broker nor audio is waited for: both may be away for days.
        watch.manager.ready()
        reporter.start()
        frugal.settle()
        try:
            _look_on(engine, settings, ended, bell, watch, tidy)
            failure = _refusal(watch.refused)
        finally:
            reporter.stop()
            watch.manager.stopping()
            if watch.reloader is not None:
                watch.reloader.stop()
            stop.set()
            thread.join(STOP_S)
    if crash:
        raise crash[0]
    if thread.is_alive():
        raise InternalError(f"the engine did not stop within {STOP_S:.0f} s")
    failure = failure or engine.error
    if failure is not None:
        raise failure
    return 0


def _look_on(
    engine: Engine,
    settings: Settings,
    ended: Callable[[], bool],
    bell: _Bell,
    watch: _Watch,
    tidy: Tidy,
) -> None:
    """Keep the main thread, and the screen, until the end."""
    if watch.dashboard:
        from genred.dashboard.live import Dashboard

        Dashboard(engine.view, settings.dashboard).run(ended)
        return
    while not ended():
        bell.wait(tidy.pause_s if watch.refused is None else POLL_S)


@contextmanager
def _ended_at_once() -> Iterator[None]:
    """Ctrl-C ends the process there and then, until the engine runs and after it has ended.

    Python's exception, raised while a library is imported, may be lost or come out as another one.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _signals_into(signals: _Signals, *, reload: bool) -> Iterator[None]:
    def stop(*_: object) -> None:
        signals.stop = True

    def again(*_: object) -> None:
        signals.reload = True

    wanted = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if reload:
        wanted[signal.SIGHUP] = again
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _stopped_after(seconds: float | None, end: Callable[[], None]) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _refusal(mqtt: MqttPublisher | None) -> GenredError | None:
    from genred.errors import AccessError

    if mqtt is not None and isinstance(mqtt.first_failure, AccessError):
        return mqtt.first_failure
    return None
