"""Passages of radio, and what is to be said of them."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rich.console
import torch
from train_data import recipe

from genred.errors import ConfigError, InputError
from genred_train import run
from genred_train.airing import Shape, Studio, Track
from genred_train.console import Console
from genred_train.data import corpus as corpora
from genred_train.data import radio, spectrograms
from genred_train.data.cache import Stored
from genred_train.front_end import band_centres
from genred_train.teacher import classifier, panel, yardstick
from genred_train.teacher.classifier import Examples
from genred_train.teacher.frames import HOP, at
from genred_train.teacher.lessons import Against, Components, Opinions

MELS, FRAMES_A_SECOND, COMPONENTS = 64, 80, 3
PLAIN = {
    "level_dbfs": "own",
    "equalise_p": 0.0,
    "low_pass_p": 0.0,
    "noise_p": 0.0,
    "talk_over_p": 0.0,
    "time_masks": 0,
    "frequency_masks": 0,
}
BARE = {
    "seconds": 6.0,
    "pieces": [0.0, 1.0],
    "level_db": 0.0,
    "noise_under_p": 0.0,
    "compress_p": 0.0,
}


def track(label: int, level: float, seconds: float = 20.0) -> Track:
    frames = np.full((int(seconds * FRAMES_A_SECOND), MELS), level, np.float16)
    targets = np.eye(3, dtype=np.float32)[label]
    lesson = np.full((int(4 * seconds), COMPONENTS), label, np.float16)
    audible = np.full(int(4 * seconds), level > -10.0)
    return Track([spectrograms.Picture(frames, 1.0)], targets, audible, [lesson], label)


def studio(tracks: list[Track], airing: dict, augment: dict) -> Studio:
    made = recipe(airing=airing, augment=augment)
    shape = Shape.of(made.audio, made.front_end, 78, made.airing.seconds)
    weights = np.ones(len(tracks))
    return Studio(tracks, weights, shape, made, band_centres(made.front_end), [1], [2], COMPONENTS)


def test_two_pieces_with_a_cut():
    """Each decision's target is the share of its window, and lessons are of whole windows."""
    tracks = [track(0, 0.0), track(1, 2.0)]
    cut = {**BARE, "cross_fade_p": 0.0, "pause_p": 0.0}
    batch = studio(tracks, cut, PLAIN).batch(32, np.random.default_rng(1))
    assert batch.logmel.shape == (32, MELS, 78 + 20 * 20)
    level = np.log(np.exp(batch.logmel[:, 0].numpy()) - 0.01)
    loud = level > 1.0
    changed = loud.any(axis=1) & ~loud.all(axis=1)
    assert changed.sum() > 5
    ends = 78 + 20 * np.arange(batch.targets.shape[1])
    for passage in np.flatnonzero(changed):
        share = np.array([loud[passage, end - 78 : end].mean() for end in ends])
        np.testing.assert_allclose(batch.targets[passage, :, 1], share, atol=1e-5)
        whole = (share < 0.05) | (share > 0.95)
        np.testing.assert_array_equal(batch.taught[passage].numpy() > 0, whole)
        taught = batch.lessons[passage].numpy()[whole]
        np.testing.assert_allclose(taught, np.repeat(share[whole].round()[:, None], 3, axis=1))


def test_each_rendering_has_its_own_lesson():
    """The teacher's words go with the picture they were said of, by its own time."""
    slow, fast = (track(0, level, seconds) for level, seconds in ((0.0, 24.0), (2.0, 16.0)))
    lessons = [np.arange(4 * 24, dtype=np.float16), 500 + np.arange(4 * 16, dtype=np.float16)]
    both = Track(
        [slow.pictures[0], fast.pictures[0]],
        slow.targets,
        np.ones(4 * 20, bool),
        [np.repeat(lesson[:, None], COMPONENTS, axis=1) for lesson in lessons],
        0,
    )
    alone = {**BARE, "pieces": [1.0]}
    batch = studio([both], alone, PLAIN).batch(24, np.random.default_rng(3))
    played_fast = np.log(np.exp(batch.logmel[:, 0, 0].numpy()) - 0.01) > 1.0
    assert 0 < played_fast.sum() < 24
    said = batch.lessons[:, :, 0].numpy()
    assert ((said[:, 0] >= 500) == played_fast).all()
    np.testing.assert_allclose(said - said[:, :1], np.tile(np.arange(21), (24, 1)), atol=1.0)


def test_pauses_do_not_count_and_levels_are_as_asked():
    """Windows of which most is silence have no weight; the mean power is the level drawn."""
    pause = {**BARE, "pieces": [1.0], "cross_fade_p": 0.0, "pause_p": 0.0}
    silent = studio([track(0, -16.0)], pause, PLAIN).batch(4, np.random.default_rng(1))
    assert silent.weights.sum() == 0
    levels = {**PLAIN, "level_dbfs": [-30.0, -30.0]}
    heard = studio([track(0, 1.0)], pause, levels).batch(4, np.random.default_rng(1))
    assert heard.weights.min() == 1
    expected = math.log(math.e * 10 ** ((-30.0 - spectrograms.LEVEL_DBFS) / 10) + 0.01)
    np.testing.assert_allclose(heard.logmel.numpy(), expected, atol=1e-3)


def test_everything_at_once_is_finite_and_the_same_again():
    """All that radio does, twice from the same seed."""
    airing = {"seconds": 6.0}
    tracks = [track(0, 0.0, 5.0), track(1, 2.0, 3.0), track(2, -1.0, 2.0)]
    once, again = (studio(tracks, airing, {}).batch(16, np.random.default_rng(5)) for _ in range(2))
    assert np.isfinite(once.logmel.numpy()).all()
    np.testing.assert_array_equal(once.logmel.numpy(), again.logmel.numpy())
    np.testing.assert_allclose(once.targets.sum(dim=2)[once.weights > 0], 1.0, atol=1e-5)


def test_pictures_are_kept_and_as_long_as_they_play(tmp_path):
    """A second call reads what the first one made; other renderings are of another speed."""
    tone = (np.sin(np.arange(32_000) * 0.3) * 9000).astype(np.int16)
    stored = Stored("ab" * 32, 0, tone.size)
    front_end = recipe().front_end

    def made() -> list[spectrograms.Picture]:
        found = spectrograms.pictures(
            front_end, 16_000, 3, 0.1, [stored], tone, tmp_path, lambda _done, _all: None
        )
        return found[stored.digest]

    first = made()
    assert [len(picture.frames) for picture in first] == [
        (int((31_999 if picture.speed != 1 else 32_000) / picture.speed) - 512) // 200 + 1
        for picture in first
    ]
    assert [picture.speed for picture in first] == spectrograms.speeds(stored.digest, 3, 0.1)
    assert first[0].speed == 1 != first[1].speed
    assert all(abs(picture.speed - 1) <= 0.1 for picture in first)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert len(before) == 3
    np.testing.assert_array_equal(made()[2].frames, first[2].frames)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == before


def test_codecs_and_rooms_keep_length_and_tune():
    """What comes back is as long, and its loudest tone is the one that went in."""
    audio = (0.3 * np.sin(2 * np.pi * 1000 / 16_000 * np.arange(48_000))).astype(np.float32)
    for seed in range(4):
        for treat in (radio.coded, radio.in_room):
            heard = treat(audio, 16_000, np.random.default_rng(seed))
            assert heard.shape == audio.shape
            spectrum = np.abs(np.fft.rfft(heard[16_000:32_000]))
            assert abs(int(spectrum.argmax()) - 1000) <= 1


def test_the_regression_is_fair_to_rare_labels():
    """Labels and groups count alike: a rare one is told as surely as a common one."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [900, 30])
    inputs = random.normal(size=(930, 8)).astype(np.float32)
    inputs[:, 0] += 2.5 * labels
    groups = np.concatenate([np.arange(900) % 9, 9 + np.arange(30) % 3])
    examples = Examples(inputs, labels, groups, np.zeros(930, bool))
    weights = examples.weights()
    assert math.isclose(weights[:900].sum(), weights[900:].sum(), rel_tol=1e-4)
    penalty = classifier.choose(examples, np.isin(groups, [0, 1, 9]), 2)
    (fitted,) = classifier.fit(examples, 2, [penalty])
    right = fitted.logits(inputs).argmax(axis=1) == labels
    assert right[:900].mean() > 0.8
    assert right[900:].mean() > 0.8


def test_what_is_made_by_machine_counts_a_share():
    """Labels still count alike; within one, what is made counts its share of what is not."""
    labels = np.repeat([0, 1], [40, 10])
    groups = np.concatenate([np.arange(40) % 8, 8 + np.arange(10) % 5])
    made = np.isin(groups, [0, 1, 2, 3, 4, 5])
    examples = Examples(np.zeros((50, 1), np.float32), labels, groups, made, 0.1)
    weights = examples.weights()
    assert math.isclose(weights.mean(), 1.0, rel_tol=1e-6)
    assert math.isclose(weights[:40].sum(), weights[40:].sum(), rel_tol=1e-6)
    assert math.isclose(weights[made].sum(), 0.1 * weights[:40][~made[:40]].sum(), rel_tol=1e-6)
    # Groups still count alike among themselves.
    of = [weights[groups == group].sum() for group in range(6)]
    np.testing.assert_allclose(of, of[0], rtol=1e-5)
    alone = replace(examples, made=np.ones(50, bool))
    np.testing.assert_allclose(alone.weights()[:40], 50 / 2 / 40, rtol=1e-5)


def test_a_penalty_that_is_named_is_taken(folder, tmp_path):
    """And is not taken for the one that held-out groups choose, nor kept in its place."""
    console = Console(rich.console.Console(file=io.StringIO()))
    corpus = corpora.load(recipe(), folder, tmp_path / "cache", console)
    random = np.random.default_rng(0)
    embedded = {
        entry.stored.digest: (random.normal(size=(6, 8)) + np.eye(8)[entry.label]).astype(
            np.float16
        )
        for entry in corpus.entries
    }
    chosen = yardstick.kept(corpus, embedded, 0, tmp_path)
    stiff = yardstick.kept(corpus, embedded, 0, tmp_path, penalty=3.0)
    assert chosen.penalty in classifier.PENALTIES
    assert stiff.penalty == 3.0
    assert stiff.weight.norm() < 0.5 * chosen.weight.norm()
    for known, penalty in ((chosen, 0.0), (stiff, 3.0)):
        again = yardstick.kept(corpus, embedded, 0, tmp_path, penalty=penalty)
        torch.testing.assert_close(again.weight, known.weight, rtol=0, atol=0)


def test_lessons_keep_distances():
    """All components together keep the standardised distances, scaled to a variance of one."""
    random = np.random.default_rng(0)
    frames = random.normal(size=(500, 6)).astype(np.float32) @ random.normal(size=(6, 6))
    components = Components.of(frames.astype(np.float32), 6)
    view = components.project(frames.astype(np.float32))
    assert math.isclose(np.square(view).sum(axis=1).mean(), 1.0, rel_tol=1e-3)


def test_opinions_weigh_as_asked():
    """What the teacher makes of labels varies by the weight given to it, each label alike."""
    random = np.random.default_rng(0)
    frames = random.normal(size=(500, 6)).astype(np.float32)
    labels = np.arange(500) % 3
    frames[:, 0] += labels
    examples = Examples(frames, labels, np.arange(500) % 50, np.zeros(500, bool))
    (known,) = classifier.fit(examples, 3, [1e-3])
    view = Opinions.of(frames, Against(known), 0.7).project(frames)
    assert view.shape == (500, 3)
    np.testing.assert_allclose(view.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(view.var(axis=0), 0.7 / 3, rtol=1e-3)
    assert (np.corrcoef(view[:, 2], frames[:, 0])[0, 1]) > 0.5
    # Each label against the others, so that one of them says nothing new.
    raw = view / Opinions.of(frames, Against(known), 0.7).scale
    np.testing.assert_allclose(raw.sum(axis=1), 0.0, atol=1e-4)


def test_embeddings_between_frames():
    """A window's embedding lies between those of the frames around its end."""
    embedded = np.arange(5, dtype=np.float16)[:, None].repeat(4, axis=1)
    ends = np.array([0, 15_600 + 2 * HOP, 15_600 + 2 * HOP + HOP // 2, 10**9])
    np.testing.assert_allclose(at(embedded, ends)[:, 0], [0.0, 2.0, 2.5, 4.0])


def test_a_wrong_teacher_is_named(tmp_path):
    """No file, or one that is no such network: one line that says what is wanted."""
    with pytest.raises(InputError, match="cannot read the teacher"):
        panel.heard(tmp_path / "yamnet.tflite")
    (tmp_path / "odd.tflite").write_bytes(b"odd")
    with pytest.raises(InputError, match="no YAMNet"):
        panel.heard(tmp_path / "odd.tflite")


OPTIONS = {"widths": [4, 4, 8, 8], "vector": 8, "layers": 1, "hidden": 16, "memory": 8}
REMEMBERING: dict[str, Any] = {
    "network": {"name": "remembering", "options": OPTIONS},
    "airing": {"seconds": 2.5, "renderings": 2},
    "training": {
        "epochs": 2,
        "crops_per_epoch": 24,
        "batch_size": 8,
        "select": "last",
        "average": 0.5,
        "precision": "bfloat16",
        "seed": 3,
    },
}


@pytest.mark.slow
def test_a_run_on_passages(folder, tmp_path):
    """From recordings to a file, a card and figures with and without memory."""
    made = recipe(**REMEMBERING)
    chosen = run.Options(folder, tmp_path / "out", tmp_path / "cache", "cpu", 1)
    metrics = run.train(made, chosen, Console(rich.console.Console(file=io.StringIO())))
    assert metrics["training"]["best_epoch"] == 2
    assert metrics["teachers"] == {}
    second, remembered = metrics["test_second"]["window"], metrics["test"]["window"]
    assert second["items"] == remembered["items"] > 0
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "nothing remembered" in card
    assert "24 passages of 2.5 s an epoch" in card


@pytest.mark.slow
def test_what_settles_goes_on_hearing_as_it_did(folder, tmp_path):
    """On longer passages memory and last layer learn on, and nothing else moves."""
    settling = {"epochs": 1, "seconds": 4.0, "crops_per_epoch": 16, "batch_size": 8}
    made = recipe(**REMEMBERING, settling=settling)
    out = tmp_path / "out"
    chosen = run.Options(folder, out, tmp_path / "cache", "cpu", 1)
    run.train(made, chosen, Console(rich.console.Console(file=io.StringIO())))
    before = torch.load(out / "last.pt", weights_only=True)["average"]
    after = torch.load(out / "best.pt", weights_only=True)["network"]
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"candidate", "gate", "answer"}
    assert "then 1 of 16 passages of 4 s, in which" in (out / "MODEL_CARD.md").read_text()
    last = torch.load(out / "settling" / "last.pt", weights_only=True)
    assert last["pupil"].keys() == {f"network.{name}" for name in after}  # the teacher is done
    again = run.Options(folder, out, tmp_path / "cache", "cpu", 1, resume=True)
    run.train(made, again, Console(rich.console.Console(file=io.StringIO())))
    resumed = torch.load(out / "best.pt", weights_only=True)["network"]
    assert all(torch.equal(resumed[name], after[name]) for name in after)


def test_settling_is_for_networks_that_remember():
    """A recipe without passages has none that could be longer."""
    with pytest.raises(ValueError, match=r"airing\.seconds"):
        recipe(settling={"epochs": 1})


def test_passages_are_for_networks_that_remember(folder, tmp_path):
    """A recipe that trains another network on passages is refused."""
    made = recipe(airing={"seconds": 4.0})
    options = run.Options(folder, tmp_path / "out", tmp_path / "cache", "cpu", 1)
    with pytest.raises(ConfigError, match="for networks that remember"):
        run.train(made, options, Console(rich.console.Console(file=io.StringIO())))
    training = {**recipe().training.model_dump(), "caution": 0.5}
    with pytest.raises(ConfigError, match="caution is for networks that remember"):
        run.build_network(recipe(training=training), 3)
