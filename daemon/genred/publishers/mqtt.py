"""The MQTT publisher: retained state, last will, discovery, and a broker that may be away.

Two threads stand between the engine and the network. The engine's thread leaves messages in
bounded lanes (:mod:`genred.publishers.lanes`) and goes on; a sender of this module hands them to
paho, so many at a time; paho's own thread talks to the broker and is the only one that reconnects.

On every connection the broker hears, in this order: that the node is online, what runs on it,
discovery, and for all feeds whether audio arrives, the state and the health, as last known.
Messages that were under way when a connection was lost are taken back from paho: events go first
in the lane, anything retained is told anew anyway.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from paho.mqtt.enums import LogLevel, MQTTErrorCode

from genred.errors import ConfigError, GenredError, UnavailableError
from genred.messages import FeedEvent, FeedHealth, FeedScores, Message, NodeInfo, SourceStatus
from genred.publishers.client import make_client, refused
from genred.publishers.discovery import FORMS, describe, filters
from genred.publishers.lanes import Lanes, Parcel
from genred.publishers.reporter import Reporter
from genred.publishers.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from paho.mqtt.client import (
        Client,
        ConnectFlags,
        DisconnectFlags,
        MQTTMessage,
        MQTTMessageInfo,
    )
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from genred.publishers.base import FeedInfo
    from genred.publishers.client import BrokerClient
    from genred.settings.mqtt import MqttSettings

log = logging.getLogger("genred.mqtt")

HOME_ASSISTANT: Final = "homeassistant"
"""The prefix of Home Assistant's own topics, unless it is told otherwise."""

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"

RECONNECT_MIN_S: Final = 1
RECONNECT_MAX_S: Final = 30
"""paho doubles the pause from one attempt to the next between these two. A broker that restarts
is found again within a second or two; one that is away for a night is asked twice a minute."""

UNACKNOWLEDGED_MAX: Final = 100
"""So many messages may be with paho and not yet acknowledged. Enough to fill a slow line, and a
bound for what a broker that never answers can pile up there."""

STOP_S: Final = 2.0
"""How long the end may take: what waits, then feeds and node offline."""

FAREWELL_S: Final = 0.5
"""Of that, kept for saying that feeds and node are offline."""

CLOSE_S: Final = 0.5
"""Of paho's thread, once it was told to end. It may still sit in a connection attempt; it is a
daemon thread and holds nothing that must be kept."""

BIRTH_DELAY_S: Final = (1.0, 10.0)
"""After Home Assistant's birth message all is sent again within this time, at random, so that a
house full of devices does not speak at once."""

ASK_S: Final = 1.0
"""Before the first announcement the broker is asked whether the other form of discovery stands
there, and has so long to answer; one on the same continent takes a tenth of it."""

FILTERS_MAX: Final = 8
"""So many are subscribed to in one request: the least that a broker is known to allow (AWS IoT,
which ends the connection for more)."""

WATCH_S: Final = 5.0
"""How often the sender looks whether paho's thread still lives."""

_LISTENING = frozenset(status.value for status in SourceStatus if status.online)


def encode(message: Message) -> bytes:
    """A message as it goes over the wire: compact JSON in UTF-8.

    Raises ``ValueError`` for a number that JSON does not know.
    """
    text = json.dumps(message.to_dict(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


class MqttPublisher:
    """Publishes to one broker, as ``[mqtt]`` says.

    Raises :class:`GenredError` when made, if credentials or certificates cannot be read; a broker
    that is away or refuses raises nothing, it is logged and shows in :meth:`status`.
    """

    def __init__(
        self,
        settings: MqttSettings,
        node: str,
        *,
        environ: Mapping[str, str] | None = None,
        birth_delay: Callable[[], float] | None = None,
    ) -> None:
        address = settings.address
        if address is None:
            raise ConfigError("no broker is configured", "set mqtt.url, or give --mqtt URL")
        self._address = address
        self._settings = settings
        self._birth_delay = birth_delay or (lambda: random.uniform(*BIRTH_DELAY_S))  # noqa: S311 - spreads load, guards nothing
        self.topics = Topics(settings.base_topic, node)
        # Home Assistant's birth message does not follow its discovery prefix by itself.
        prefixes = dict.fromkeys((settings.discovery_prefix, HOME_ASSISTANT))
        self._birth_topics = [f"{prefix}/status" for prefix in prefixes]
        self._reporter = Reporter(log)
        self._client = self._make_client(environ)
        self._sender = threading.Thread(target=self._run, name="genred-mqtt", daemon=True)
        # Guards all below; never held while paho is called, whose callbacks take it.
        self._changed = threading.Condition()
        self._lanes = Lanes(settings.queue)
        self._feeds: tuple[FeedInfo, ...] = ()
        self._known_feeds: dict[str, None] = {}
        self._discovery: tuple[str, ...] = ()
        self._other_form: frozenset[str] = frozenset()
        self._other_filters: tuple[str, ...] = ()
        self._asked_for_other = False
        self._asked: int | None = None
        self._hold_until = 0.0
        self._online = False
        self._session = 0
        self._told_lost = 0
        # The sender's own: what it has handed over, and the connection that was on.
        self._unacknowledged: deque[MQTTMessageInfo] = deque()
        self._seen_session = 0
        self._birth_due: float | None = None
        self._closing = False
        self._parted = False
        self._deadline = 0.0
        self._refusing = False
        self._connected_once = False
        self._failure: GenredError | None = None
        self._first_failure: GenredError | None = None

    def _make_client(self, environ: Mapping[str, str] | None) -> BrokerClient:
        settings = self._settings
        client = make_client(settings, settings.client_id or f"genred-{self.topics.node}", environ)
        client.will_set(self.topics.status, OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        # The sender keeps the bound; with one here a farewell could wait behind other messages
        # and be overtaken by the end of the connection.
        client.max_inflight_messages_set(0)
        # paho's own bound, never reached: the sender's messages and the announcement of a node.
        client.max_queued_messages_set(2 * UNACKNOWLEDGED_MAX)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_log = _on_log
        return client

    # --- for the engine and the commands

    @property
    def first_failure(self) -> GenredError | None:
        """Why the very first connection failed; None once one has succeeded.

        :class:`genred.errors.AccessError` when the broker refuses the credentials,
        :class:`genred.errors.UnavailableError` when it is away or refuses for another reason.
        """
        with self._changed:
            return self._first_failure

    def wait_first(self, seconds: float) -> GenredError | None:
        """Wait until the first attempt to connect has succeeded or failed; returns the failure."""
        with self._changed:
            self._changed.wait_for(lambda: self._connected_once or self._first_failure, seconds)
            return self._first_failure

    @property
    def dropped(self) -> int:
        """Messages lost so far because the broker was away or slow for too long."""
        with self._changed:
            return self._lanes.dropped

    def start(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Begin to connect; returns at once."""
        with self._changed:
            self._take_feeds(node, feeds)
        self._client.connect_async(
            self._address.host, self._address.port, self._settings.keepalive_s
        )
        self._client.loop_start()
        self._sender.start()

    def rearrange(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        """Announce the feeds there are now; of those gone nothing is left on the broker."""
        with self._changed:
            if self._closing:
                return
            announced = self._discovery
            gone = self._known_feeds.keys() - {feed.id for feed in feeds}
            self._take_feeds(node, feeds)
            self._lanes.forget(topic for topic in announced if topic not in self._discovery)
            for feed in gone:
                del self._known_feeds[feed]
                self._lanes.forget(
                    self.topics.of_feed(feed, what) for what in ("status", "state", "health")
                )
            self._changed.notify_all()

    def offer(self, message: Message) -> None:
        """Take a message; returns within microseconds, whatever the broker does."""
        with self._changed:
            if self._closing:
                return
            match message:
                case FeedScores():
                    # Whoever watches scores watches them live: none wait for an absent broker.
                    if not (self._settings.scores and self._online):
                        return
                    topic = self.topics.of_feed(message.feed, message.topic)
                    self._lanes.stream(Parcel(topic, message, qos=0, retain=False))
                case FeedEvent():
                    topic = self.topics.of_feed(message.feed, message.topic)
                    self._lanes.append(Parcel(topic, message, qos=1, retain=False))
                case NodeInfo():
                    self._take_info(message)
                    self._announce()
                case _:
                    self._known_feeds[message.feed] = None
                    if isinstance(message, FeedHealth):
                        arriving = ONLINE if message.status in _LISTENING else OFFLINE
                        status = self.topics.of_feed(message.feed, "status")
                        if self._lanes.retained(status) != arriving:
                            self._lanes.retain(status, arriving)
                        self._count_lost()
                    self._lanes.retain(self.topics.of_feed(message.feed, message.topic), message)
            self._changed.notify_all()

    def status(self) -> str:
        """The broker and how it is: ``mqtt://host:1883 connected``."""
        with self._changed:
            lanes = f"({self._lanes.waiting} waiting, {self._lanes.dropped} dropped)"
            if self._online:
                slow = self._lanes.dropped or self._lanes.waiting > UNACKNOWLEDGED_MAX
                return f"{self._address} connected{f' {lanes}' if slow else ''}"
            if self._failure is None:
                return f"{self._address} connecting"
            # The address stands in front of the failure's message already.
            return f"{self._failure.message}, trying again {lanes}"

    def stop(self) -> None:
        """Send what waits, tell that feeds and node are offline, and leave; at most 2.5 s."""
        deadline = time.monotonic() + STOP_S
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._deadline = deadline
            self._changed.notify_all()
        if self._sender.ident is None:
            return
        self._sender.join(max(0.0, deadline - time.monotonic()))
        # Follows in the stream what was said before: if it arrives, the farewell has too; if it
        # does not, the broker sends the last will.
        if self._client.is_connected() and not self._parted:
            self._client.publish(self.topics.status, OFFLINE, qos=1, retain=True)
        self._client.disconnect()
        # loop_stop() waits for paho's thread without a bound: let another one do the waiting.
        closer = threading.Thread(
            target=self._client.loop_stop, name="genred-mqtt-end", daemon=True
        )
        closer.start()
        closer.join(CLOSE_S)

    # --- what is told on every connection; the lock is held

    def _take_feeds(self, node: NodeInfo, feeds: Sequence[FeedInfo]) -> None:
        self._feeds = tuple(feeds)
        self._take_info(node)
        for feed in self._feeds:
            self._known_feeds[feed.id] = None
            status = self.topics.of_feed(feed.id, "status")
            if self._lanes.retained(status) is None:
                self._lanes.retain(status, OFFLINE)

    def _count_lost(self) -> None:
        """Say with what runs here how many messages were lost, if that is news."""
        info = self._lanes.retained(self.topics.info)
        if isinstance(info, NodeInfo) and info.lost_messages != self._lanes.dropped:
            self._retain_info(info)

    def _retain_info(self, info: NodeInfo) -> None:
        former = self._lanes.retained(self.topics.info)
        seq = former.seq + 1 if isinstance(former, NodeInfo) else info.seq
        self._lanes.retain(
            self.topics.info, replace(info, seq=seq, lost_messages=self._lanes.dropped)
        )

    def _take_info(self, info: NodeInfo) -> None:
        self._retain_info(info)
        mode = self._settings.discovery
        if mode == "off":
            return
        devices = describe(self.topics, info, self._feeds, self._settings.heartbeat_s)
        prefix = self._settings.discovery_prefix
        if not self._connected_once:
            # The other form may be there from before the setting was changed; both together
            # would announce every entity twice. It is taken away only where it is: versions that
            # do not know a form warn of every message on its topics, an empty one as well.
            other = "component" if mode == "device" else "device"
            self._other_form = frozenset(FORMS[other](prefix, devices))
            self._other_filters = filters(other, prefix, devices)
        discovery = FORMS[mode](prefix, devices)
        self._discovery = tuple(discovery)
        for topic, payload in discovery.items():
            self._lanes.retain(topic, payload)

    def _announcement(self) -> list[str]:
        """All retained topics in the order in which they are to be told."""
        feeds = [
            topic
            for what in ("status", "state", "health")
            for feed in self._known_feeds
            if self._lanes.retained(topic := self.topics.of_feed(feed, what)) is not None
        ]
        return [self.topics.info, *self._discovery, *feeds]

    def _announce(self) -> None:
        self._lanes.tell_again(self._announcement())

    # --- the sender's thread

    def _run(self) -> None:
        while (parcel := self._next()) is not None:
            self._hand_over(parcel)
        self._farewell()

    def _next(self) -> Parcel | None:
        """The next message to send, waiting for one; None when it is time to go."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._birth_due is not None and now >= self._birth_due:
                    self._birth_due = None
                    self._lanes.retain(self.topics.status, ONLINE)
                    self._lanes.tell_again([self.topics.status, *self._announcement()])
                if self._seen_session != self._session:
                    self._seen_session = self._session
                    self._unacknowledged.clear()
                wake = now + WATCH_S
                if self._birth_due is not None:
                    wake = min(wake, self._birth_due)
                if self._closing:
                    wake = min(wake, self._deadline - FAREWELL_S)
                    if not self._online or not self._lanes.waiting or now >= wake:
                        return None
                held = now < self._hold_until
                if held:
                    wake = min(wake, self._hold_until)
                ready = self._online and not held and not self._full()
                if ready and (parcel := self._lanes.take()):
                    return parcel
                if not self._changed.wait(wake - now) and not self._closing:
                    self._keep_alive()
                    self._reporter.sum_up(self.status)

    def _keep_alive(self) -> None:
        """Start paho's thread again if it has ended: nothing else would ever notice."""
        if self._client.loop_start() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            log.error("%s: the network thread had ended and was started again", self._address)

    def _full(self) -> bool:
        return (
            len(self._unacknowledged) >= UNACKNOWLEDGED_MAX
            and self._pending() >= UNACKNOWLEDGED_MAX
        )

    def _pending(self) -> int:
        """How many are not acknowledged yet; forgets the others."""
        for _ in range(len(self._unacknowledged)):
            info = self._unacknowledged.popleft()
            try:
                if not info.is_published():
                    self._unacknowledged.append(info)
            except (ValueError, RuntimeError):
                continue  # lost with its connection
        return len(self._unacknowledged)

    def _hand_over(self, parcel: Parcel) -> None:
        try:
            payload = parcel.body if isinstance(parcel.body, bytes) else encode(parcel.body)
            info = self._client.publish(parcel.topic, payload, parcel.qos, parcel.retain)
        except (ValueError, TypeError) as error:
            self._lose()
            log.error("%s: a message could not be written: %s", parcel.topic, error)  # noqa: TRY400 - one line
            return
        # With qos 1 paho keeps it even if the connection has just gone.
        kept = parcel.qos and info.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
        if kept or info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._unacknowledged.append(info)
        else:
            self._lose()

    def _lose(self) -> None:
        with self._changed:
            self._lanes.dropped += 1

    def _farewell(self) -> None:
        with self._changed:
            if not self._online:
                return
            last = [self.topics.of_feed(feed, "status") for feed in self._known_feeds]
        for topic in (*last, self.topics.status):
            self._hand_over(Parcel(topic, OFFLINE, qos=1, retain=True))
        self._parted = True
        with self._changed:
            self._changed.wait_for(
                lambda: not self._online or not self._pending(),
                max(0.0, self._deadline - time.monotonic()),
            )

    # --- paho's callbacks, on its network thread

    def _on_connect(
        self,
        client: Client,
        _data: Any,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusing = True
            self._failed(refused(self._address, reason))
            return
        with self._changed:
            if self._closing:
                return  # offline, as the last will has said
        left = client.drop_out_messages()
        client.publish(self.topics.status, ONLINE, qos=1, retain=True)
        asked = None
        if self._settings.discovery != "off":
            ask = not self._asked_for_other
            for at in range(0, len(self._other_filters) if ask else 0, FILTERS_MAX):
                some = self._other_filters[at : at + FILTERS_MAX]
                # With qos 0: of others brokers hold back all but some (20) until they are
                # acknowledged, and answer the next request before.
                client.subscribe([(each, 0) for each in some])
            _, born = client.subscribe([(topic, 1) for topic in self._birth_topics])
            # Brokers answer in order: with this one answered, the one before has been.
            asked = born if ask else None
        with self._changed:
            self._asked = asked
            self._hold_until = 0.0 if asked is None else time.monotonic() + ASK_S
            self._lanes.give_back(
                [
                    Parcel(each.topic, bytes(each.payload), qos=1, retain=False)
                    for each in left
                    if not each.retain
                ]
            )
            self._lanes.empty(each.topic for each in left if each.retain and not each.payload)
            lost, self._told_lost = self._lanes.dropped - self._told_lost, self._lanes.dropped
            self._count_lost()
            self._announce()
            self._online = self._connected_once = True
            self._failure = self._first_failure = None
            self._session += 1
            self._birth_due = None
            self._changed.notify_all()
        self._reporter.praise(f"{self._address}: connected")
        if lost:
            log.warning("%s: %d messages were lost since the last connection", self._address, lost)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        if self._client.failure is not None:
            self._failed(self._client.failure)

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        with self._changed:
            was_online, self._online = self._online, False
            told, self._refusing = self._refusing, False
            self._changed.notify_all()
        if not told:
            silent = str(reason) == "Keep alive timeout"
            what = "connection lost" if was_online else "no MQTT broker answers there"
            more = ": no sign of life" if was_online and silent else ""
            self._failed(UnavailableError(f"{self._address}: {what}{more}"))

    def _on_publish(self, *_: Any) -> None:
        with self._changed:
            self._changed.notify_all()

    def _on_subscribe(
        self,
        _client: Client,
        _data: Any,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties,
    ) -> None:
        refuses = any(reason.is_failure for reason in reasons)
        with self._changed:
            if self._asked is not None and mid != self._asked:
                if refuses:  # whether it is there is not to be known
                    self._lanes.empty(sorted(self._other_form))
                return
            if self._asked is not None:
                self._asked, self._asked_for_other = None, True
                self._hold_until = 0.0
                self._changed.notify_all()
        if refuses:
            self._reporter.say(
                logging.WARNING,
                f"{self._address}: not allowed to listen to {self._birth_topics[0]}: Home"
                " Assistant is told of the feeds on each connection, but not when it restarts",
            )

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.topic in self._other_form:
            if message.retain and message.payload:
                with self._changed:
                    self._lanes.empty([message.topic])
                    if not self._hold_until:  # late: what was announced meanwhile was a double
                        self._lanes.tell_again(self._discovery)
                    self._changed.notify_all()
            return
        # A retained birth message is old news: all was told on this very connection.
        born = message.topic in self._birth_topics and message.payload == ONLINE
        if born and not message.retain:
            with self._changed:
                if self._birth_due is None:
                    self._birth_due = time.monotonic() + self._birth_delay()
                    self._changed.notify_all()

    def _failed(self, failure: GenredError) -> None:
        with self._changed:
            if self._closing:
                return
            self._failure = failure
            if not self._connected_once and self._first_failure is None:
                self._first_failure = failure
            self._changed.notify_all()
        self._reporter.complain(failure)


def _on_log(_client: Client, _data: Any, level: int, text: str) -> None:
    # paho's other errors are told by on_disconnect; a fault of these callbacks by nothing else.
    if level == LogLevel.MQTT_LOG_ERR and text.startswith("Caught exception"):
        log.error("%s", text)
