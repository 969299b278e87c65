"""A model file is judged as the daemon would hear it, on what it has not heard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_run import quiet, write_music
from train_data import sound, write_wav

from genred.errors import InputError
from genred.model.metadata import LabelInfo
from genred.model.session import load_model
from genred_train import evaluate, judging
from genred_train.data.heard import Heard
from genred_train.evaluation import figures, listening, subject
from genred_train.export import model_file
from genred_train.judging import Scored
from rigs import tiny_model

RATE, HOP = tiny_model.RATE, tiny_model.HOP

# The tiny model tells the sign of a signal; what each label should sound like to it.
LEVEL = {"rock": 0.5, "speech": -0.5, "noise": 0.0}


def steady(*parts: tuple[str, float]) -> np.ndarray:
    """Seconds of each label one after another, as the tiny model hears them."""
    pieces = []
    for label, seconds in parts:
        time = np.arange(round(seconds * RATE)) / RATE
        pieces.append(LEVEL[label] + 0.1 * np.sin(2 * np.pi * 80 * time))
    return np.concatenate(pieces).astype(np.float32)


@pytest.fixture
def signs(tmp_path):
    """A folder for the tiny model, and the model: two artists of rock, one song half wrong."""
    data = tmp_path / "signs"
    songs = {
        "rock/alice/right.wav": steady(("rock", 4.0)),
        "rock/alice/half.wav": steady(("rock", 2.0), ("speech", 2.0)),
        "rock/bob/wrong.wav": steady(("speech", 2.2)),
        "speech/carol/right.wav": steady(("speech", 3.0)),
        "noise/street.wav": steady(("noise", 2.0)),
    }
    for name, audio in songs.items():
        write_wav(data / name, audio, rate=RATE)
    return data, tiny_model.write(tmp_path / "tiny.onnx"), tmp_path / "cache"


def judged(path, data, cache, **choice):
    model = load_model(path)
    selection = subject.select(model.metadata, data, cache, quiet(), **choice)
    answers = listening.listen(model, selection.corpus, selection.positions, lambda *_: None)
    return figures.collect(selection, answers, model.metadata, 0), selection, answers


def test_figures_are_those_worked_out_by_hand(signs):
    """Windows side by side, tracks by mean, groups by mean of their tracks."""
    found, _, _ = judged(signs[1], *signs[::2])
    # Rock: 4 + 2 windows right of 4 + 4 + 2; the half-wrong song is a tie that its mean decides.
    assert found["window"]["confusion"] == [[6, 4, 0], [0, 3, 0], [0, 0, 2]]
    assert found["window"]["accuracy"] == pytest.approx(11 / 15)
    assert found["window"]["by_label"]["recall"] == pytest.approx([0.6, 1.0, 1.0])
    assert found["window"]["by_label"]["precision"] == pytest.approx([1.0, 3 / 7, 1.0])
    assert found["track"]["items"] == 5
    # Alice's two songs are one of the four groups; with the right one she is rock.
    assert found["group"]["items"] == 4
    assert found["group"]["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    rows = {row["group"]: row for row in found["by_group"]}
    assert rows["alice"]["tracks"] == 2
    assert rows["alice"]["window_accuracy"] == pytest.approx(0.75)
    assert rows["bob"]["track_accuracy"] == 0.0
    assert rows["noise/street.wav"]["windows"] == 2


def test_recordings_do_not_hear_each_other(signs):
    """Run side by side or alone, short or long, each begins with a state of its own."""
    model = load_model(signs[1])
    selection = subject.select(model.metadata, signs[0], signs[2], quiet())
    corpus = selection.corpus
    together = listening.listen(model, corpus, selection.positions, lambda *_: None)
    for position in selection.positions:
        alone = listening.listen(model, corpus, [position], lambda *_: None)
        mask = together.positions == position
        np.testing.assert_allclose(together.logits[mask], alone.logits, atol=1e-6)
        np.testing.assert_array_equal(together.ends[mask], alone.ends)


def test_it_hears_what_a_stream_hears(tiny_run):
    """The logits are those of the model file run hop by hop over the same samples."""
    path = tiny_run.out / "model.onnx"
    model = load_model(path)
    selection = subject.select(model.metadata, tiny_run.data, tiny_run.cache, quiet())
    answers = listening.listen(model, selection.corpus, selection.positions, lambda *_: None)
    position = selection.positions[0]
    audio = selection.corpus.audio(position).astype(np.float32)[None] / 32768
    logits, _ = model_file.stream(model_file.session(path), audio, model.metadata)
    mask = answers.positions == position
    steps = answers.ends[mask] // model.metadata.hop
    np.testing.assert_allclose(answers.logits[mask], logits[steps - 1, 0], atol=1e-4)
    assert (answers.ends[mask] % model.metadata.window == 0).all()


def test_more_recordings_than_feeds(tmp_path, monkeypatch):
    """Batches change nothing."""
    data = tmp_path / "data"
    for label in LEVEL:
        for number in range(5):
            write_wav(data / label / f"{number}.wav", steady((label, 1.5 + number / 4)), rate=RATE)
    path = tiny_model.write(tmp_path / "tiny.onnx")
    whole, _, _ = judged(path, data, tmp_path / "cache")
    monkeypatch.setattr(listening, "FEEDS", 4)
    parts, _, _ = judged(path, data, tmp_path / "cache")
    assert parts == whole
    assert whole["track"]["items"] == 15


def test_silence_is_not_judged(tmp_path):
    """Windows that are too quiet are left out, as the daemon's gate leaves them out."""
    data = tmp_path / "data"
    quiet_part = np.zeros(2 * RATE, np.float32)
    write_wav(data / "rock" / "a.wav", np.concatenate([steady(("rock", 2.0)), quiet_part]), RATE)
    write_wav(data / "speech" / "b.wav", steady(("speech", 2.0)), rate=RATE)
    found, _, _ = judged(tiny_model.write(tmp_path / "m.onnx"), data, tmp_path / "cache")
    assert found["window"]["by_label"]["items"] == [2, 2, 0]


def test_short_recordings_are_heard_again(signs):
    """Less than a window is repeated until it fills one, and counts as one."""
    model = load_model(signs[1])
    corpus = subject.select(model.metadata, signs[0], signs[2], quiet()).corpus
    short = corpus.entries[-1]
    cut = replace(short, stored=replace(short.stored, length=RATE // 2 + 7))
    corpus = replace(corpus, entries=(*corpus.entries[:-1], cut))
    positions = range(len(corpus.entries))
    answers = listening.listen(model, corpus, positions, lambda *_: None)
    mask = answers.positions == positions[-1]
    assert answers.ends[mask].tolist() == [model.metadata.window]
    audio = np.resize(corpus.audio(positions[-1]), RATE).astype(np.float32)[None] / 32768
    logits, _ = model_file.stream(model_file.session(signs[1]), audio, model.metadata)
    np.testing.assert_allclose(answers.logits[mask][0], logits[-1, 0], atol=1e-5)


def test_macro_figures_are_over_the_labels_that_are_there(tmp_path):
    """A label of the model without recordings has no recall, and is named."""
    data = tmp_path / "data"
    write_wav(data / "rock" / "a.wav", steady(("rock", 2.0)), rate=RATE)
    write_wav(data / "speech" / "b.wav", steady(("speech", 2.0)), rate=RATE)
    found, _, _ = judged(tiny_model.write(tmp_path / "m.onnx"), data, tmp_path / "cache")
    assert found["data"]["labels_missing"] == ["noise"]
    assert found["window"]["macro_f1"] == 1.0
    assert found["window"]["macro_recall"] == 1.0
    assert found["window"]["intervals"]["macro_f1"] == [1.0, 1.0]


def test_labels_that_the_model_does_not_know_are_named(signs):
    """The line says which they are, how many recordings, and what the model knows."""
    data, path, cache = signs
    write_wav(data / "techno" / "x.wav", steady(("rock", 2.0)), rate=RATE)
    with pytest.raises(InputError, match=r"techno \(recordings: 1\); it knows rock, speech, noise"):
        judged(path, data, cache)
    found, _, _ = judged(path, data, cache, labels=("rock", "speech"))
    assert found["window"]["by_label"]["items"] == [10, 3, 0]
    with pytest.raises(InputError, match="no recordings of polka"):
        judged(path, data, cache, labels=("polka",))


def test_rows_of_a_manifest_in_no_split_are_set_aside(signs):
    """Unlabelled music may lie beside; a label with a split must be known."""
    data, path, cache = signs
    write_wav(data / "x.wav", steady(("rock", 2.0)), rate=RATE)
    lines = ["path,label,group,split"]
    lines += [f"rock/alice/{n}.wav,rock,alice,test" for n in ("right", "half")]
    lines += ["speech/carol/right.wav,speech,carol,train", "noise/street.wav,noise,,val"]
    lines.append("x.wav,mystery,x,none")
    (data / "manifest.csv").write_text("\n".join(lines) + "\n")
    found, _, _ = judged(path, data, cache)
    assert found["data"]["recordings"] == 4
    found, _, _ = judged(path, data, cache, split="manifest")
    assert found["window"]["by_label"]["items"] == [8, 0, 2]
    (data / "manifest.csv").write_text("\n".join([*lines, "x.wav,mystery,x,test"]) + "\n")
    with pytest.raises(InputError, match="mystery"):
        judged(path, data, cache)


def test_on_its_own_data_a_model_is_judged_on_its_test_split(tiny_run):
    """The groups are those that training never saw, and the figures are training's own."""
    found, selection, _ = judged(tiny_run.out, tiny_run.data, tiny_run.cache)
    assert found["data"]["as_in_training"]
    assert found["warnings"] == []
    assert set(selection.standing.values()) == {"unseen"}
    trained = {e.group for e in selection.corpus.entries if e.split != "test"}
    assert not trained & set(selection.standing)
    test = tiny_run.metrics["test"]
    assert found["track"]["groups"] == test["track"]["groups"]
    assert found["track"]["accuracy"] == pytest.approx(test["track"]["accuracy"], abs=0.2)


def test_groups_that_were_trained_on_are_told_of(tiny_run):
    """Asked for everything, it says how many groups flatter, and judges both kinds apart."""
    found, selection, _ = judged(tiny_run.out, tiny_run.data, tiny_run.cache, split="all")
    heard = [group for group, how in selection.standing.items() if how == "heard"]
    assert any(f"{len(heard)} of {len(selection.standing)} groups" in w for w in found["warnings"])
    assert set(found["by_standing"]) == {"heard", "unseen"}
    items = [found["by_standing"][how]["window"]["items"] for how in ("heard", "unseen")]
    assert sum(items) == found["window"]["items"]


def test_on_other_data_heard_artists_are_left_out(tiny_run, tmp_path):
    """New artists are judged; those of training are known by name and by recording."""
    data = tmp_path / "data"
    shutil.copytree(tiny_run.data / "high", data / "high")
    for number, song in enumerate(sorted((tiny_run.data / "low").glob("*/*.wav"))):
        # Same recordings under other names: known by what they hold.
        (data / "low" / f"renamed {number}").mkdir(parents=True)
        shutil.copy(song, data / "low" / f"renamed {number}" / "track.wav")
    write_music(data, artists=2, first=50)
    found, selection, _ = judged(tiny_run.out, data, tiny_run.cache)
    assert not found["data"]["as_in_training"]
    assert any("not the data that the model was made from" in w for w in found["warnings"])
    assert any("left out" in w for w in found["warnings"])
    new = {f"{label}er {artist}" for label in ("high", "low", "noise") for artist in (50, 51)}
    assert new <= set(selection.standing)
    own = judged(tiny_run.out, tiny_run.data, tiny_run.cache)[1]
    tested = {own.corpus.entries[n].stored.digest for n in own.positions}
    for position in selection.positions:
        entry = selection.corpus.entries[position]
        assert entry.group in new or entry.stored.digest in tested


def test_a_model_that_does_not_say_what_it_heard(signs):
    """Then whether groups are unseen cannot be told, and that is said."""
    found, selection, _ = judged(signs[1], *signs[::2])
    assert set(selection.standing.values()) == {"untold"}
    assert any("cannot be told" in warning for warning in found["warnings"])


def test_what_a_model_heard_goes_through_text(tiny_run):
    """Packed and unpacked it is the same; text that is none is nothing."""
    corpus = subject.select(
        load_model(tiny_run.out).metadata, tiny_run.data, tiny_run.cache, quiet()
    ).corpus
    heard = Heard.of(corpus)
    assert Heard.unpack(heard.pack()) == heard
    assert Heard.unpack("ä") == Heard.unpack("") == Heard()
    told = {entry.group for entry in corpus.entries if entry.split != "test"}
    assert heard.groups(corpus.entries) == told


def test_nothing_to_judge_is_an_error(tiny_run, tmp_path):
    """If every group was trained on, the line says so and what would be judged otherwise."""
    found, selection, _ = judged(tiny_run.out, tiny_run.data, tiny_run.cache, split="train")
    assert found["by_standing"].keys() == {"heard"}
    data = tmp_path / "data"
    for position in selection.positions:
        clip = selection.corpus.entries[position].clip
        (data / clip.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, data / clip.name)
    with pytest.raises(InputError, match="nothing to judge"):
        judged(tiny_run.out, data, tiny_run.cache)


def test_the_bootstrap_draws_groups_and_not_windows():
    """One group all right and one all wrong: any draw is right in 0, a half, or all of it."""
    truth = np.zeros(200, np.int64)
    groups = np.repeat([0, 1], 100)
    said = np.where(groups == 0, 0, 1)
    found = judging.judge(Scored(np.eye(2)[said], truth, groups), ["music"] * 2, seed=0)
    assert found["accuracy"] == 0.5
    assert found["intervals"]["accuracy"] == [0.0, 1.0]
    # Precision of the only label that is there: 1 unless nothing was said to be it.
    assert found["intervals"]["macro_precision"] == [0.0, 1.0]


def test_the_bins_of_the_reliability_diagram_by_hand():
    """Four items in two bins: what they hold, and the error that follows."""
    sure = np.array([0.55, 0.58, 0.95, 0.97])
    scored = Scored(np.stack([sure, 1 - sure], 1), np.array([0, 1, 0, 0]), np.arange(4))
    bins = judging.reliability(scored, bins=10)
    assert bins["items"] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert bins["confidence"][5] == pytest.approx(0.565)
    assert bins["accuracy"][5] == pytest.approx(0.5)
    assert bins["accuracy"][9] == pytest.approx(1.0)
    assert judging.calibration_error(scored, 10) == pytest.approx((0.065 + 0.04) / 2)


def test_the_command_prints_tables(signs, capsys):
    """Figures of all units with intervals, labels, confusion, calibration and warnings."""
    data, path, cache = signs
    assert evaluate.main([str(path), "--data", str(data), "--cache", str(cache)]) == 0
    printed = capsys.readouterr().out
    for expected in (
        "0.733 [",
        "macro precision",
        "bootstrap draws of whole groups",
        "by label",
        "confusion of windows",
        "calibration",
        "cannot be told",
        "speech (40%)",
    ):
        assert expected in printed


def test_the_command_writes_what_it_found(signs, tmp_path, capsys):
    """--json is what is in metrics.json; tracks are listed; pictures are drawn."""
    data, path, cache = signs
    out = tmp_path / "out"
    line = [str(path), "--data", str(data), "--cache", str(cache), "--out", str(out), "--json"]
    assert evaluate.main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((out / "metrics.json").read_text()) == found
    rows = (out / "tracks.csv").read_text().splitlines()
    assert rows[0] == "track,group,label,heard,confidence,right,windows"
    assert len(rows) == 6
    assert any(row.startswith("rock/bob/wrong.wav,bob,rock,speech,") for row in rows)
    for name in ("confusion.png", "reliability.png"):
        assert (out / name).stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ([], 64, "MODEL"),
        (["m.onnx", "--data", "d", "--split", "half"], 64, "invalid choice"),
        (["m.onnx", "--data", "d", "--labels", ","], 64, "--labels"),
        (["m.onnx", "--data", "d", "--epochs", "3"], 64, "--cross-validate"),
        (["missing.onnx", "--data", "d"], 66, "no model at"),
        (["text.onnx", "--data", "d"], 78, "onnxruntime"),
        (["m.onnx", "--data", "nowhere"], 66, "there is no folder nowhere"),
        (["m.onnx", "--data", "empty"], 66, "no audio"),
        (["m.onnx", "--data", "d", "--out", "text.onnx/x"], 74, "cannot make"),
        (["r.toml", "--data", "d", "--cross-validate", "1"], 64, "at least 2"),
        (["r.toml", "--data", "d", "--cross-validate", "3", "--labels", "a"], 64, "do not go"),
        (["r.toml", "--data", "d", "--cross-validate", "3"], 66, "cannot read the recipe"),
        (["m.onnx", "--data", "d", "--cross-validate", "3"], 66, "holds no recipe"),
    ],
)
def test_what_people_get_wrong_is_one_line(signs, tmp_path, monkeypatch, capsys, words, code, line):
    """A clear line and the right exit code, never a traceback."""
    monkeypatch.chdir(tmp_path)
    signs[0].rename("d")
    signs[1].rename("m.onnx")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("this is no model")
    if words and "--cache" not in words:
        words = [*words, "--cache", "cache"]
    assert evaluate.main(words) == code
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("genred evaluate: ")
    assert line in said


def test_two_labels_of_one_group_stay_apart(tmp_path):
    """An artist of two genres is one group to the bootstrap and two rows of groups."""
    data = tmp_path / "data"
    write_wav(data / "rock" / "dora" / "a.wav", steady(("rock", 2.0)), rate=RATE)
    write_wav(data / "speech" / "dora" / "b.wav", steady(("speech", 2.0)), rate=RATE)
    found, _, _ = judged(tiny_model.write(tmp_path / "m.onnx"), data, tmp_path / "cache")
    assert found["group"]["items"] == 2
    assert found["group"]["groups"] == 1
    assert found["group"]["accuracy"] == 1.0


def test_labels_keep_the_order_of_the_model(tmp_path):
    """Truth and logits meet by name, whatever the order of folders and labels."""
    labels = ("speech", "rock", "noise")
    kinds = {"rock": "music", "speech": "speech", "noise": "noise"}
    meta = tiny_model.metadata(
        labels=tuple(LabelInfo(name=name, kind=kinds[name]) for name in labels)
    )
    data = tmp_path / "data"
    # This model says its first label, here "speech", of what lies above zero.
    write_wav(data / "speech" / "a.wav", steady(("rock", 2.0)), rate=RATE)
    write_wav(data / "rock" / "b.wav", steady(("speech", 2.0)), rate=RATE)
    path = tiny_model.write(tmp_path / "m.onnx", tiny_model.build(meta))
    found, _, _ = judged(path, data, tmp_path / "cache")
    assert found["window"]["accuracy"] == 1.0
    assert found["window"]["confusion"] == [[2, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_sounds_of_the_run_are_told_apart(tiny_run, tmp_path):
    """A trained model, new artists, from files to figures."""
    data = write_music(tmp_path / "data", artists=2, first=80)
    write_wav(data / "low" / "lower 99" / "a.wav", sound("low", 2.0, seed=99))
    found, _, _ = judged(tiny_run.out, data, tiny_run.cache)
    assert found["track"]["accuracy"] > 0.6
    assert set(found["by_standing"]) == {"unseen"}


@pytest.mark.parametrize("name", ["evaluate", "report"])
def test_the_daemons_command_becomes_the_labs(name):
    """``genred evaluate`` and ``genred report`` hand over all words; the exit code comes back."""
    line = [sys.executable, "-m", "genred", name]
    told = subprocess.run([*line, "--help"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith(f"usage: genred {name}")
    wrong = subprocess.run([*line, "x", "--wrong"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 64
    assert wrong.stderr.startswith(f"genred {name}: ")
    assert len(wrong.stderr.splitlines()) == 1
