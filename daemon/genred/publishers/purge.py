"""Removes from a broker all that a node has left there: its topics and its discovery."""

from __future__ import annotations

import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from paho.mqtt.client import topic_matches_sub

from genred.errors import AccessError, GenredError, TemporaryError, UnavailableError
from genred.publishers.client import CONNECT_TIMEOUT_S, make_client, refused, unreachable
from genred.publishers.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

    from genred.settings.mqtt import MqttSettings

ANSWER_S: Final = 10.0
"""For one answer of the broker; a slow line with thousands of retained topics may need it."""

ECHO_S: Final = 3.0
"""For a message to come back after the broker has acknowledged it."""

QUIET_S: Final = 0.3
"""MQTT does not say where retained messages end. The echo of a message of our own comes after
them on brokers that keep order; so long without another one it counts on all."""

ROUNDS: Final = 3
"""What is there after so many times of looking and emptying is written by somebody."""


@dataclass(slots=True)
class Purged:
    """What was done."""

    topics: list[str] = field(default_factory=list)
    """Emptied, in order."""
    running: bool = False
    """The node was online: it will tell all again on its next connection."""


def purge(settings: MqttSettings, node: str, environ: Mapping[str, str] | None = None) -> Purged:
    """Empty every retained topic of ``node``, discovery in both forms included.

    Raises :class:`AccessError` when the broker refuses the credentials or hides the topics,
    :class:`UnavailableError` when it is away, :class:`TemporaryError` when topics come back.
    """
    with Visit(settings, node, environ) as visit:
        done = Purged()
        for _ in range(ROUNDS):
            there = visit.look()
            if not there:
                return done
            done.running = done.running or there.get(visit.topics.status) == b"online"
            visit.empty(there)
            done.topics += [topic for topic in sorted(there) if topic not in done.topics]
    raise TemporaryError(
        f"topics under {visit.topics.root} come back", "stop genred on that node first"
    )


class Visit:
    """One connection to the broker, for looking and emptying."""

    def __init__(
        self, settings: MqttSettings, node: str, environ: Mapping[str, str] | None
    ) -> None:
        self.topics = Topics(settings.base_topic, node)
        self._settings = settings
        client_id = settings.client_id or f"genred-{self.topics.node}"
        self._client = make_client(settings, f"{client_id}-discovery", environ)
        assert settings.address is not None
        self._address = settings.address
        prefix = settings.discovery_prefix
        self._own = f"{self.topics.root}/#"
        self._filters = (self._own, f"{prefix}/+/+/config", f"{prefix}/+/+/+/config")
        self._echo = f"{self.topics.root}/purge"
        self._news = threading.Condition()
        self._connected: GenredError | bool = False
        self._granted: list[ReasonCode] | None = None
        self._token = b""
        self._echoed = False
        self._last = 0.0
        self._found: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        client = self._client
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        try:
            client.connect(self._address.host, self._address.port, self._settings.keepalive_s)
        except OSError as error:
            raise client.failure or unreachable(self._address, error) from None
        client.loop_start()
        try:
            self._wait(lambda: self._connected, CONNECT_TIMEOUT_S)
            if isinstance(self._connected, GenredError):
                raise self._connected
        except GenredError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def look(self) -> dict[str, bytes]:
        """All that is retained of this node: payload by topic."""
        with self._news:
            self._found, self._granted, self._echoed = {}, None, False
            self._token = secrets.token_hex(8).encode()
        self._client.subscribe([(each, 1) for each in self._filters])
        self._wait(lambda: self._granted is not None)
        if self._granted is not None and self._granted[0].is_failure:
            raise self._forbidden()
        self._acknowledged([self._client.publish(self._echo, self._token, qos=1)])
        with self._news:
            # Many brokers grant a subscription and then deliver nothing of what is forbidden.
            if not self._news.wait_for(lambda: self._echoed, ECHO_S):
                raise self._forbidden()
            while (rest := self._last + QUIET_S - time.monotonic()) > 0:
                self._news.wait(rest)
            found = dict(self._found)
        self._client.unsubscribe(list(self._filters))
        return found

    def empty(self, topics: Mapping[str, bytes]) -> None:
        """Let the broker forget what it retains there."""
        self._acknowledged(
            [self._client.publish(topic, b"", qos=1, retain=True) for topic in sorted(topics)]
        )

    def _acknowledged(self, sent: Sequence[MQTTMessageInfo]) -> None:
        deadline = time.monotonic() + ANSWER_S
        try:
            for info in sent:
                info.wait_for_publish(max(0.0, deadline - time.monotonic()))
            done = all(info.is_published() for info in sent)
        except RuntimeError:
            raise UnavailableError(f"{self._address}: connection lost", "try again") from None
        if not done:
            raise UnavailableError(f"{self._address}: no answer within {ANSWER_S:.0f} s")

    def _forbidden(self) -> AccessError:
        return AccessError(
            f"{self._address}: not allowed to read {self._own}",
            "allow it to this user in the broker's access list",
        )

    def _wait(self, come: Any, seconds: float = ANSWER_S) -> None:
        with self._news:
            if not self._news.wait_for(come, seconds):
                raise UnavailableError(f"{self._address}: no answer within {seconds:.0f} s")

    def _on_connect(self, _c: Client, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        with self._news:
            self._connected = refused(self._address, reason) if reason.is_failure else True
            self._news.notify_all()

    def _on_subscribe(
        self, _c: Client, _d: Any, _mid: int, reasons: list[ReasonCode], _p: Any
    ) -> None:
        with self._news:
            self._granted = reasons
            self._news.notify_all()

    def _on_message(self, _c: Client, _d: Any, message: MQTTMessage) -> None:
        with self._news:
            self._last = time.monotonic()
            if message.topic == self._echo and bytes(message.payload) == self._token:
                self._echoed = True
            elif (
                message.retain
                and message.payload
                and (
                    topic_matches_sub(self._own, message.topic)
                    or _announces(bytes(message.payload), self.topics.root)
                )
            ):
                self._found[message.topic] = bytes(message.payload)
            self._news.notify_all()


def _announces(payload: bytes, root: str) -> bool:
    """Is this discovery of genred's, of the node whose topics begin with ``root``?"""
    try:
        config = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return any(each == root or each.startswith(f"{root}/") for each in _identifiers(config))


def _identifiers(config: object) -> Iterator[str]:
    match config:
        case {"origin": {"name": "genred"}, "device": {"identifiers": [*identifiers]}}:
            yield from (each for each in identifiers if isinstance(each, str))
