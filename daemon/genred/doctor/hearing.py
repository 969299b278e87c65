"""Does audio come in, does the model keep up, does the broker take what is told?"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from genred.doctor.findings import Finding
from genred.errors import GenredError, UnavailableError
from genred.intake import FeedIntake
from genred.judgement.gate import rms_dbfs
from genred.publishers.purge import Visit
from genred.sources.opening import open_source
from genred.sources.runner import FeedRunner
from genred.sources.stdin import FifoSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from genred.clock import Clock
    from genred.model.session import Model
    from genred.settings.feeds import FeedSettings
    from genred.settings.root import Settings

LISTEN_S: Final = 12.0
"""All feeds together are listened to for at most so long; a stream takes seconds to open."""

ENOUGH_S: Final = 1.0
"""Audio that shows that a feed is heard."""

LEAVE_S: Final = 2.0
"""For all sources to return."""

STEPS: Final = 20
"""Steps of the model that are timed."""

BUSY: Final = 0.5
"""Above this share of a hop the model is too slow to be safe: the rest needs time too."""

BUFFER_S: Final = 2.0


class _Trial:
    """One feed, listened to for a moment."""

    def __init__(self, feed: FeedSettings, rate: int, clock: Clock) -> None:
        self.about = f"feed {feed.id}"
        self.source = open_source(feed, clock)
        self.left_alone = isinstance(self.source, FifoSource)
        self._hop = rate // 4
        self.intake = FeedIntake(feed.id, rate, self._hop, BUFFER_S, threading.Event(), clock)
        self.runner = FeedRunner(self.source, self.intake, clock, retry=False)
        self._audio = np.zeros((1, self._hop), np.float32)
        self.levels: list[float] = []

    def start(self) -> None:
        if not self.left_alone:
            self.runner.start()

    @property
    def done(self) -> bool:
        while len(self.levels) < 4 * ENOUGH_S and self.intake.take(self._audio[0]) is not None:
            self.levels.append(rms_dbfs(self._audio)[0])
        over = self.intake.status.final and self.intake.available() < self._hop
        return self.left_alone or over or len(self.levels) >= 4 * ENOUGH_S

    def finding(self, silence_dbfs: float) -> Finding:
        words = self.source.description
        if self.left_alone:
            return Finding.ok(self.about, f"{words}; not tried: it would take audio from a daemon")
        if not self.levels:
            error = self.runner.error or UnavailableError(
                f"{words}: no audio within {LISTEN_S:.0f} s", "does it play just now?"
            )
            return Finding.fault(self.about, error)
        level = max(self.levels)
        heard = f"{words}: heard, {level:.0f} dBFS"
        if level < silence_dbfs:
            return Finding.doubt(
                self.about,
                f"{heard}: that counts as silence",
                "turn the input up, choose another channel, or lower judgement.silence_dbfs",
            )
        return Finding.ok(self.about, heard)


def feeds(settings: Settings, rate: int, clock: Clock) -> Iterator[Finding]:
    """Listen to all feeds at once for a moment; ``rate`` is the model's."""
    trials: list[tuple[_Trial, float]] = []
    for feed in settings.feeds:
        if feed.source == "-":
            yield Finding.ok(f"feed {feed.id}", "standard input; not tried")
            continue
        try:
            trial = _Trial(feed, rate, clock)
        except GenredError as error:
            yield Finding.fault(f"feed {feed.id}", error)
            continue
        trials.append((trial, settings.judgement_for(feed).silence_dbfs))
        trial.start()
    until = time.monotonic() + LISTEN_S
    while not all([trial.done for trial, _ in trials]) and time.monotonic() < until:  # noqa: C419 - each is asked
        time.sleep(0.05)
    for trial, _ in trials:
        trial.runner.stop(0)
    until = time.monotonic() + LEAVE_S
    for trial, silence_dbfs in trials:
        trial.runner.stop(max(0.0, until - time.monotonic()))
        yield trial.finding(silence_dbfs)


def model_speed(model: Model, feed_count: int) -> Finding:
    """What one step of all feeds takes of the time that there is."""
    metadata = model.metadata
    audio = np.zeros((feed_count, metadata.hop), np.float32)
    state = model.new_state(feed_count)
    taken = []
    for _ in range(STEPS):
        began = time.perf_counter()
        _, _, state = model.step(audio, state)
        taken.append(time.perf_counter() - began)
    step_s, hop_s = sorted(taken)[STEPS // 2], metadata.hop / metadata.sample_rate
    found = (
        f"{metadata.name} on {model.provider}: a step of {feed_count} feed(s) takes "
        f"{step_s * 1000:.1f} of {hop_s * 1000:.0f} ms"
    )
    if step_s > BUSY * hop_s:
        return Finding.doubt("model", found, "fewer feeds, a smaller model, or a GPU")
    return Finding.ok("model", found)


def broker(settings: Settings, environ: Mapping[str, str]) -> Finding:
    """Go there as the daemon would; say a word and see whether it comes back."""
    if settings.mqtt.address is None:
        return Finding.doubt("broker", "none: nothing is published", "set mqtt.url")
    try:
        with Visit(settings.mqtt, settings.node.name, environ) as visit:
            status = visit.look().get(visit.topics.status, b"").decode("ascii", "replace")
    except GenredError as error:
        return Finding.fault("broker", error)
    there = f"this node is {status}" if status else "this node was not there yet"
    return Finding.ok("broker", f"{settings.mqtt.address} takes and returns messages; {there}")
