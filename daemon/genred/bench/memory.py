"""How much memory a number of feeds takes, the daemon's own parts beside it."""

from __future__ import annotations

import gc
import io
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genred import frugal
from genred.bench.load import BUFFER_S, HEARTBEAT_S, BusyClock, Fed
from genred.bench.sound import programme
from genred.engine import Engine
from genred.feed import FeedSetup
from genred.model.session import load_model
from genred.publishers.mqtt import MqttPublisher
from genred.publishers.plain import PlainPublisher
from genred.settings.root import Settings

if TYPE_CHECKING:
    from genred.publishers.base import Publisher

HEARD_S: Final = float(BUFFER_S) + 1.0
"""Audio heard before memory is read: every page of every ring has been written to by then."""

PROGRAMME_S: Final = 5.0
"""The audio that is played again and again, short so that it takes little memory itself."""

NO_BROKER: Final = "mqtt://127.0.0.1:9"
"""A port at which nothing listens (discard): the publisher keeps the newest word of each topic, as
it does for a broker that is there."""


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident memory."""

    feeds: int
    mb: float
    """Of 2**20 bytes."""
    threads: int


def resident(model: str, feeds: int) -> dict[str, Any]:
    """Resident memory of the daemon's parts with ``feeds`` feeds that have heard their fill.

    Everything from source thread to MQTT client is there, but no decoder and no sound card.
    """
    loaded = load_model(Path(model), feeds=feeds)
    metadata = loaded.metadata
    audio = programme(PROGRAMME_S, metadata.sample_rate)
    settings = Settings.model_validate(
        {
            "mqtt": {"url": NO_BROKER},
            "feeds": tuple({"id": f"feed{n}", "source": "default"} for n in range(feeds)),
        }
    )
    clock = BusyClock(metadata.hop, metadata.sample_rate, audio)
    setups = [FeedSetup(each, settings.judgement_for(each), Fed()) for each in settings.feeds]
    publishers: list[Publisher] = [
        MqttPublisher(settings.mqtt, "bench"),
        PlainPublisher(io.StringIO()),
    ]
    engine = Engine(loaded, setups, publishers, clock, node="bench", heartbeat_s=HEARTBEAT_S)
    stop = threading.Event()
    phases = np.linspace(0, 1, feeds, endpoint=False).astype(np.float32)
    found: list[Resident] = []

    frugal.settle()
    clock.play(engine.feeds, phases, HEARD_S, stop)
    clock.at_end = lambda: found.append(_now(feeds))
    engine.run(stop)
    return asdict(found[0])


def _now(feeds: int) -> Resident:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    mb = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Resident(feeds, mb, threading.active_count())
