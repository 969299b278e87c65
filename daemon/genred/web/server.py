"""The server: one more publisher, on a thread with a loop of its own.

The engine hands it messages and is looked at through views; nothing here is ever waited for. A
fault here ends this thread at worst, and is told; listening goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

import uvicorn

from genred.errors import AccessError, ConfigError, UnavailableError
from genred.web.app import build
from genred.web.auth import Gate, read_token
from genred.web.bench import Bench
from genred.web.health import Heartbeat
from genred.web.hub import Hub
from genred.web.live import Live
from genred.web.metrics import Metrics
from genred.web.protocol import BoundedHttp, BoundedWebSocket
from genred.web.snapshot import Snapshots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from genred.history.reader import Reader
    from genred.messages import Message, NodeInfo
    from genred.publishers.base import FeedInfo, Publisher
    from genred.service.pulse import Pulse
    from genred.settings.judgement import JudgementSettings
    from genred.settings.web import WebSettings
    from genred.views import NodeView

log = logging.getLogger("genred.web")

BACKLOG: Final = 128
"""Connections that wait to be taken; the kernel's own usual limit is higher."""

KEEP_ALIVE_S: Final = 10
"""An idle connection is closed after so long; scrapes and pages come oftener or not at all."""

GOODBYE_S: Final = 1
"""Answers in progress get so long at the end."""

STOP_S: Final = 1.5
"""And the whole server: the daemon has 5 s for its stop, and the broker wants 2 of them."""

TURN_S: Final = 0.0005
"""How long this thread may keep Python's lock from the engine's, which wants it several times for
each decision; of itself Python lets it have 5 ms each time."""

WORD_BYTES: Final = 4096
"""The longest word that a WebSocket client may send."""


class Heart(Protocol):
    """What is needed of the engine."""

    publishers: tuple[Publisher, ...]

    def view(self, logmel_s: float) -> NodeView:
        """Everything a display shows, with so many seconds of log-mel."""
        ...

    def pulse(self) -> Pulse:
        """How far everything has got."""
        ...


class WebPublisher:
    """Serves HTTP as ``settings`` say. The port is taken at once, answers come after ``start``.

    ``model`` and ``judgement`` are what clips are judged by; ``fell_back`` says that the model
    runs on another provider than was asked for. Raises :class:`ConfigError` where a token is
    missing, :class:`UnavailableError` where the address cannot be had.
    """

    def __init__(
        self,
        settings: WebSettings,
        model: Path | None,
        judgement: JudgementSettings,
        history: Reader | None = None,
        *,
        fell_back: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._gate = Gate(read_token(settings, environ))
        self._model = model
        self._judgement = judgement
        self._history = history
        self._fell_back = fell_back
        self._socket = _listen(settings)
        self.port: int = self._socket.getsockname()[1]
        self._hub = Hub()
        self._heart: Heart | None = None
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="genred-web", daemon=True)
        self._fault = ""

    @property
    def url(self) -> str:
        """Where it is to be found."""
        host = self._settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def attach(self, heart: Heart) -> None:
        """The engine to look at; before it is started."""
        self._heart = heart

    def start(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Begin to answer."""
        del feeds
        assert self._heart is not None, "attach an engine first"
        self.offer(node)
        log.info("HTTP is served on %s", self.url)
        sys.setswitchinterval(min(TURN_S, sys.getswitchinterval()))
        self._thread.start()

    def rearrange(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """These are the feeds from now on."""
        self._hub.keep_only(each.id for each in feeds)
        self.offer(node)

    def offer(self, message: Message) -> None:
        """Hand a message on to all who listen; never waits."""
        self._hub.offer(message)

    def status(self) -> str:
        """How it is doing."""
        if self._fault:
            return f"{self.url} has ended: {self._fault}"
        return f"{self.url}, {self._hub.listeners} listening"

    def stop(self) -> None:
        """Say goodbye and end, within :data:`STOP_S`."""
        loop, server = self._loop, self._server
        if loop is not None and server is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(self._end, server)
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._socket.close()

    def _end(self, server: uvicorn.Server) -> None:
        self._hub.close()
        server.should_exit = True

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._fault = str(error) or type(error).__name__
            log.exception("HTTP is served no more, listening goes on")

    async def _serve(self) -> None:
        assert self._heart is not None
        heart = self._heart
        snapshots = Snapshots(heart.view)
        metrics = Metrics(snapshots, self._hub)
        metrics.fell_back = self._fell_back
        metrics.dropped = lambda: _dropped(heart.publishers)
        live = Live(snapshots)
        heartbeat = Heartbeat(heart.pulse)
        bench = Bench(self._model, self._judgement, self._settings.classify_s)
        app = build(
            self._settings,
            self._gate,
            self._hub,
            live,
            snapshots,
            heartbeat,
            bench,
            metrics,
            self._history,
        )
        self._server = uvicorn.Server(_config(app))
        self._loop = asyncio.get_running_loop()
        self._hub.open(self._loop, f"{int(time.time()):x}")
        beside = [asyncio.create_task(each.run()) for each in (live, heartbeat)]
        try:
            await self._server.serve([self._socket])
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await bench.close()


def _config(app: object) -> uvicorn.Config:
    # What it has to say is said by genred: of its own it writes a line for every odd client.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI app, by another name
        http=BoundedHttp,
        ws=BoundedWebSocket,
        ws_max_size=WORD_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GOODBYE_S,
    )


def _listen(settings: WebSettings) -> socket.socket:
    where = f"web.host {settings.host}, port {settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise ConfigError(f"{where}: there is no such address", "set web.host") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except PermissionError:
        made.close()
        raise AccessError(f"{where}: not allowed", "take a port above 1023") from None
    except OSError as error:
        made.close()
        raise UnavailableError(
            f"{where}: {error.strerror}", "set another web.port, or 0 for a free one"
        ) from None
    made.setblocking(False)
    return made


def _dropped(publishers: Sequence[Publisher]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in publishers:
        name = type(each).__name__.removesuffix("Publisher").lower()
        count = getattr(each, "dropped", None)
        if isinstance(count, int):
            found[name] = found.get(name, 0) + count
    return found
