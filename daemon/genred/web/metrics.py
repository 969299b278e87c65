"""``/metrics`` for Prometheus: what the engine knows at the moment of the scrape.

Names follow Prometheus' conventions: base units (seconds, ratios) in the name, counters end with
``_total``. Labels are bounded by configuration and model: feeds, labels, event types, routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from genred.labels import SILENCE, UNKNOWN
from genred.messages import EventType, SourceStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from genred.views import FeedView, NodeView
    from genred.web.hub import Hub
    from genred.web.snapshot import Snapshots

disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody asks for

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"})
"""Whatever else a client calls a method counts as OTHER: labels are bounded."""

BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
"""Seconds: a look at a feed takes a few thousandths, a clip of an hour some seconds."""

_FEED_GAUGES: Final = (
    ("genred_feed_up", "Is audio arriving (1) or not (0)."),
    ("genred_feed_dead_air", "Has it been silent for longer than a station should (1)."),
    ("genred_feed_confidence_ratio", "Confidence in the label that is on, 0 to 1."),
    ("genred_feed_level_dbfs", "Level of the newest audio, dB relative to full scale."),
    ("genred_feed_lag_seconds", "From the end of the newest audio to its decision."),
    ("genred_feed_clock_drift_ratio", "How much faster than nominal the source runs."),
    ("genred_feed_heard_timestamp_seconds", "Capture time of the newest audio, Unix time."),
)
_FEED_COUNTERS: Final = (
    ("genred_feed_heard_seconds", "Audio heard since the start."),
    ("genred_feed_decisions", "Windows judged since the start."),
    ("genred_feed_overflows", "Times the sound card or the ring was overrun."),
    ("genred_feed_dropped_seconds", "Audio lost by overruns."),
    ("genred_feed_gaps", "Gaps in the audio."),
    ("genred_feed_reconnects", "Times the source was opened again."),
)


class Metrics:
    """The registry of one daemon; nothing of it is global."""

    def __init__(self, snapshots: Snapshots, hub: Hub) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Engine(self, snapshots, hub))
        ProcessCollector(registry=self.registry)
        self.dropped: Callable[[], dict[str, int]] = dict
        """Messages that publishers have dropped, by publisher."""
        self.fell_back = False
        """Was another provider asked for than the one in use."""
        self._requests = Counter(
            "genred_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "genred_http_request_duration_seconds",
            "Time to the end of an answer.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.uploads = Counter(
            "genred_classify_clips",
            "Clips uploaded, by what came of them: judged, refused, busy, late, gone or failed.",
            ("outcome",),
            registry=self.registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answer."""
        route = route or "other"
        self._requests.labels(method if method in METHODS else "OTHER", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def exposition(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Engine(Collector):
    """What is read off the engine at the moment of a scrape."""

    def __init__(self, metrics: Metrics, snapshots: Snapshots, hub: Hub) -> None:
        self._metrics = metrics
        self._snapshots = snapshots
        self._hub = hub
        self._heard: dict[str, float] = {}

    def describe(self) -> list[Metric]:
        """Nothing in advance: registering must not look at an engine that does not run yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        node = self._snapshots.node()
        yield from self._of_node(node)
        yield from self._of_feeds(node)
        events = CounterMetricFamily(
            "genred_feed_events", "Events told of a feed.", labels=("feed", "event_type")
        )
        for feed in node.feeds:
            for kind in EventType:
                count = self._hub.events[feed.id, kind.value]
                events.add_metric((feed.id, kind.value), count)
        yield events

    def _of_node(self, node: NodeView) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "genred_node_info",
            "Always 1; who this is, in its labels.",
            labels=("node", "version", "model", "provider"),
        )
        info.add_metric((node.node, node.version, node.model, node.provider), 1)
        yield info
        yield GaugeMetricFamily(
            "genred_start_timestamp_seconds", "When the daemon was started.", node.started_at
        )
        yield GaugeMetricFamily(
            "genred_provider_fallback",
            "Does the model run on the CPU although a GPU was asked for (1).",
            float(self._metrics.fell_back),
        )
        dropped = CounterMetricFamily(
            "genred_publisher_dropped_messages",
            "Messages that found no place while nobody took them.",
            labels=("publisher",),
        )
        for publisher, count in self._metrics.dropped().items():
            dropped.add_metric((publisher,), count)
        yield dropped
        yield GaugeMetricFamily(
            "genred_http_listeners", "Who listens to live events now.", self._hub.listeners
        )
        yield CounterMetricFamily(
            "genred_http_listeners_cut_off", "Listeners that did not keep up.", self._hub.cut_off
        )

    def _of_feeds(self, node: NodeView) -> Iterator[Metric]:
        gauges = {
            name: GaugeMetricFamily(name, words, labels=("feed",)) for name, words in _FEED_GAUGES
        }
        counters = {
            name: CounterMetricFamily(name, words, labels=("feed",))
            for name, words in _FEED_COUNTERS
        }
        label = GaugeMetricFamily(
            "genred_feed_label", "Is this label on (1) or not (0).", labels=("feed", "label")
        )
        status = GaugeMetricFamily(
            "genred_feed_source_status",
            "Is the source in this state (1) or not (0).",
            labels=("feed", "status"),
        )
        for feed in node.feeds:
            for name, value in self._gauges(feed).items():
                gauges[name].add_metric((feed.id,), value)
            for name, value in _counters(feed).items():
                counters[name].add_metric((feed.id,), value)
            for each in (*node.labels, SILENCE, UNKNOWN):
                label.add_metric((feed.id, each), float(feed.state.label == each))
            for state in SourceStatus:
                status.add_metric((feed.id, state.value), float(feed.health.status == state.value))
        yield from gauges.values()
        yield from counters.values()
        yield label
        yield status

    def _gauges(self, feed: FeedView) -> dict[str, float]:
        online = SourceStatus(feed.health.status).online
        if online and feed.health.decisions:
            # Of a feed that is away the view tells the time of the look.
            self._heard[feed.id] = feed.now
        return {
            "genred_feed_up": float(online),
            "genred_feed_dead_air": float(feed.state.dead_air),
            "genred_feed_confidence_ratio": feed.state.confidence,
            "genred_feed_level_dbfs": feed.state.level_dbfs,
            "genred_feed_lag_seconds": feed.health.lag_ms / 1000,
            "genred_feed_clock_drift_ratio": feed.health.drift_ppm / 1e6,
            "genred_feed_heard_timestamp_seconds": self._heard.get(feed.id, 0.0),
        }


def _counters(feed: FeedView) -> dict[str, float]:
    health = feed.health
    return {
        "genred_feed_heard_seconds": health.heard_seconds,
        "genred_feed_decisions": health.decisions,
        "genred_feed_overflows": health.overflows,
        "genred_feed_dropped_seconds": health.dropped_seconds,
        "genred_feed_gaps": health.gaps,
        "genred_feed_reconnects": health.reconnects,
    }
