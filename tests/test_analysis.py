"""The pure middle: many feeds at once, judged exactly as each would be alone."""

from __future__ import annotations

import numpy as np
import pytest

from genred.analysis import Analyser
from genred.judgement.judge import Judge
from genred.model.session import load_model
from genred.settings.judgement import JudgementSettings
from genred.station.programme import render
from rigs import tiny_model

HOP_S = tiny_model.HOP / tiny_model.RATE
BY = JudgementSettings()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(tiny_model.write(tmp_path_factory.mktemp("model") / "model.onnx"))


def steady(value, hops=1):
    """Audio that the tiny model hears as rock (above zero), speech (below) or noise (neither)."""
    flutter = np.tile([0.1, -0.1], tiny_model.HOP // 2)
    return np.tile((value + flutter).astype(np.float32), (hops, 1))


def decisions(analyser, row, hops, first=0):
    return [
        analyser.step([row], hop[None], [(first + index + 1) * HOP_S])[0]
        for index, hop in enumerate(hops)
    ]


def test_nothing_is_said_before_a_whole_window(model):
    heard = decisions(Analyser(model, [BY]), 0, steady(0.5, 6))
    assert [each.smoothed is None for each in heard] == [True, True, True, False, False, False]
    assert all(not each.changes for each in heard[:3])
    assert heard[3].changes[0].segment.label == "rock"


def test_after_a_reset_a_whole_window_is_needed_again(model):
    analyser = Analyser(model, [BY])
    decisions(analyser, 0, steady(0.5, 20))
    (ended,) = analyser.reset(0)
    assert ended.event.value == "ended"
    assert ended.segment.label == "rock"
    heard = decisions(analyser, 0, steady(-0.5, 6), first=100)
    assert [each.raw is None for each in heard] == [True, True, True, False, False, False]
    # Not a trace of what was heard before the gap: the first window is sure of the new label.
    assert heard[3].raw[1] > 0.95


def test_feeds_in_a_batch_are_judged_as_each_alone(model):
    rng = np.random.default_rng(1)
    feeds = 5
    audio = rng.normal(0, 0.2, (40, feeds, tiny_model.HOP)).astype(np.float32)
    audio += rng.choice([-0.5, 0, 0.5], (40, feeds, 1)).repeat(1, axis=2).astype(np.float32)
    together = Analyser(model, [BY] * feeds)
    alone = [Analyser(model, [BY]) for _ in range(feeds)]
    for index, hop in enumerate(audio):
        # Not all feeds are ready each time, and not in order.
        rows = rng.permutation(feeds)[: rng.integers(1, feeds + 1)].tolist()
        ends = [(index + 1) * HOP_S] * len(rows)
        for decision in together.step(rows, hop[rows], ends):
            (expected,) = alone[decision.row].step([0], hop[[decision.row]], [decision.end])
            assert decision.changes == expected.changes
            for mine, theirs in (
                (decision.raw, expected.raw),
                (decision.smoothed, expected.smoothed),
            ):
                assert (mine is None) == (theirs is None)
                if mine is not None:
                    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_what_is_no_number_is_silence_and_does_not_stay(model):
    analyser = Analyser(model, [BY])
    decisions(analyser, 0, steady(0.5, 8))
    broken = np.full((2, tiny_model.HOP), np.nan, np.float32)
    broken[1] = np.inf
    for decision in decisions(analyser, 0, broken, first=8):
        assert decision.level_dbfs == -120
    after = decisions(analyser, 0, steady(0.5, 8), first=10)
    assert np.isfinite(after[-1].smoothed).all()
    assert after[-1].smoothed[0] > 0.9


def test_each_feed_is_judged_by_its_own_settings(model):
    strict, lax = BY.model_copy(update={"silence_dbfs": -10.0}), BY
    analyser = Analyser(model, [strict, lax])
    for index in range(20):
        both = analyser.step([0, 1], steady(0.1, 2), [(index + 1) * HOP_S] * 2)
    assert both[0].raw is None
    assert both[1].raw is not None
    assert analyser.judges[0].segment.label == "silence"


@pytest.mark.parametrize("which", ["tiny", "shipped"])
def test_a_file_in_one_go_is_judged_as_hop_by_hop(model, which):
    """Music, silence with dead air, what is no number, and speech; in runs of odd lengths."""
    model = model if which == "tiny" else load_model()
    rate, hop = model.metadata.sample_rate, model.metadata.hop
    hop_s = hop / rate
    by = BY.model_copy(update={"silence_after_s": 1.0, "dead_air_after_s": 3.0})
    parts = [render("metal", 9, 1, 16_000), np.zeros(16_000 * 6), render("speech", 9, 2, 16_000)]
    audio = np.concatenate(parts).astype(np.float32)[:: 16_000 // rate]
    if which == "tiny":
        audio = audio + np.float32(0.3)
        audio[9 * rate : 15 * rate] = 0
    audio = audio[: len(audio) // hop * hop].reshape(-1, hop)
    audio[20, 5] = np.nan
    ends = [(number + 1) * hop_s for number in range(len(audio))]
    one, other = Analyser(model, [by, by]), Analyser(model, [by])
    expected, said = [], []
    for number, end in enumerate(ends):
        expected += one.step([1], audio[number : number + 1], [end])
        said.append(one.judges[1].segment)
    made, heard, at = [], [], 0
    for length in (1, 7, 32, 3, 1000):
        run = slice(at, at + length)
        for decision in other.run(0, audio[run].copy(), ends[run]):
            made.append(decision)
            heard.append(other.judges[0].segment)
        at += length
    assert len(made) == len(expected) > 90
    assert any(each.changes for each in made)
    assert any(each.steady for each in made)
    for mine, theirs, mine_said, theirs_said in zip(made, expected, heard, said, strict=True):
        assert (mine.end, mine.steady) == (theirs.end, theirs.steady)
        assert [(c.event, c.segment.label) for c in mine.changes] == [
            (c.event, c.segment.label) for c in theirs.changes
        ]
        assert (mine_said and mine_said.label) == (theirs_said and theirs_said.label)
        for ours, others in ((mine.raw, theirs.raw), (mine.smoothed, theirs.smoothed)):
            assert (ours is None) == (others is None)
            if ours is not None:
                np.testing.assert_allclose(ours, others, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(mine.level_dbfs, theirs.level_dbfs, atol=1e-3)


@pytest.mark.parametrize(("enter", "leave"), [(0.6, 0.45), (0.9, 0.5), (0.4, 0.2)])
def test_what_stands_is_held_as_if_it_were_judged_anew(model, monkeypatch, enter, leave):
    """The short way for all rows at once against every decision weighed by its judge."""
    by = BY.model_copy(update={"enter": enter, "exit": leave, "unknown_after_s": 1.0})
    feeds, rng = 6, np.random.default_rng(4)
    level = np.cumsum(rng.normal(0, 0.06, (160, feeds, 1)), axis=0)
    audio = (level + rng.normal(0, 0.05, (160, feeds, tiny_model.HOP))).astype(np.float32)
    audio[60:75, 2] = 0

    def listen():
        analyser, told = Analyser(model, [by] * feeds), []
        for index, hops in enumerate(audio):
            told += [
                (each.changes, analyser.judges[each.row].segment, each.steady)
                for each in analyser.step(range(feeds), hops, [(index + 1) * HOP_S] * feeds)
            ]
        return told

    short = listen()
    monkeypatch.setattr(Judge, "steady", -1)
    long = listen()
    assert not any(steady for *_, steady in long)
    assert sum(steady for *_, steady in short) > len(short) / 3
    assert len({segment.label for _, segment, _ in long if segment}) == 5
    for (changes, segment, _), (others, other, _) in zip(short, long, strict=True):
        assert changes == others
        assert segment == other
