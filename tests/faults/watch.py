"""One feed through the whole engine, and everything that is told of it with the time of telling."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from genred.clock import SystemClock
from genred.engine import Engine
from genred.feed import FeedSetup
from genred.messages import FeedEvent, FeedHealth, FeedState
from genred.model.session import load_model
from genred.settings.feeds import FeedSettings
from genred.settings.judgement import JudgementSettings
from genred.sources.opening import open_configured
from rigs import tiny_model
from rigs.ports import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from genred.messages import Message

HEARTBEAT_S = 0.2
"""Health is told so often, for its counters; changes of state are told at once anyway."""


class Watch:
    """Listens to ``source`` as the daemon would, with a publisher that keeps the time."""

    def __init__(self, folder: Path, source: str, **settings: object) -> None:
        clock = SystemClock()
        feed = FeedSettings(id="feed", source=source, **settings)
        model = load_model(tiny_model.write(folder / "model.onnx"))
        setup = FeedSetup(feed, JudgementSettings(), open_configured(feed, clock))
        self.told: list[tuple[float, Message]] = []
        self.engine = Engine(model, [setup], [self], clock, node="test", heartbeat_s=HEARTBEAT_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.engine.run, args=(self._stop,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    # ---- a publisher ----------------------------------------------------------------------------

    def start(self, node: object, feeds: object) -> None: ...

    def rearrange(self, node: object, feeds: object) -> None: ...

    def stop(self) -> None: ...

    def status(self) -> str:
        return "watching"

    def offer(self, message: Message) -> None:
        self.told.append((time.monotonic(), message))

    # ---- what was told --------------------------------------------------------------------------

    @property
    def health(self) -> FeedHealth:
        return next(m for _, m in reversed(self.told) if isinstance(m, FeedHealth))

    @property
    def state(self) -> FeedState:
        return next(m for _, m in reversed(self.told) if isinstance(m, FeedState))

    def statuses(self, since: float = 0.0) -> list[str]:
        """The states of the source since then, each once in a row."""
        seen: list[str] = []
        for at, message in list(self.told):
            if at >= since and isinstance(message, FeedHealth) and [message.status] != seen[-1:]:
                seen.append(message.status)
        return seen

    def events(self, since: float = 0.0) -> list[FeedEvent]:
        return [m for at, m in list(self.told) if at >= since and isinstance(m, FeedEvent)]

    def until(self, true: Callable[[], object], seconds: float = 30.0, what: str = "") -> float:
        """Wait; the monotonic time."""
        wait_until(lambda: self.told and true(), seconds, what or "what should be told")
        return time.monotonic()

    def until_status(self, *statuses: str, seconds: float = 30.0) -> float:
        return self.until(lambda: self.health.status in statuses, seconds, "/".join(statuses))

    def until_judged(self, seconds: float = 30.0) -> float:
        """Wait until another decision has come of real audio."""
        before = self.health.decisions if self.told else 0
        return self.until(lambda: self.health.decisions > before, seconds, "a decision")

    def check_sequences(self) -> None:
        """Nothing that was told is missing or told twice."""
        for kind in (FeedEvent, FeedHealth, FeedState):
            numbers = [m.seq for _, m in self.told if isinstance(m, kind)]
            assert numbers == list(range(1, len(numbers) + 1))
