"""The tables of ``docs/scale.md``: what a simulated day measured, and what follows from it."""

from __future__ import annotations

from typing import Any

from genred.messages import FeedScores
from genred.publishers.mqtt import encode

FEEDS = 10_000

# Headers of an MQTT 3.1.1 PUBLISH with qos 1: type, length (two bytes up to 16 kB), length of the
# topic, packet id; and the PUBACK that answers it.
HEADER = 1 + 2 + 2 + 2
PUBACK = 4

# Loads that are computed: what they are, changes of what is on an hour, seconds between heartbeats,
# decisions published a second.
LOADS = (
    ("songs, the default heartbeat", 20.0, 30.0, 0.0),
    ("songs, heartbeat every 5 min", 20.0, 300.0, 0.0),
    ("programmes of half an hour, heartbeat every hour", 2.0, 3600.0, 0.0),
    ("songs, the default heartbeat, every decision published", 20.0, 30.0, 4.0),
)

# What internet radio mostly is.
STREAM_KBIT_S = 128.0


def day(report: dict[str, Any]) -> str:
    """What was simulated, and what arrived."""
    received, offered = report["received"], report["offered"]
    total = sum(received.values())
    payload = sum(report["payload_bytes"].values())
    lasted = f"{report['real_seconds']:,.0f} s"
    beats = f"a heartbeat every {report['heartbeat_s']:g} s"
    overtaken = report["superseded"].get("state", 0)
    missing = report["newest_missing"]["state"]
    rows = [
        ("feeds, nodes", f"{report['feeds']:,} on {report['nodes']}"),
        (
            "simulated",
            f"{report['hours']:g} h of {report['hours_asked']:g} h, in {lasted}",
        ),
        (
            "programme",
            f"a change every {report['programme_minutes']:g} min on average, {beats}",
        ),
        ("decisions judged", f"{report['decisions_judged']:,}"),
        (
            "messages that arrived",
            f"{total:,}, {payload / 1e6:,.0f} MB of payload",
        ),
        ("events offered, arrived", f"{offered['event']:,}, {received['event']:,}"),
        (
            "events lost, twice or out of order",
            f"{report['events_lost']}, {report['twice'].get('event', 0)}",
        ),
        (
            "states that a newer one overtook before they were sent",
            f"{overtaken:,} of {offered['state']:,}; the newest is missing of {missing}",
        ),
        ("dropped by publishers", f"{report['dropped']}"),
        ("the broker's CPU", f"{report['broker_cpu_us_per_message']:g} µs a message"),
    ]
    return _table(("what", "measured"), rows)


def sizes(report: dict[str, Any]) -> str:
    """How large each kind of message is."""
    rows = []
    for kind, count in report["received"].items():
        payload = report["payload_bytes"][kind] / count
        rows.append((kind, f"{count:,}", f"{payload:.0f}", f"{_wire(report, kind):.0f}"))
    return _table(("message", "how many", "payload, bytes", "on the wire, qos 1, bytes"), rows)


def _wire(report: dict[str, Any], kind: str) -> float:
    """Mean bytes of a message as TCP carries it, the acknowledgement included."""
    count = report["received"][kind]
    body = (report["payload_bytes"][kind] + report["topic_bytes"][kind]) / count
    return float(body + HEADER + PUBACK)


def loads(report: dict[str, Any]) -> str:
    """What the broker bears with so many feeds, computed from the measured sizes."""
    rows = []
    labels = ("blues", "classical", "country", "disco", "electronic", "hiphop", "jazz", "metal")
    values = dict.fromkeys((*labels, "pop", "reggae", "rock", "speech", "noise"), 0.0769)
    scores = FeedScores(
        feed="station-00000", ts=0.0, seq=100_000, raw=values, smoothed=values, label="electronic",
        level_dbfs=-20.0,
    )  # fmt: skip
    scores_bytes = len(encode(scores)) + HEADER + len("genred/box-0/station-00000/scores")
    for name, changes, heartbeat, decisions in LOADS:
        events = FEEDS * changes / 3600
        beats = FEEDS / heartbeat
        messages = 2 * events + 2 * beats + FEEDS * decisions
        carried = (
            events * (_wire(report, "event") + _wire(report, "state"))
            + beats * (_wire(report, "state") + _wire(report, "health"))
            + FEEDS * decisions * scores_bytes
        )
        share = messages * report["broker_cpu_us_per_message"] / 1e6
        rows.append((name, f"{messages:,.0f}", f"{carried * 8 / 1e6:.1f} Mbit/s", f"{share:.0%}"))
    head = (f"{FEEDS:,} feeds", "messages a second", "in, and out for each subscriber")
    return _table((*head, "of a core for the broker, one subscriber"), rows)


def announcement(report: dict[str, Any]) -> str:
    """What all nodes say when the broker comes back."""
    kinds = ("discovery", "status", "state", "health")
    each = sum(_wire(report, kind) for kind in kinds)
    rows = [
        (f"{kind} of every feed", f"{FEEDS * _wire(report, kind) / 1e6:.1f} MB") for kind in kinds
    ]
    rows.append(("together", f"{FEEDS * each / 1e6:.0f} MB, {FEEDS * len(kinds):,} messages"))
    return _table(("on a reconnection of all nodes", "to the broker"), rows)


def boxes(record: dict[str, Any]) -> str:
    """How many cores it takes, by the newest record of the benchmark."""
    own = next(each for each in record["rates"] if each["own"])
    listening, decoding = own["many"]["cpu_ms"], 1000 / record["tag"]["decoding"]
    memory = record["memory"]
    further = (memory[-1]["mb"] - memory[0]["mb"]) / (memory[-1]["feeds"] - memory[0]["feeds"])
    rows = [
        (
            "listening, from ring to message",
            f"{listening:.3f} ms a second",
            f"{FEEDS * listening / 1000:.1f} cores",
        ),
        (
            "decoding and resampling, stereo MP3 to mono",
            f"{decoding:.2f} ms a second",
            f"{FEEDS * decoding / 1000:.0f} cores",
        ),
        ("memory", f"{further * 1024:.0f} kB", f"{FEEDS * further / 1024:.1f} GB"),
        (
            "the network, audio in",
            f"{STREAM_KBIT_S:g} kbit/s",
            f"{FEEDS * STREAM_KBIT_S / 1e6:.2f} Gbit/s",
        ),
    ]
    return _table(("what", "each feed", f"{FEEDS:,} feeds"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
