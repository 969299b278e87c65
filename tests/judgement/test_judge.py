"""What is said, when, and where segments are said to begin."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from genred.judgement.judge import Holding, Judge, Standing
from genred.judgement.smoother import Smoother
from genred.labels import SILENCE, UNKNOWN
from genred.messages import EventType
from genred.model.metadata import LabelInfo
from genred.settings.judgement import JudgementSettings
from rigs import tiny_model

META = tiny_model.metadata()
SMOOTHER = Smoother(META.labels)
BY = JudgementSettings(
    silence_after_s=1, dead_air_after_s=4, recover_after_s=0.5, unknown_after_s=1.5
)
HOP = 0.25
ROCK, SPEECH, NOISE = np.eye(3, dtype=np.float32) * 0.85 + 0.05
LEVEL, QUIET = -20.0, -90.0


class Listener:
    """Feeds a judge hop by hop, as the analyser does."""

    def __init__(self, by=BY):
        self.judge = Judge(META, by)
        self.belief = SMOOTHER.unknowing(1)
        self.end = 0.0
        self.changes = []
        self.said = []

    def hear(self, raw, hops, level=LEVEL):
        for _ in range(hops):
            self.end += HOP
            dead = self.judge.gate.dead_air
            gate = self.judge.listen(level, self.end)
            if gate.open:
                change, evidence = np.float32([[0.006]]), np.float32([[0.5]])
                self.belief = SMOOTHER.update(self.belief, raw[None], change, evidence, evidence)
            if gate.silent(self.end, BY):
                self.belief = SMOOTHER.unknowing(1)
            changes = self.judge.decide(raw if gate.open else None, self.belief[0], dead)
            self.changes += [(change, self.end) for change in changes]
            self.said.append(self.judge.segment.label)
        return self

    @property
    def told(self):
        return [(change.event.value, change.segment.label) for change, _ in self.changes]


def test_a_first_label_starts_at_the_beginning_of_the_audio():
    listener = Listener().hear(ROCK, 20)
    assert listener.told == [("started", "rock")]
    change, at = listener.changes[0]
    assert change.segment.start <= HOP
    assert at <= 2


def test_a_change_is_announced_soon_and_dated_back_to_where_it_was():
    listener = Listener().hear(ROCK, 40).hear(SPEECH, 40)
    assert listener.told == [("started", "rock"), ("changed", "speech")]
    change, at = listener.changes[1]
    assert 10 < at < 14
    # The window's middle tells: a clean change at 10 s is first heard by the window ending 10.25.
    assert change.segment.start == pytest.approx(10.25 - 0.5, abs=0.3)
    assert change.previous.end == change.segment.start
    assert change.previous.confidence > 0.8


def test_a_stray_window_changes_nothing():
    listener = Listener().hear(ROCK, 40)
    for _ in range(10):
        listener.hear(SPEECH, 1).hear(ROCK, 4)
    assert set(listener.said[8:]) == {"rock"}
    assert listener.told == [("started", "rock")]


def test_weak_scores_become_unknown_only_after_a_while():
    unsure = np.float32([0.1, 0.45, 0.45])
    listener = Listener().hear(ROCK, 40).hear(unsure, 200)
    assert listener.told == [("started", "rock"), ("changed", UNKNOWN)]
    doubtful = listener.judge.segment
    assert doubtful.label == UNKNOWN
    assert doubtful.start < listener.changes[1][1]


GENRES = tuple(
    LabelInfo(name=name, kind=kind)
    for name, kind in (("jazz", "music"), ("rock", "music"), ("speech", "speech"))
)


def genres(by=BY):
    """A judge of two genres and speech, and what it is told: belief ``[jazz, rock, speech]``."""
    judge = Judge(tiny_model.metadata(labels=GENRES), by)
    end = itertools.count(1)

    def hear(*belief, hops=1):
        for _ in range(hops):
            judge.listen(LEVEL, next(end) * HOP)
            judge.decide(np.float32(belief), np.float32(belief), was_dead_air=False)
        return judge.segment.label, judge.segment.kind

    return hear


def test_music_is_heard_before_its_genre_is_known():
    hear = genres()
    assert hear(0.45, 0.45, 0.1) == (UNKNOWN, "music")
    assert hear(0.3, 0.29, 0.41) == (UNKNOWN, "music")
    assert hear(0.2, 0.1, 0.5) == (UNKNOWN, "unknown")
    assert hear(0.1, 0.8, 0.1) == ("rock", "music")


def test_what_was_said_does_not_outlast_a_change_of_kind():
    hear = genres()
    assert hear(0.05, 0.05, 0.9) == ("speech", "speech")
    # Still above exit, but surely music: no waiting for the genre.
    assert hear(0.3, 0.31, 0.39) == (UNKNOWN, "music")
    hear = genres()
    assert hear(0.8, 0.1, 0.1) == ("jazz", "music")
    assert hear(0.4, 0.5, 0.1) == ("jazz", "music")


def test_a_genre_stays_until_it_is_left_whatever_another_has_reached():
    hear = genres(BY.model_copy(update={"enter": 0.6, "exit": 0.2}))
    assert hear(0.8, 0.1, 0.1) == ("jazz", "music")
    assert hear(0.25, 0.7, 0.05, hops=20) == ("jazz", "music")
    assert hear(0.15, 0.8, 0.05) == ("rock", "music")


def test_a_kind_may_be_sure_sooner_than_a_label():
    hear = genres(BY.model_copy(update={"enter": 0.6, "kind_enter": 0.5, "exit": 0.2}))
    assert hear(0.05, 0.05, 0.9) == ("speech", "speech")
    # No genre is sure, and speech likely enough to stay; but it is music, more likely than not.
    assert hear(0.3, 0.25, 0.45) == (UNKNOWN, "music")
    late = genres(BY.model_copy(update={"enter": 0.6, "kind_enter": 0.7, "exit": 0.2}))
    assert late(0.05, 0.05, 0.9) == ("speech", "speech")
    assert late(0.35, 0.3, 0.35, hops=20) == ("speech", "speech")
    assert late(0.4, 0.4, 0.2) == (UNKNOWN, "music")


def test_the_only_label_of_a_kind_is_not_unknown_first():
    hear = genres(BY.model_copy(update={"enter": 0.7, "kind_enter": 0.5, "exit": 0.1}))
    assert hear(0.9, 0.05, 0.05) == ("jazz", "music")
    assert hear(0.2, 0.2, 0.6, hops=20) == ("jazz", "music")
    assert hear(0.15, 0.1, 0.75) == ("speech", "speech")
    assert hear(0.3, 0.25, 0.45) == (UNKNOWN, "music")


def test_unknown_at_the_beginning_is_no_news():
    listener = Listener().hear(np.float32([0.34, 0.33, 0.33]), 40)
    assert listener.told == []
    listener.hear(SPEECH, 30)
    assert listener.told == [("started", "speech")]


def test_silence_begins_where_the_sound_ended():
    listener = Listener().hear(ROCK, 20).hear(ROCK, 12, QUIET)
    assert listener.told == [("started", "rock"), ("changed", SILENCE)]
    change, at = listener.changes[1]
    assert change.segment.start == pytest.approx(5.0)
    assert at == pytest.approx(6.0)
    assert change.segment.confidence == 1.0


def test_a_short_pause_is_no_silence():
    listener = Listener().hear(ROCK, 20).hear(ROCK, 3, QUIET).hear(ROCK, 20)
    assert listener.told == [("started", "rock")]


def test_dead_air_and_its_end():
    listener = Listener().hear(ROCK, 20).hear(ROCK, 24, QUIET).hear(SPEECH, 20)
    assert listener.told == [
        ("started", "rock"),
        ("changed", SILENCE),
        ("dead_air", SILENCE),
        ("changed", "speech"),
        ("recovered", SILENCE),
    ]
    times = {change.event: at for change, at in listener.changes}
    assert times[EventType.DEAD_AIR] == pytest.approx(9.0)
    assert times[EventType.RECOVERED] == pytest.approx(11.5)
    # The label after silence begins where the sound does.
    assert listener.changes[-2][0].segment.start == pytest.approx(11.0)


def test_reset_tells_the_end_and_forgets():
    listener = Listener().hear(ROCK, 20)
    (ended,) = listener.judge.reset()
    assert ended.event is EventType.ENDED
    assert ended.segment.end == pytest.approx(5.0)
    assert listener.judge.reset() == []


def test_audio_that_goes_away_in_dead_air_has_not_recovered():
    listener = Listener().hear(ROCK, 20).hear(ROCK, 24, QUIET)
    (ended,) = listener.judge.reset()
    assert (ended.event, ended.segment.label) == (EventType.ENDED, SILENCE)
    assert not listener.judge.gate.dead_air


def test_segments_follow_each_other_without_gap_or_overlap():
    rng = np.random.default_rng(3)
    listener = Listener()
    for _ in range(60):
        raw = rng.dirichlet([0.3, 0.3, 0.3]).astype(np.float32)
        level = QUIET if rng.random() < 0.2 else LEVEL
        listener.hear(raw, int(rng.integers(1, 20)), level)
    changes = [change for change, _ in listener.changes if change.event is EventType.CHANGED]
    assert len(changes) > 10
    for before, after in itertools.pairwise(changes):
        assert after.previous.start == before.segment.start
        assert after.previous.end == after.segment.start
        assert after.segment.start >= before.segment.start
        assert after.segment.label != before.segment.label


@pytest.mark.parametrize("kind_enter", [0.55, 0.5, 0.75])
def test_what_goes_on_is_what_would_be_said_again(kind_enter):
    """Many judges, those of whom it is told that all goes on not asked, against asking each."""
    labels = [("jazz", "music"), ("talk", "speech"), ("rock", "music"), ("hum", "noise")]
    meta = tiny_model.metadata(labels=[LabelInfo(name=n, kind=k) for n, k in labels])
    by = BY.model_copy(update={"enter": 0.55, "kind_enter": kind_enter, "exit": 0.35})
    feeds, rng = 12, np.random.default_rng(5)
    standing, holding = Standing(meta, feeds), Holding(meta.labels)
    some = [Judge(meta, by, standing, row) for row in range(feeds)]
    all_ = [Judge(meta, by) for _ in range(feeds)]
    limits = [np.full((feeds, 1), each) for each in (by.enter, by.kind_enter, by.exit)]
    said, walk = Counter(), np.zeros((feeds, 4))
    for end in np.arange(1, 600) * HOP:
        walk = 0.9 * walk + rng.normal(0, 0.6, walk.shape)
        belief = np.exp(walk).astype(np.float32)
        belief /= belief.sum(axis=1, keepdims=True)
        number = np.array([judge.steady for judge in some])
        goes_on, sure = holding.of(belief, *limits, number)
        rows = np.flatnonzero(goes_on)
        standing.hold(rows, rows, belief[rows], sure[rows], np.full(len(rows), end))
        for row, judge in enumerate(all_):
            judge.listen(LEVEL, end)
            told = judge.decide(belief[row], belief[row], was_dead_air=False)
            if goes_on[row]:
                assert told == []
                said[judge.segment.label, judge.segment.kind] += 1
            else:
                some[row].listen(LEVEL, end)
                assert some[row].decide(belief[row], belief[row], was_dead_air=False) == told
            assert some[row].segment == judge.segment
    # Each label was held, and ``unknown`` of some kinds and of none.
    assert {label for label, _ in said} == {*meta.label_names, UNKNOWN}
    assert {kind for label, kind in said if label == UNKNOWN} >= {"music", "unknown"}
    assert min(said.values()) > 10
    assert sum(said.values()) > feeds * 600 / 3
    assert [judge.reset() for judge in some] == [judge.reset() for judge in all_]
