"""An MQTT broker within the process, on loopback alone: for trying out, not for a house.

It is amqtt, in a thread with an event loop of its own. Retained messages and last wills work; it
keeps nothing on disk and lets everyone on this machine in. Importing this module imports amqtt.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import BrokerError

from genred.errors import UnavailableError

if TYPE_CHECKING:
    from amqtt.session import Session

log = logging.getLogger("genred.broker")

HOST: Final = "127.0.0.1"

START_S: Final = 10.0
"""amqtt needs about 0.2 s to be imported and to listen; a laden machine gets its time."""

STOP_S: Final = 3.0
"""For closing sessions and the listener; what is not done then ends with the process."""

CLOSE_S: Final = 0.5
"""For the last bytes to a client that is gone; it may not read them any more."""

PORT_ATTEMPTS: Final = 5
"""A free port may be taken by somebody else between finding and using it."""

_TOO_LOUD: Final = ("amqtt", "transitions", "websockets")
"""Loggers of amqtt and of what it uses: they speak of every connection, and of faults of clients
as of their own."""


class _Broker(Broker):  # type: ignore[misc]  # amqtt is seen untyped
    """amqtt's broker, with two faults of amqtt 0.12.1 mended.

    It hands retained messages to those alone who asked for them: of itself it greets every client
    with what is retained under any subscription of anybody. And it closes every connection it
    is done with: of itself it leaves those that were refused or cut off to the garbage collector.
    """

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        holders = self._subscriptions.get(subscription[0], [])
        if any(holder.client_id == session.client_id for holder, _ in holders):
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            writer.close()
            try:
                await asyncio.wait_for(writer.wait_closed(), CLOSE_S)
            except (OSError, TimeoutError):
                writer.transport.abort()


def watch_line(port: int, base_topic: str = "genred") -> str:
    """The command that shows all that is published."""
    return f"mosquitto_sub -h {HOST} -p {port} -v -t '{base_topic}/#'"


class EmbeddedBroker:
    """A broker that lives from :meth:`start` to :meth:`stop`.

    ``port`` is the loopback port; another free one is taken if it is 0 or taken already.
    """

    def __init__(self, port: int = 0) -> None:
        self._wanted = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._error: Exception | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """Where it listens; 0 before it does."""
        return self._port

    @property
    def url(self) -> str:
        """As ``[mqtt] url`` wants it."""
        return f"mqtt://{HOST}:{self._port}"

    def start(self) -> int:
        """Start and wait until it listens; returns the port.

        Raises :class:`genred.errors.UnavailableError` if it cannot listen anywhere.
        """
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live()), name="genred-broker", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(START_S) or self._error is not None:
            raise UnavailableError(
                f"the embedded broker does not start: {self._error or 'it takes too long'}",
                "give --mqtt URL to use another one",
            )
        return self._port

    def stop(self) -> None:
        """End it; clients are disconnected."""
        if self._thread is None or self._loop is None:
            return
        if self._end is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(STOP_S)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_on_fault)
        self._end = asyncio.Event()
        try:
            broker = await self._listen()
        except Exception as error:  # noqa: BLE001 - told by start()
            self._error = error
            self._ready.set()
            return
        self._ready.set()
        await self._end.wait()
        await broker.shutdown()

    async def _listen(self) -> Broker:
        for name in _TOO_LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        # amqtt tells a taken port as any other error, after it has begun: so look first.
        port = self._wanted if _is_free(self._wanted) else 0
        for attempt in range(PORT_ATTEMPTS):
            port = port or _free_port()
            config = BrokerConfig(
                listeners={"default": ListenerConfig(bind=f"{HOST}:{port}")},
                plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
            )
            broker = _Broker(config)
            try:
                await broker.start()
            except BrokerError:
                if attempt == PORT_ATTEMPTS - 1:
                    raise
                port = 0
                continue
            self._port = port
            return broker
        raise AssertionError("unreachable")


def _is_free(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket() as probe:
        # As asyncio does: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _on_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A client that goes away in the middle of a packet ends in such a fault; nothing is lost.
    log.debug("embedded broker: %s", context.get("message"), exc_info=context.get("exception"))
