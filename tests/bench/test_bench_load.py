"""Feeds under a clock of their own: what is counted, and what delays come to."""

from __future__ import annotations

import time

import numpy as np
import pytest

from genred.bench import capacity
from genred.bench.load import run_load
from genred.engine import GATHER_S, MOST_GATHER_S
from genred.model.session import load_model
from genred.model.stream import HostStream
from rigs import tiny_model

NOISE = 0.1 * np.random.default_rng(0).standard_normal(20 * tiny_model.RATE, np.float32)


@pytest.fixture
def model(tmp_path):
    return load_model(tiny_model.write(tmp_path / "model.onnx"))


class Slow:
    """The stream of a model whose every step takes so much CPU time."""

    def __init__(self, stream, seconds):
        self._stream, self._seconds = stream, seconds

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def step(self, rows):
        until = time.process_time() + self._seconds
        while time.process_time() < until:
            pass
        return self._stream.step(rows)


def slowed(model, seconds, monkeypatch):
    make = model.stream
    monkeypatch.setattr(model, "stream", lambda feeds, **how: Slow(make(feeds, **how), seconds))
    return model


def test_cost_and_delay_are_those_of_the_work(model, monkeypatch):
    quick = run_load(model, 1, 2.0, audio=NOISE)
    load = run_load(slowed(model, 0.02, monkeypatch), 1, 2.0, audio=NOISE)
    # Four steps a second of 20 ms, and what the engine itself takes.
    assert load.cpu_ms == pytest.approx(quick.cpu_ms + 80, rel=0.1)
    assert load.busy == pytest.approx(load.cpu_ms / 1000)
    assert 20 <= load.delay_median_ms < 20 + 10
    assert load.dropped_seconds == 0
    assert load.decisions_per_second == 4
    assert load.messages >= 1


def test_windows_that_end_at_once_wait_for_each_other(model, monkeypatch):
    slow = slowed(model, 0.02, monkeypatch)
    batch = slow.stream(100).batch
    together = run_load(slow, 2 * batch, 1.0, aligned=True, audio=NOISE)
    # Two batches a turn: nobody is done before both are.
    assert together.delay_median_ms >= 40


def test_a_handful_does_not_wait_and_many_share_batches(model, monkeypatch):
    sizes, step = [], HostStream.step

    def counted(stream, rows):
        sizes.append(len(rows))
        return step(stream, rows)

    monkeypatch.setattr(HostStream, "step", counted)
    for feeds, least, late_s in ((1, 1, 0), (4, 1, 4 * GATHER_S), (200, 20, MOST_GATHER_S)):
        sizes.clear()
        load = run_load(model, feeds, 2.0, audio=NOISE)
        assert np.mean(sizes) >= least
        # What they waited for each other, and the work on a laden machine.
        assert load.delay_p99_ms < 1000 * late_s + 20


def test_a_core_that_is_too_slow_falls_behind(model, monkeypatch):
    load = run_load(slowed(model, 0.35, monkeypatch), 1, 1.0, audio=NOISE)
    assert load.busy > 0.95
    assert load.delay_p99_ms > 500


def test_the_search_finds_the_most_feeds_that_come_in_time(monkeypatch):
    """Against a core that bears 777 feeds."""
    asked = []

    def ask(_core, _what, *, feeds, **_how):
        asked.append(feeds)
        late = 60.0 if feeds <= 777 else 130.0
        return {
            "feeds": feeds, "delay_p99_ms": late, "dropped_seconds": 0, "cpu_ms": 1.0, "busy": 0.9
        }  # fmt: skip

    monkeypatch.setattr(capacity, "ask_once", ask)
    for guess in (0.3, 1.0, 3.0):
        asked.clear()
        found = capacity.search("model", guess, 1.0, 12, 0)
        assert found.feeds <= 777 < found.too_many <= capacity.CLOSE_ENOUGH * found.feeds
        assert found.too_late_ms == 130
        assert len(asked) <= 12
