"""What there is to say of a span of the history, feed by feed; days and hours are local ones."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from genred.errors import UsageError
from genred.history.reader import HOUR_S, clipped, shares
from genred.labels import SILENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genred.history.reader import DeadAir, Happened, Played, Reader, Share

UNITS: Final = {"m": 60.0, "h": HOUR_S, "d": 86400.0, "w": 7 * 86400.0}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([mhdw])")
_NO_TIME = "write a date (2026-01-31), a time of it (2026-01-31T18:00), today, yesterday, or how \
long ago (90m, 24h, 7d, 4w)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReport:
    """One feed from ``since`` to ``until``."""

    feed: str
    since: float
    until: float
    played: list[Played]
    """Cut to the span."""
    shares: list[Share]
    changes: list[tuple[float, int]]
    """Start of each hour (of UTC) and its changes."""
    dead_air: list[DeadAir]
    """Cut to the span."""
    events: list[Happened]

    @property
    def heard_seconds(self) -> float:
        """How much of the span was heard."""
        return sum(each.seconds for each in self.shares)

    @property
    def dead_air_seconds(self) -> float:
        """How much of it was dead air."""
        return sum(each.seconds for each in self.dead_air)

    @property
    def changes_an_hour(self) -> float:
        """Changes for each hour that was heard; 0 where nothing was."""
        heard = self.heard_seconds
        return sum(number for _, number in self.changes) * HOUR_S / heard if heard else 0.0


def report(reader: Reader, feed: str, since: float, until: float) -> FeedReport:
    """Read all there is to say of ``feed``. Raises what :class:`Reader` raises."""
    played = reader.segments(feed, since, until)
    return FeedReport(
        feed=feed,
        since=since,
        until=until,
        played=list(clipped(played, since, until)),
        shares=shares(played, since, until),
        changes=reader.changes_per_hour(feed, since, until),
        dead_air=list(clipped(reader.dead_air(feed, since, until), since, until)),
        events=reader.events(feed, since, until),
    )


def moment(text: str, now: float) -> float:
    """What people call a time, as Unix seconds. Raises :class:`UsageError`."""
    ago = _AGO.fullmatch(text)
    if ago:
        return now - float(ago[1]) * UNITS[ago[2]]
    if text == "now":
        return now
    if text in ("today", "yesterday"):
        return day_of(now, -1 if text == "yesterday" else 0)[0]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{text!r} is no time", _NO_TIME) from None


def day_of(ts: float, later: int = 0) -> tuple[float, float]:
    """Start and end of the local day of ``ts``, or of one so many days ``later``."""
    date = datetime.fromtimestamp(ts).astimezone().date() + timedelta(days=later)
    # A naive time is a local one: this way a day of 23 or 25 hours is one too.
    start = datetime(date.year, date.month, date.day)  # noqa: DTZ001 - local, see above
    following = date + timedelta(days=1)
    end = datetime(following.year, following.month, following.day)  # noqa: DTZ001 - local
    return start.timestamp(), end.timestamp()


def strongest(
    played: Sequence[Played], since: float, until: float, cells: int
) -> list[tuple[str, float] | None]:
    """The span in ``cells`` equal parts: which label had most of each, and what share of it."""
    step = (until - since) / cells
    totals: list[dict[str, float]] = [{} for _ in range(cells)]
    for each in clipped(played, since, until):
        first = int((each.start - since) / step)
        last = min(math.ceil((each.end - since) / step), cells)
        for at in range(first, last):
            begin = since + at * step
            overlap = min(each.end, begin + step) - max(each.start, begin)
            if overlap > 0:
                totals[at][each.label] = totals[at].get(each.label, 0.0) + overlap
    out: list[tuple[str, float] | None] = []
    for total in totals:
        # Silence is what is left where nothing else was.
        label = max(total, key=lambda one: (one != SILENCE, total[one]), default=None)
        out.append(None if label is None else (label, min(total[label] / step, 1.0)))
    return out


def touched(dead: Sequence[DeadAir], since: float, until: float, cells: int) -> list[bool]:
    """The span in ``cells`` equal parts: was there dead air."""
    step = (until - since) / cells
    out = [False] * cells
    for each in dead:
        first = max(int((each.start - since) / step), 0)
        for at in range(first, min(math.ceil((each.end - since) / step), cells)):
            out[at] = True
    return out
