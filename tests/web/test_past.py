"""What was on, as asked over HTTP."""

from __future__ import annotations

import time
from itertools import count

import pytest
from hearts import Heart, feed_view

from genred.clock import iso
from genred.history.reader import Reader
from genred.history.store import Store
from genred.messages import SourceStatus
from rigs.messages import event, info, state

HOUR = 3600.0


@pytest.fixture
def noon():
    """The last full hour but one."""
    return (time.time() // HOUR - 2) * HOUR


@pytest.fixture
def kept(tmp_path, noon):
    """Half an hour of jazz, ten minutes of dead air, twenty of speech, and jazz since."""
    store = Store(tmp_path / "history.sqlite3", 90 * 86_400, 1 << 24)
    store.open()

    numbers = count(1)

    def told(kind, label, at, **more):
        start = more.pop("start", at)
        return event(next(numbers), kind, label=label, ts=at, start=start, feed="fm", **more)

    half, forty, hour = noon + 1800, noon + 2400, noon + HOUR
    store.write(
        info(ts=noon, started_at=noon),
        "studio",
        [
            told("started", "jazz", noon, title="A Band - A Song"),
            told("changed", "silence", half, previous="jazz", previous_seconds=1800.0),
            told("dead_air", "silence", half + 10, start=half),
            told("recovered", "silence", forty),
            told("changed", "speech", forty, previous="silence", previous_seconds=600.0),
            told("changed", "jazz", hour, previous="speech", previous_seconds=1200.0),
        ],
        [state(feed="fm", label="jazz", ts=hour + 600, since=hour)],
        now=hour + 600,
        ended=False,
    )
    store.end()
    return Reader(tmp_path / "history.sqlite3")


def ask(served, feed="fm", **query):
    return served.get(f"/api/v1/feeds/{feed}/history", params=query)


def test_a_span_is_told_in_full(serve, kept, noon):
    told = ask(serve(history=kept), since=iso(noon), until=iso(noon + HOUR)).json()
    assert [each["label"] for each in told["segments"]] == ["jazz", "silence", "speech"]
    assert told["segments"][0]["title"] == "A Band - A Song"
    assert [each["seconds"] for each in told["segments"]] == [1800, 600, 1200]
    assert {each["label"]: each["share"] for each in told["shares"]} == {
        "jazz": 0.5,
        "speech": 0.3333,
        "silence": 0.1667,
    }
    assert told["changes"] == [{"hour": iso(noon), "changes": 2}]
    assert [each["seconds"] for each in told["dead_air"]] == [600]
    assert told["truncated"] is False


def test_without_a_span_it_is_the_last_day(serve, kept):
    told = ask(serve(history=kept)).json()
    assert [each["label"] for each in told["segments"]] == ["jazz", "silence", "speech", "jazz"]


def test_the_newest_are_told_where_there_are_too_many(serve, kept):
    told = ask(serve(history=kept), limit=2).json()
    assert [each["label"] for each in told["segments"]] == ["speech", "jazz"]
    assert told["truncated"] is True
    assert len(told["shares"]) == 3


def test_a_feed_of_which_nothing_is_kept_has_an_empty_past(serve, kept):
    served = serve(Heart(feed_view("new", status=SourceStatus.STARTING)), history=kept)
    assert ask(served, "new").json()["segments"] == []
    assert ask(served, "fm").json()["segments"]  # configured no more
    assert ask(served, "none").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2020-01-01", "until": "2026-01-01"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"since": "yesterday"},
        {"limit": "0"},
        {"limit": "5001"},
    ],
    ids=str,
)
def test_a_span_that_is_none_is_refused(serve, kept, query):
    answer = ask(serve(history=kept), **query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_history_that_cannot_be_read_now_is_no_fault(serve, tmp_path):
    answer = ask(serve(history=Reader(tmp_path / "not yet")))
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
