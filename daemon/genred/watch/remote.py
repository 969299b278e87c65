"""Seeing daemons over MQTT: views put together from what they publish.

Retained topics tell at once what is so, later messages what changes. There is no sound on a broker
and so no picture, and levels are as old as the last state unless the daemon publishes its scores.
"""

from __future__ import annotations

import math
import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from genred.clock import SystemClock
from genred.errors import GenredError, UnavailableError
from genred.publishers.client import CONNECT_TIMEOUT_S, make_client, refused
from genred.publishers.topics import clean_id
from genred.watch.published import PublishedNode
from genred.watch.sight import away, nobody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from genred.clock import Clock
    from genred.settings.mqtt import MqttSettings
    from genred.views import NodeView

NODES: Final = 200
"""So many are kept: whoever may publish could make up more."""

PAYLOAD_BYTES: Final = 1 << 16
"""A longer payload is no message of genred's."""

RECONNECT_MIN_S: Final = 1
RECONNECT_MAX_S: Final = 10
"""paho doubles the pause between attempts from one to the other: somebody looks on."""

FRAMES_A_SECOND: Final = 2
"""How often what lasts is counted on: messages come seldom, seconds pass all the same."""


class RemoteSight:
    """The nodes under ``settings.base_topic``; the one called ``node`` alone where it is given."""

    def __init__(
        self,
        settings: MqttSettings,
        node: str | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._client = make_client(settings, f"genred-watch-{secrets.token_hex(4)}", environ)
        assert settings.address is not None
        self._address = settings.address
        self._keepalive = settings.keepalive_s
        self._base = settings.base_topic
        self._only = None if node is None else clean_id(node)
        self._lock = threading.Condition()
        self._nodes: dict[str, PublishedNode] = {}
        self._connected = False
        self._failure: GenredError | None = None

    def start(self) -> None:
        """Connect, and go on to try for ever once that has worked.

        Raises what :func:`genred.publishers.client.refused` and
        :func:`genred.publishers.client.unreachable` make of a first attempt that fails.
        """
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        try:
            client.connect(self._address.host, self._address.port, self._keepalive)
        except OSError as error:
            raise client.failure or UnavailableError(f"{self._address}: {error}") from None
        client.loop_start()
        with self._lock:
            self._lock.wait_for(lambda: self._connected or self._failure, CONNECT_TIMEOUT_S)
            failure = self._failure
        if failure is not None:
            self.stop()
            raise failure

    def stop(self) -> None:
        """Look no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def nodes(self) -> list[str]:
        """By name."""
        with self._lock:
            known = sorted(self._nodes)
        return known or [self._only or ""]

    def notice(self, node: str) -> str:
        """What stands in the way of seeing a node."""
        with self._lock:
            connected, failure = self._connected, self._failure or self._client.failure
            known = self._nodes.get(node)
        if not connected:
            return f"{failure or f'{self._address}: connection lost'}; trying again"
        if known is None:
            return f"nothing is published under {self._base}/{node or ''} so far; waiting"
        if known.status != "online":
            return f"{node} is offline: its daemon is stopped, or cannot reach the broker"
        return ""

    def view(self, node: str) -> NodeView:
        """What is known of a node."""
        clock = math.floor(self._clock.now() * FRAMES_A_SECOND) / FRAMES_A_SECOND
        with self._lock:
            connected, known = self._connected, self._nodes.get(node)
            view = nobody(node, clock) if known is None else known.view(node, clock)
        view = replace(view, publishers=(f"seen through {self._address}",))
        if not connected:
            return away(view, "the broker is away", clock)
        if known is not None and known.status != "online":
            return away(view, "the daemon is away", clock)
        return view

    def _on_connect(self, client: Client, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        with self._lock:
            self._failure = refused(self._address, reason) if reason.is_failure else None
            self._connected = not reason.is_failure
            if self._connected:
                for node in self._nodes.values():
                    node.status = ""  # retained, so that it comes again; if not, it is gone
            self._lock.notify_all()
        if not reason.is_failure:
            root = f"{self._base}/{self._only or '+'}"
            client.subscribe([(f"{root}/+", 1), (f"{root}/+/+", 1)])

    def _on_disconnect(self, _c: Client, _d: Any, _f: Any, _r: ReasonCode, _p: Any) -> None:
        with self._lock:
            self._connected = False
            self._lock.notify_all()

    def _on_message(self, _c: Client, _d: Any, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        if len(payload) > PAYLOAD_BYTES:
            return
        name, *rest = message.topic.removeprefix(f"{self._base}/").split("/")
        with self._lock:
            node = self._nodes.get(name)
            if node is None:
                if not payload or len(self._nodes) >= NODES:
                    return
                node = self._nodes[name] = PublishedNode()
            if len(rest) == 1:
                node.take(rest[0], payload)
                if rest[0] == "status" and not payload:
                    del self._nodes[name]  # purged
            elif len(rest) == 2:
                heard = node.take_of_feed(rest[0], rest[1], payload)
                if heard is not None and not message.retain:
                    node.compare(self._clock.now() - heard)
