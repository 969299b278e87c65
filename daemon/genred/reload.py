"""Another configuration while listening goes on: what SIGHUP does.

Feeds that the new configuration leaves as they are lose nothing. A configuration that is wrong, or
names what cannot be opened, is refused as a whole and the old one stays in force.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from genred import logs
from genred.engine import Arrangement
from genred.errors import ConfigError, GenredError, InternalError
from genred.feed import FeedSetup, Kept
from genred.publishers.mqtt import MqttPublisher
from genred.sources.opening import open_configured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genred.clock import Clock
    from genred.engine import Engine
    from genred.feed import Feed
    from genred.publishers.base import Publisher
    from genred.service.manager import ServiceManager
    from genred.settings.feeds import FeedSettings
    from genred.settings.mqtt import MqttSettings
    from genred.settings.root import Settings

log = logging.getLogger("genred.reload")

TAKEN_S: Final = 10.0
"""The engine makes an arrangement within a fraction of a second; so long means that it hangs."""

LEAVE_S: Final = 2.0
"""All sources that are no longer listened to together get so long to return."""

AT_START: Final = ("node", "model", "broker", "web", "dashboard", "history")
"""Sections that are read once: what they say is built into everything else."""


class Reloader:
    """Reads the configuration again when asked, and has the engine work by it.

    ``read`` loads it anew and may raise any :class:`GenredError`; ``typed`` are the feeds that the
    command line names, which no file changes. Works on a thread of its own: neither listening nor
    a display waits for a broker that is slow to say goodbye to.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        read: Callable[[], Settings],
        manager: ServiceManager,
        clock: Clock,
        *,
        typed: Sequence[FeedSettings] | None = None,
    ) -> None:
        self._engine = engine
        self._started_with = settings
        self._settings = settings
        self._files = _files(settings.mqtt)
        self._read = read
        self._manager = manager
        self._clock = clock
        self._typed = typed
        self._asked = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="genred-reload", daemon=True)

    def start(self) -> None:
        """Be there for :meth:`ask`."""
        self._thread.start()

    def ask(self) -> None:
        """Have the configuration read again, soon; asking twice before that is asking once."""
        self._asked.set()

    def stop(self) -> None:
        """Change nothing more."""
        self._ended = True
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ended:
                return
            self.reload()

    def reload(self) -> bool:
        """Read the configuration and work by it; False when it was refused. Raises nothing."""
        self._manager.reloading()
        try:
            self._reload()
        except GenredError as error:
            told = "; ".join(str(error).splitlines())
            log.error("the new configuration is refused, the old one stays: %s", told)  # noqa: TRY400 - one line
            return False
        except Exception:
            log.exception("a fault in genred: the old configuration stays")
            return False
        finally:
            self._manager.ready()
        return True

    def _reload(self) -> None:
        settings = self._read()
        feeds = self._feeds(settings)
        former = self._mqtt()
        files = _files(settings.mqtt)
        mqtt = former
        if settings.mqtt != self._settings.mqtt or files != self._files:
            mqtt = self._new_mqtt(settings, former)
        publishers: list[Publisher] = [
            each for each in self._engine.publishers if not isinstance(each, MqttPublisher)
        ]
        if mqtt is not None:
            publishers.insert(0, mqtt)
        wanted = Arrangement(feeds, publishers, settings.mqtt.heartbeat_s, settings.mqtt.scores)
        before = {feed.id for feed in self._engine.feeds}
        self._engine.arrange(wanted)
        if not wanted.made.wait(TAKEN_S):
            raise InternalError("the engine does not take it", "restart the daemon")
        self._say(settings, wanted, before, broker=mqtt is not former)
        if settings.logging != self._settings.logging:
            logs.setup(settings.logging.level, form=settings.logging.format)
        self._settings, self._files = settings, files
        _wait_for(wanted.ended)
        if mqtt is not former:
            if former is not None:
                # First the farewell: both may use the same client id, and the same topics.
                former.stop()
            if mqtt is not None and not self._ended:
                mqtt.start(self._engine.info, self._engine.feed_infos())

    def _feeds(self, settings: Settings) -> list[FeedSetup | Kept]:
        feeds = settings.feeds if self._typed is None else self._typed
        if not feeds:
            raise ConfigError("no feeds are left", "to stop listening, stop the daemon")
        running = {feed.id: feed.settings for feed in self._engine.feeds}
        return [self._feed(feed, running.get(feed.id), settings) for feed in feeds]

    def _feed(
        self, feed: FeedSettings, running: FeedSettings | None, settings: Settings
    ) -> FeedSetup | Kept:
        judgement = settings.judgement_for(feed)
        if running is not None:
            same = running.model_copy(update={"judgement": feed.judgement})
            if same == feed:
                return Kept(feed.id, judgement)
        return FeedSetup(feed, judgement, open_configured(feed, self._clock))

    def _mqtt(self) -> MqttPublisher | None:
        found = (each for each in self._engine.publishers if isinstance(each, MqttPublisher))
        return next(found, None)

    def _new_mqtt(self, settings: Settings, former: MqttPublisher | None) -> MqttPublisher | None:
        if settings.mqtt.url is None:
            # Without a URL before either, what there is is the embedded broker's.
            return former if self._settings.mqtt.url is None else None
        return MqttPublisher(settings.mqtt, self._started_with.node.name)

    def _say(
        self, settings: Settings, wanted: Arrangement, before: set[str], *, broker: bool
    ) -> None:
        kept = {each.id for each in wanted.feeds if isinstance(each, Kept)}
        fresh = [each.settings.id for each in wanted.feeds if isinstance(each, FeedSetup)]
        parts = [f"{len(kept)} feeds go on"]
        parts += [f"{feed} begins {'anew' if feed in before else 'now'}" for feed in fresh]
        parts += [f"{feed} is over" for feed in sorted(before - kept - set(fresh))]
        if broker:
            url = settings.mqtt.address
            parts.append(f"published to {url}" if url is not None else "nothing is published")
        log.info("configuration read again: %s", ", ".join(parts))
        for section in AT_START:
            if getattr(settings, section) != getattr(self._started_with, section):
                log.warning("[%s] has changed: it holds from the next start on", section)


def _wait_for(ended: Sequence[Feed]) -> None:
    until = time.monotonic() + LEAVE_S
    for feed in ended:
        if not feed.runner.stop(max(0.0, until - time.monotonic())):
            log.warning("feed %s: its source does not stop; left behind", feed.id)


def _files(mqtt: MqttSettings) -> tuple[str, ...]:
    """What stands in the files that a connection is made with: a renewed certificate counts."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    paths = [mqtt.ca_file, mqtt.cert_file, mqtt.key_file, mqtt.password_file]
    found = []
    for path in [*paths, f"{credentials}/mqtt-password" if credentials else None]:
        try:
            with open(path, "rb") if path else open(os.devnull, "rb") as file:  # noqa: PTH123
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError:
            found.append("")  # told by whoever needs it
    return tuple(found)
