"""Radio with known boundaries: how it is made, what is noticed of it, how judgement is tuned."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from onnx import numpy_helper
from tiny_run import quick, quiet
from train_data import sound, write_wav

from genred.analysis import Analyser
from genred.errors import InputError
from genred.judgement.gate import rms_dbfs
from genred.model.session import load_model
from genred.settings.judgement import JudgementOverrides, JudgementSettings
from genred_train import evaluate, tune
from genred_train.evaluation import (
    cards,
    noticing,
    onair,
    programme,
    replay,
    robustness,
    subject,
    tuning,
)
from genred_train.evaluation.programme import Piece, Programme
from rigs import tiny_model

RATE = tiny_model.RATE
HOP_S = tiny_model.HOP / RATE
LEVEL = {"rock": 0.4, "speech": -0.4, "noise": 0.0}
ROCK, SPEECH, NOISE, SILENCE, UNKNOWN = range(5)


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """What the tiny model tells apart, as recordings of two groups each; noise with pauses."""
    base = tmp_path_factory.mktemp("signs")
    for label, level in LEVEL.items():
        for group in ("one", "two"):
            seconds = 8.0 if label == "noise" else 30.0
            time = np.arange(round(seconds * RATE)) / RATE
            audio = level + 0.1 * np.sin(2 * np.pi * 80 * time)
            if label == "noise":
                audio[3 * RATE : 5 * RATE] = 0
            write_wav(base / "data" / label / f"{label} {group}" / "a.wav", audio, rate=RATE)
    # On air the levels are a tenth of what the tiny model was made for.
    graph = tiny_model.build(weight=400.0)
    bias = next(each for each in graph.graph.initializer if each.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.float32([0, 0, 4]), "bias"))
    model = load_model(tiny_model.write(base / "tiny.onnx", graph), feeds=2)
    chosen = subject.select(model.metadata, base / "data", base / "cache", quiet())
    return model, chosen


@pytest.fixture(scope="module")
def programmes(signs):
    """Half an hour in which there is something of everything."""
    made = (programme.hours(signs[1].corpus, signs[1].positions, 0.5, seed) for seed in range(100))
    return next(each for each in made if len({piece.label for piece in each[0].pieces}) == 4)


def test_a_programme_is_what_it_says(signs, programmes):
    """At every moment away from boundaries, the sound is that of the piece that is on."""
    (radio,) = programmes
    pieces = radio.pieces
    assert pieces[0].start == 0
    assert pieces[-1].end == radio.seconds
    for before, after in itertools.pairwise(pieces):
        assert before.end == after.start
        assert ROCK in {after.label, before.label}, "speech is between music"
    kinds = {piece.label for piece in pieces}
    assert kinds == {ROCK, SPEECH, NOISE, SILENCE}
    assert any(piece.fade for piece in pieces)
    assert any(not piece.fade for piece in pieces[1:])
    audio = np.concatenate(list(radio.blocks()))
    assert audio.size >= radio.seconds * RATE
    assert np.abs(audio).max() <= 1.5
    for piece in pieces[:-1]:
        low, high = programme.SILENCE_S if piece.label == SILENCE else programme.PIECE_S
        assert low - 5 <= piece.end - piece.start <= high
        own = audio[round((piece.start + 4.1) * RATE) : round((piece.end - 4.1) * RATE)]
        if own.size < RATE:
            continue
        level = rms_dbfs(own[None])[0]
        if piece.label == SILENCE:
            assert level < -70
            continue
        assert -29 < level < -12
        swing = own.std()
        sign = own.mean() / swing
        wanted = {ROCK: 4 * np.sqrt(2), SPEECH: -4 * np.sqrt(2), NOISE: 0.0}[piece.label]
        assert sign == pytest.approx(wanted, abs=0.3)
        # Pauses within a recording are cut out: on air they would be silence.
        blocks = own[: own.size // 400 * 400].reshape(-1, 400)
        assert rms_dbfs(blocks.astype(np.float32)).min() > -60


def test_the_same_seed_makes_the_same_programme_and_another_another(signs):
    corpus, positions = signs[1].corpus, signs[1].positions
    one, same, other = (Programme(corpus, positions, 300.0, seed) for seed in ((1,), (1,), (2,)))
    assert one.pieces == same.pieces != other.pieces
    for mine, theirs in zip(one.blocks(), same.blocks(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_radio_needs_music(signs):
    corpus = signs[1].corpus
    talk = [n for n in signs[1].positions if corpus.labels[corpus.entries[n].label].name != "rock"]
    with pytest.raises(InputError, match="no music"):
        Programme(corpus, talk, 60.0, (0,))


@dataclass
class Scripted:
    """A programme of known labels, as a listener who says what ``said`` says hears it."""

    pieces: tuple[Piece, ...]
    seconds: float


def scripted(truth, said, confidence=0.9, fade=0.0):
    """``truth`` and ``said`` are runs of (label, decisions) of one feed."""
    pieces, at = [], 0
    for label, steps in truth:
        pieces.append(Piece(label, f"g{label}", at * HOP_S, (at + steps) * HOP_S, fade))
        at += steps
    meta = tiny_model.metadata()
    heard = onair.blank(meta, [Scripted(tuple(pieces), at * HOP_S)], at)
    line = np.concatenate([np.full(steps, label) for label, steps in said])
    heard.said[0] = line
    heard.said_kind[0] = heard.kinds[line]
    heard.confidence[0] = confidence
    heard.best[0] = np.where(line < SILENCE, line, ROCK)
    heard.raw[0] = np.where(line < SILENCE, line, ROCK)
    return heard


def test_a_change_is_announced_missed_or_false():
    truth = [(ROCK, 40), (SPEECH, 40), (ROCK, 40), (NOISE, 40), (ROCK, 40)]
    # Two seconds late; at once, by way of unknown; a false excursion of two changes; missed.
    said = [
        (ROCK, 48),
        (SPEECH, 32),
        (UNKNOWN, 4),
        (ROCK, 10),
        (SPEECH, 6),
        (ROCK, 20),
        (ROCK, 80),
    ]
    found = noticing.changes(scripted(truth, said))
    assert found["true"] == 4
    assert found["missed"] == 1
    assert found["said_already"] == 1
    assert found["false"] == 2
    assert found["false_an_hour"] == pytest.approx(2 / (200 * HOP_S / 3600))
    assert found["delay_s"] == {
        "changes": 2,
        "median": pytest.approx((2.25 + 0.25) / 2),
        "p90": pytest.approx(0.25 + 0.9 * 2.0),
    }
    # Speech after 9 decisions, rock after 5, noise never.
    assert found["never_right"] == 1
    assert found["until_right_s"]["median"] == pytest.approx((2.25 + 1.25) / 2)
    assert found["until_kind_s"]["never"] == 1


def test_a_wrong_name_at_a_boundary_is_announced_but_not_right():
    found = noticing.changes(
        scripted([(ROCK, 40), (SPEECH, 40)], [(ROCK, 44), (NOISE, 16), (SPEECH, 20)])
    )
    assert (found["missed"], found["wrong_first"], found["false"]) == (0, 1, 1)
    assert found["delay_s"]["median"] == pytest.approx(1.25)
    assert found["until_right_s"]["median"] == pytest.approx(5.25)


def test_figures_are_those_worked_out_by_hand():
    truth = [(ROCK, 60), (SPEECH, 20), (SILENCE, 20)]
    said = [(ROCK, 30), (NOISE, 10), (UNKNOWN, 20), (SPEECH, 20), (SILENCE, 20)]
    heard = scripted(truth, said)
    heard.confidence[0, 35:40] = 0.3
    found = noticing.collect(heard, seed=0)
    assert found["label_right"] == pytest.approx(50 / 80)
    assert found["kind_right"] == pytest.approx(70 / 100)
    assert found["named"] == pytest.approx(60 / 80)
    assert found["named_right"] == pytest.approx(50 / 60)
    assert found["unknown"] == pytest.approx(20 / 80)
    # The best guess was rock, and right: unknown was not deserved.
    assert found["unknown_deserved"] == 0
    assert found["wrong_and_sure"] == pytest.approx(5 / 80)
    assert found["windows_right"] == pytest.approx(70 / 80)
    assert found["gain"] == pytest.approx(-20 / 80)
    rock, speech, noise, silence = found["by_label"]
    assert rock["said"] == [30, 0, 10, 0, 20]
    assert (speech["right"], silence["right"], noise["hours"]) == (1.0, 1.0, 0.0)
    # 50 right and 5 wrong at 0.9, 5 wrong at 0.3.
    assert found["ece"] == pytest.approx((55 * abs(0.9 - 50 / 55) + 5 * 0.3) / 60, abs=1e-6)


def test_who_knows_each_boundary_names_a_piece_once():
    """The best moment is where the guess is right of most, and what was before is lost."""
    truth = [(ROCK, 60), (SPEECH, 20), (SILENCE, 20), (ROCK, 40)]
    said = [(SPEECH, 5), (ROCK, 55), (SPEECH, 20), (SILENCE, 20), (SPEECH, 3), (ROCK, 37)]
    found = noticing.collect(scripted(truth, said), seed=0)["said_once"]
    assert found["after_s"] == 6 * HOP_S
    assert found["label_right"] == pytest.approx((55 + 15 + 35) / 120)


def test_coverage_falls_with_the_threshold():
    confidence = np.float32([0.1, 0.3, 0.5, 0.7, 0.9])
    right = np.array([False, False, True, True, True])
    curve = noticing.coverage(confidence, right)
    at = curve["threshold"].index(0.4)
    assert curve["coverage"][at] == pytest.approx(0.6)
    assert (curve["accuracy"][at], curve["below"][at]) == (1.0, 0.0)
    assert curve["coverage"][0] == 1.0
    assert curve["accuracy"][0] == pytest.approx(0.6)


@pytest.fixture(scope="module")
def recorded(signs, programmes):
    return replay.record(signs[0], programmes, lambda *_: None)


def test_it_is_heard_by_the_daemons_own_path(signs, programmes, recorded):
    """Every decision is the analyser's; a replay comes to the same, however often at once."""
    model, _ = signs
    heard = onair.listen(model, programmes, lambda *_: None)
    analyser = Analyser(model, [JudgementSettings()])
    for step, hop in enumerate(onair.hops(programmes[0].blocks(), tiny_model.HOP)):
        if step == 2000:
            break
        (decision,) = analyser.step([0], hop[None], [(step + 1) * HOP_S])
        segment = analyser.judges[0].segment
        label = heard.said[0, step]
        assert (segment.label if segment else None) == (
            heard.labels[label] if label != onair.NOTHING else None
        )
        assert (decision.raw is None) == (heard.raw[0, step] == onair.NOTHING)
    again, hum = replay.again(recorded, None, times=3)
    other = onair.listen(again, hum, lambda *_: None)
    for row in range(3):
        np.testing.assert_array_equal(other.said[row], heard.said[0])
        np.testing.assert_allclose(other.confidence[row], heard.confidence[0], atol=1e-4)
    found = noticing.collect(heard, seed=0)
    assert found["label_right"] > 0.9
    assert found["kind_right"] > 0.9
    assert found["changes"]["missed"] == 0


def test_tuning_finds_a_judgement_that_is_liked_better(recorded):
    """Of temperatures that are known to be wrong it finds the way back."""
    best, trials = tuning.tune(recorded, 0, lambda *_: None, quick(1, 8))
    plain = tuning.as_it_is(recorded, 0)
    assert best.liking == max(trial.liking for trial in trials) >= plain.liking
    assert best.judging.exit <= best.judging.enter
    # What was found comes to the same on the daemon's own path with nothing set.
    model, hum = replay.again(recorded, best.judging)
    figures = noticing.collect(onair.listen(model, hum, lambda *_: None), 0)
    assert figures["changes"] == best.figures["changes"]
    assert tuning.brief(figures) == pytest.approx(tuning.brief(best.figures), abs=1e-6)
    for name in ("reliability", "coverage"):
        for key, values in figures[name].items():
            np.testing.assert_allclose(values, best.figures[name][key], atol=1e-6)


def test_tuning_goes_on_to_what_is_beside_until_nothing_is_better(recorded, monkeypatch):
    """Step by step, thresholds and filters alike, to the one judgement that is liked best."""
    search = tuning.Search((1, 1), steps=40)
    grid = {
        **{name: getattr(search, name) for name in tuning.FILTER},
        **tuning.THRESHOLDS,
        "kind_temperature": tuning.TEMPERATURES,
    }
    aim = {name: steps[-2] for name, steps in grid.items()}
    asked = []

    def tried(_recorded, advice, thresholds, _seed):
        for each in thresholds:
            judging = advice.model_copy(update=each)
            asked.append(tuple(getattr(judging, name) for name in grid))
            away = sum(
                abs(steps.index(getattr(judging, name)) - steps.index(aim[name]))
                for name, steps in grid.items()
            )
            figures = {
                "label_right": 1 - away / 100,
                **dict.fromkeys(("kind_right", "speech_against_music", "unknown_deserved"), 1.0),
                **dict.fromkeys(("ece", "unknown", "wrong_and_sure"), 0.0),
                "changes": {"false_an_hour": 0.0, "delay_s": {"median": 0.0}},
            }
            yield tuning.Trial(judging, figures)

    monkeypatch.setattr(tuning, "_tried", tried)
    best, trials = tuning.tune(recorded, 0, lambda *_: None, search)
    assert {name: getattr(best.judging, name) for name in grid} == aim
    # Where it stands nothing is asked twice.
    climbed = asked[-len(trials) + search.best :]
    assert len(set(climbed)) == len(climbed)


def test_who_is_wrong_and_sure_is_liked_less(recorded):
    figures = tuning.as_it_is(recorded, 0).figures
    surer = {**figures, "wrong_and_sure": figures["wrong_and_sure"] + 0.02}
    assert tuning.liking(figures) - tuning.liking(surer) == pytest.approx(1.0)


def test_a_part_is_judged_by_what_suits_the_others(recorded):
    """What is right about one part and wrong about the other is judged by the other's liking."""
    search = quick(1, 4)
    wrong = replace(recorded, logits=-recorded.logits)
    shares = []
    for number, (mine, other) in enumerate(((recorded, wrong), (wrong, recorded))):
        found = tuning.unheard([recorded, wrong], number, 0, search)
        best, _ = tuning.tune(other, 0, lambda *_: None, search)
        model, hum = replay.again(mine, best.judging)
        heard = onair.listen(model, hum, lambda *_: None)
        np.testing.assert_array_equal(found.said, heard.said)
        shares.append(noticing.collect(heard, 0)["label_right"])
    assert abs(shares[0] - shares[1]) > 0.1


def test_windows_by_themselves_are_shifted_where_the_model_is_not(signs, programmes):
    model, _ = signs
    plain = onair.alone(model, programmes, lambda *_: None)
    only = np.full(len(model.metadata.labels), -1e6, np.float32)
    only[1] = 0.0
    shifted = onair.alone(model, programmes, lambda *_: None, only)
    np.testing.assert_array_equal(shifted == onair.NOTHING, plain == onair.NOTHING)
    assert set(shifted[shifted != onair.NOTHING].tolist()) == {1}
    assert set(plain[plain != onair.NOTHING].tolist()) > {1}


def test_what_is_set_by_hand_holds_against_what_a_model_recommends():
    advice = {"enter": 0.6, "exit": 0.5, "evidence": 0.1}
    assert JudgementSettings().suited(advice).model_dump().items() >= advice.items()
    by = JudgementSettings(evidence=0.3, unknown_after_s=7.0).suited(advice)
    assert (by.enter, by.exit, by.evidence, by.unknown_after_s) == (0.6, 0.5, 0.3, 7.0)
    # Where the two cross, what is recommended gives way.
    by = JudgementSettings(enter=0.4).suited(advice)
    assert (by.enter, by.exit) == (0.4, 0.4)
    over = JudgementOverrides(exit=0.55).over(JudgementSettings(evidence=0.3))
    by = over.suited(advice)
    assert (by.enter, by.exit, by.evidence) == (0.6, 0.55, 0.3)


RECORDING = sound("high", 4.0, seed=5, rate=16_000)


def test_treatments_do_what_they_say():
    spectrum = lambda audio: np.abs(np.fft.rfft(audio)) ** 2  # noqa: E731 - said in a word
    for peak in (-30.0, 0.0):
        treated = robustness.at_level(peak)(RECORDING, 16_000)
        assert 20 * np.log10(np.abs(treated).max()) == pytest.approx(peak, abs=0.01)
    random = np.random.default_rng(1)
    noise = (0.1 * random.standard_normal(64_000)).astype(np.float32)
    muffled = spectrum(robustness.muffled(noise, 16_000)) / spectrum(noise)
    hertz = np.fft.rfftfreq(64_000, 1 / 16_000)
    at = lambda low, high: 10 * np.log10(muffled[(hertz > low) & (hertz < high)].mean())  # noqa: E731
    assert at(100, 3000) == pytest.approx(0, abs=0.3)
    assert at(3950, 4050) == pytest.approx(-3, abs=0.7)
    assert at(6000, 7000) < -30
    noisy = robustness.in_noise(RECORDING, 16_000)
    gap = 10 * np.log10(np.square(RECORDING).mean() / np.square(noisy - RECORDING).mean())
    assert gap == pytest.approx(20, abs=0.2)
    np.testing.assert_array_equal(noisy, robustness.in_noise(RECORDING, 16_000))
    half = robustness.one_channel_dead(RECORDING, 16_000)
    np.testing.assert_allclose(half, RECORDING / 2, atol=1e-6)
    coded = robustness.through_mp3(RECORDING, 16_000)
    assert coded.size == RECORDING.size
    assert 0 < np.abs(coded - RECORDING)[8000:-8000].max() < 0.1


def test_the_command_judges_tunes_and_writes_the_card(tiny_run, tmp_path, capsys, monkeypatch):
    """From a run: tune it, judge it on the air and treated, and find it all in its papers."""
    monkeypatch.setattr(tuning, "WHOLE", quick(1, 8))
    out = tmp_path / "run"
    shutil.copytree(tiny_run.out, out)
    where = ["--data", str(tiny_run.data), "--cache", str(tiny_run.cache)]
    assert tune.main([str(out), *where, "--hours", "0.1"]) == 0
    assert "chosen" in capsys.readouterr().out
    judging = load_model(out).metadata.judging
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["judging"] == judging.model_dump()
    assert metrics["model"]["bytes"] == (out / "model.onnx").stat().st_size
    judged = tmp_path / "judged"
    command = [str(out), *where, "--stream", "--hours", "0.2", "--robustness", "--card"]
    assert evaluate.main([*command, "--out", str(judged)]) == 0
    told = capsys.readouterr().out
    assert "false changes an hour" in told
    assert "low-passed at 4 kHz" in told
    metrics = json.loads((out / "metrics.json").read_text())
    found = json.loads((judged / "metrics.json").read_text())
    for name in ("stream", "robustness"):
        assert metrics[name] == found[name]
    assert found["stream"]["hours"] == pytest.approx(0.2)
    rows = found["robustness"]["rows"]
    assert [row["treatment"] for row in rows[1:]] == list(robustness.TREATMENTS)
    for section in cards.sections(metrics):
        assert section in (out / "MODEL_CARD.md").read_text()
    for picture in cards.PICTURES:
        assert (out / picture).stat().st_size > 1000
        assert (judged / picture).stat().st_size > 1000
    page = (judged / "report.html").read_text()
    assert "On the air" in page
    assert page.count("data:image/png;base64") == 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hours", "2"], "--hours goes with --stream"),
        (["--stream", "--hours", "0"], "--hours wants"),
        (["--card"], "--card goes with"),
        (["--cross-validate", "3", "--stream"], "want a model"),
    ],
)
def test_wrong_options_are_told(options, words, tmp_path, capsys):
    assert evaluate.main(["model.onnx", "--data", str(tmp_path), *options]) == 64
    assert words in capsys.readouterr().err
