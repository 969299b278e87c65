"""Cross-validation: no group on two sides, every scored group judged exactly once."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import LABELS, quick, quiet, write_music
from train_data import recipe, sound, write_wav

from genred.errors import InputError
from genred.model.session import load_model
from genred_train import __main__ as training
from genred_train import evaluate, tune
from genred_train.data import corpus as corpora
from genred_train.evaluation import folds, tuning

GROUPS = st.dictionaries(
    st.integers(0, 80).map(lambda n: f"group{n}"),
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1),
    min_size=1,
    max_size=60,
)


@given(groups=GROUPS, count=st.integers(2, 8), seed=st.integers(0, 99))
def test_every_group_is_dealt_to_one_fold(groups, count, seed):
    """Also groups of several labels; the same seed deals the same, whatever the order."""
    dealt = folds.deal(groups, count, seed)
    assert dealt.keys() == groups.keys()
    assert set(dealt.values()) <= set(range(count))
    assert dealt == folds.deal(dict(reversed(groups.items())), count, seed)


@given(
    counts=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1),
    count=st.integers(2, 8),
    seed=st.integers(0, 99),
)
def test_labels_are_dealt_evenly(counts, count, seed):
    """Of groups with one label each, folds differ by one at most."""
    groups = {f"{label}{n}": {label: 1} for label, many in counts.items() for n in range(many)}
    dealt = folds.deal(groups, count, seed)
    for label, many in counts.items():
        have = Counter(dealt[f"{label}{n}"] for n in range(many))
        each = [have[fold] for fold in range(count)]
        assert max(each) - min(each) <= 1


def test_rare_labels_do_not_all_go_to_one_fold():
    """Single groups of many labels are spread over the folds by what these hold already."""
    groups = {f"g{n}": {f"label{n}": 2} for n in range(12)}
    have = Counter(folds.deal(groups, 4, seed=0).values())
    assert set(have.values()) == {3}


@given(groups=GROUPS, share=st.floats(0.05, 0.5), seed=st.integers(0, 99))
def test_validation_takes_its_share_and_leaves_the_only_one(groups, share, seed):
    """Labels with two groups or more have one in validation; one with a single keeps it..."""
    taken = folds.validation(groups, share, seed)
    assert taken <= groups.keys()
    for label in {label for counted in groups.values() for label in counted}:
        members = [group for group, counted in groups.items() if label in counted]
        if len(members) > 1:
            assert taken.intersection(members)
        elif members[0] in taken:
            assert len(groups[members[0]]) > 1  # ...unless another label of it sends it there


@pytest.fixture
def planned(folder, tmp_path):
    """A plan over the small folder, with one data set that is never scored."""
    lines = ["path,label,group,split,dataset"]
    for path in sorted(folder.glob("*/*.wav")):
        made = path.stem.endswith("00005")
        name = path.relative_to(folder).as_posix()
        lines.append(f"{name},{path.parent.name},,train,{'generated-x' if made else 'real'}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    plan = folds.Plan(recipe(), folder, tmp_path / "cache", None, 3, seed=4)
    return plan, corpora.load(plan.recipe, folder, plan.cache, quiet())


def test_no_group_is_on_two_sides_in_any_fold(planned):
    """Each scored group is tested once and never trained on then; generated ones only train."""
    plan, corpus = planned
    scored = {entry.group for entry in corpus.entries if entry.scored}
    dealt = folds.deal(folds._scored_groups(corpus), plan.count, plan.seed)
    assert dealt.keys() == scored
    tested: Counter[str] = Counter()
    prints = set()
    for number in range(plan.count):
        part = folds.fold_of(corpus, dealt, number, plan)
        sides: dict[str, set[str]] = {}
        for entry in part.entries:
            sides.setdefault(entry.group, set()).add(entry.split)
            assert entry.scored or entry.split == "train"
        assert all(len(each) == 1 for each in sides.values())
        tested.update(group for group, each in sides.items() if each == {"test"})
        assert {part.entries[n].label for n in part.of("train")} == {0, 1, 2}
        assert {part.entries[n].label for n in part.of("val")} == {0, 1, 2}
        prints.add(part.fingerprint)
    assert tested == Counter(scored)
    assert len(prints) == plan.count


def test_a_label_of_one_group_is_an_error(tmp_path):
    """It cannot be trained on and judged; the line names it."""
    data = write_music(tmp_path / "data", artists=3)
    for artist in sorted((data / "low").iterdir()):
        artist.rename(artist.with_name(f"one {artist.name}"))
    lines = ["path,label,group,split"]
    for path in sorted(data.rglob("*.wav")):
        name = path.relative_to(data).as_posix()
        group = "same" if "/one " in name else path.parent.name
        lines.append(f"{name},{name.split('/')[0]},{group},")
    (data / "manifest.csv").write_text("\n".join(lines) + "\n")
    corpus = corpora.load(recipe(), data, tmp_path / "cache", quiet(), training=False)
    with pytest.raises(InputError, match="too few of low"):
        folds._enough(folds._scored_groups(corpus), corpus.label_names, 3, quiet())


def test_a_fold_that_learnt_from_other_music_is_trained_again(planned, tmp_path, monkeypatch):
    """What is kept says who taught it, and by what without labels."""
    plan, _ = planned
    trained = []

    def run(part, plan, folder, console):
        trained.append(folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        none = np.empty(0, np.int64)
        fold = folds.Fold(folds.Answers(np.empty((0, 3), np.float32), none, none), 1.0, 1, 0.0)
        folds._keep(fold, folder, folds._key(part, plan), plan.seed, folds.besides(plan, part))
        return fold

    monkeypatch.setattr(folds, "_run", run)
    plan = replace(plan, out=tmp_path / "out", first=1)
    write_wav(tmp_path / "library" / "a.wav", sound("low", 3.0, 7))
    (tmp_path / "teacher").write_bytes(b"weights")
    taught = replace(plan, teachers=(tmp_path / "teacher",))
    more = replace(taught, unlabelled=tmp_path / "library")
    for count, each in enumerate((plan, taught, more, plan), start=1):
        for _ in range(2):  # and the second time it is taken from there
            folds.trained(each, quiet())
            assert trained == ["fold-1"] * count


@pytest.mark.slow
def test_cross_validation_from_the_command_line(tmp_path, capsys, monkeypatch):
    """Two folds train, are judged and pooled; a second call takes up what is whole."""
    data = write_music(tmp_path / "data", artists=4)
    made = recipe(training={**recipe().training.model_dump(), "epochs": 2, "crops_per_epoch": 96})
    path, out = tmp_path / "tiny.toml", tmp_path / "folds"
    path.write_text(_toml(made))
    line = ["--cross-validate", "2", str(path), "--data", str(data), "--out", str(out), "--json"]
    line += ["--cache", str(tmp_path / "cache"), "--device", "cpu", "--seed", "1", "--threads", "1"]
    assert evaluate.main(line) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert "fold 2 of 2" in printed.err
    assert found["data"]["groups"] == 12
    assert found["window"]["items"] == sum(fold["window"]["items"] for fold in found["folds"])
    groups = [group for fold in found["folds"] for group in fold["groups"]]
    assert len(groups) == len(set(groups)) == 12
    for label in LABELS:
        for fold in found["folds"]:
            assert any(group.startswith(label) for group in fold["groups"])
    low, high = sorted(fold["track"]["macro_f1"] for fold in found["folds"])
    mean, spread = found["spread"]["track"]["macro_f1"]
    assert mean == pytest.approx((low + high) / 2)
    assert spread == pytest.approx((high - low) / 2**0.5)
    assert (out / "fold-1" / "model.onnx").exists()
    assert (out / "confusion.png").stat().st_size > 5000

    def no_training(*_):
        raise AssertionError("a fold that is whole is trained again")

    with monkeypatch.context() as patch:
        patch.setattr(folds, "_run", no_training)
        assert evaluate.main(line) == 0
        assert json.loads(capsys.readouterr().out) == found
        (out / "fold-2" / "answers.npz").write_bytes(b"half a file")
        with pytest.raises(AssertionError, match="trained again"):
            evaluate.main(line)
    capsys.readouterr()
    # A fold that was damaged is trained again, and the recipe of a model file does as well.
    words = [str(out / "fold-1") if word == str(path) else word for word in line]
    assert evaluate.main([word for word in words if word != "--json"]) == 0
    printed = capsys.readouterr()
    assert "fold 1 of 2: taken from" in printed.err
    assert "mean ± s.d." in printed.out
    assert "each judged once by a model that has not heard its group" in " ".join(
        printed.out.split()
    )


class Deadly:
    """Ends the process that it is sent to."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


@pytest.mark.slow
def test_who_learns_from_validation_is_calibrated_by_folds(tmp_path, capsys, monkeypatch):
    """The temperature and the judgement come from what the folds' models said of their folds."""
    monkeypatch.setattr(tuning, "WHOLE", quick(1, 4))
    data = write_music(tmp_path / "data", artists=6)
    settings = {"epochs": 2, "crops_per_epoch": 96, "learn_validation": True, "select": "last"}
    made = recipe(training={**recipe().training.model_dump(), **settings})
    path, out, run = tmp_path / "tiny.toml", tmp_path / "folds", tmp_path / "run"
    path.write_text(_toml(made))
    where = ["--data", str(data), "--cache", str(tmp_path / "cache")]
    small = ["--device", "cpu", "--threads", "1"]
    train = [str(path), *where, *small, "--out", str(run), "--folds", str(out)]
    assert training.main(train) == 66
    assert "holds no whole cross-validation" in capsys.readouterr().err

    folded = ["--cross-validate", "2", str(path), *where, *small, "--out", str(out), "--seed", "3"]
    assert evaluate.main([*folded, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 1.0 not in {fold["temperature"] for fold in found["folds"]}
    one, other = (np.array(fold["shifts"]) for fold in found["folds"])
    assert np.abs(one - other).max() > 0.01  # each by the other fold
    assert training.main(train) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["calibration"]["by"] == "cross-validation"
    temperature = metrics["calibration"]["temperature"]
    shifts = np.array([*metrics["calibration"]["shifts"].values()])
    assert temperature != 1.0
    assert np.abs(shifts).max() > 0.01
    assert not {"val", "val_second"} & metrics.keys()
    told = (run / "MODEL_CARD.md").read_text()
    assert "The validation split was learnt from too" in told
    assert "found by cross-validation" in told
    assert "| validation, windows |" not in told

    capsys.readouterr()
    tuned = [str(run), *where, "--folds", str(out), "--hours", "0.2"]
    _ended_from_outside(tuned, run / "model.onnx", capsys, monkeypatch)
    assert tune.main(tuned) == 0
    assert "each fold judged by the others" in capsys.readouterr().out
    told = json.loads((run / "metrics.json").read_text())["tuning"]
    assert (told["split"], told["unheard"]["groups"] > 6) == ("folds", True)
    assert evaluate.main([str(run), *where, "--stream", "--hours", "0.1", "--card"]) == 0
    assert "| test split | by folds | aim |" in (run / "MODEL_CARD.md").read_text()

    plain = tmp_path / "plain"
    assert training.main([str(path), *where, *small, "--out", str(plain)]) == 0
    metrics = json.loads((plain / "metrics.json").read_text())
    assert metrics["calibration"]["by"] == "nothing"
    assert metrics["calibration"]["temperature"] == 1.0
    assert not any(metrics["calibration"]["shifts"].values())
    # The shifts stand in the network itself, and nothing else is different.
    audio = np.random.default_rng(1).normal(0, 0.1, (1, 4000)).astype(np.float32)
    said = [load_model(each).step(audio, load_model(each).new_state(1))[0] for each in (run, plain)]
    assert said[0] - said[1] == pytest.approx(shifts[None], abs=1e-4)


def _ended_from_outside(tuned, model, capsys, monkeypatch) -> None:
    """It is told in a line if the process beside is ended, and the model is as it was."""
    before = model.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(tuning, "unheard", Deadly())
        assert tune.main(tuned) == 75
    assert "ended from outside" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_what_learns_from_validation_chooses_nothing_by_it():
    training = {**recipe().training.model_dump(), "learn_validation": True, "select": "macro_f1"}
    with pytest.raises(ValueError, match="leaves nothing to choose an epoch by"):
        recipe(training=training)


def _toml(made) -> str:
    """The few tables of a recipe that the tests set, as TOML."""
    lines = [f'name = "{made.name}"']
    chosen = {
        "front_end": made.front_end.model_dump(exclude_none=True),
        "data": {"min_clips": made.data.min_clips},
        "split": {"val": made.split.val, "test": made.split.test},
        "network": made.network.model_dump(),
        "training": made.training.model_dump(),
        "card": {"license": made.card.license},
    }
    for name, table in chosen.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _value(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(v)}" for key, v in value.items()) + " }"
    return json.dumps(value)
