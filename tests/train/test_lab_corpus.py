"""A corpus holds what the recipe asks for, and says clearly when the data does not."""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rich.console
from train_data import recipe, sound, write_wav

from genred.errors import InputError
from genred_train.console import Console
from genred_train.data import corpus as corpora
from genred_train.recipe import Recipe, Training
from genred_train.sampling import Sampler

if TYPE_CHECKING:
    from genred_train.data.corpus import Corpus


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def load(folder, tmp_path, screen):
    def loaded(
        made: Recipe | None = None, data: Path = folder, unlabelled: Path | None = None
    ) -> Corpus:
        console = Console(rich.console.Console(file=screen, width=100))
        cache = tmp_path / "cache"
        return corpora.load(made or recipe(), data, cache, console, unlabelled=unlabelled)

    return loaded


def add_manifest(folder: Path, lines: list[str]) -> None:
    head = "path,label,group,split,dataset,license"
    (folder / "manifest.csv").write_text("\n".join([head, *lines]) + "\n")


def test_splits_cover_all_clips_and_share_no_group(load):
    """Every label is in every split, every group in one."""
    corpus = load()
    assert len(corpus.entries) == 18
    assert corpus.label_names == ["high", "low", "noise"]
    sides: dict[str, set[str]] = {}
    for entry in corpus.entries:
        sides.setdefault(entry.group, set()).add(entry.split)
    assert all(len(splits) == 1 for splits in sides.values())
    for split in ("train", "val", "test"):
        assert {corpus.entries[n].label for n in corpus.of(split)} == {0, 1, 2}


def test_kinds_are_guessed_from_names(load):
    """A recipe without labels takes those of the data: noise is noise, the rest music."""
    assert [label.kind.value for label in load().labels] == ["music", "music", "noise"]


def test_bad_files_are_listed_and_skipped(load, folder, screen):
    """Corrupt, empty, short and silent files leave the rest usable, and are named with why."""
    (folder / "low" / "corrupt.mp3").write_bytes(b"no mp3" * 1000)
    (folder / "low" / "empty.au").touch()
    write_wav(folder / "high" / "short.wav", sound("high", 0.5, seed=1))
    write_wav(folder / "high" / "silent.wav", np.zeros(48_000, np.float32))
    corpus = load()
    assert len(corpus.entries) == 18
    told = screen.getvalue()
    assert "skipped 4 files" in told
    for reason in (
        "low/corrupt.mp3: invalid data",
        "low/empty.au: empty file",
        "high/short.wav: shorter than a window of 1 s",
        "high/silent.wav: nothing in it above -55 dBFS",
    ):
        assert reason in told


def test_too_few_clips_of_a_label(load, folder):
    """Clips that cannot be used do not count."""
    for path in sorted((folder / "low").iterdir())[2:]:
        path.write_bytes(b"")
    with pytest.raises(
        InputError, match=r"too few usable clips of low \(2\).*4 files were skipped"
    ):
        load()


def test_a_label_the_data_does_not_have(load):
    """The recipe's labels must all be there; others in the data are left out and said."""
    made = recipe(data={"labels": [{"name": n, "kind": "music"} for n in ("high", "reggae")]})
    with pytest.raises(InputError, match="no clips of reggae"):
        load(made)


def test_labels_outside_the_recipe_are_left_out(load, screen):
    """Two of three labels train; the third is named."""
    made = recipe(data={"labels": [{"name": n, "kind": "music"} for n in ("low", "high")]})
    corpus = load(made)
    assert corpus.label_names == ["low", "high"]
    assert len(corpus.entries) == 12
    assert "left out: noise (6)" in screen.getvalue()


def test_a_single_genre_cannot_be_told_from_anything(load, folder):
    """One folder alone is an error."""
    shutil.rmtree(folder / "low")
    shutil.rmtree(folder / "noise")
    with pytest.raises(InputError, match="only one label, 'high'"):
        load()


def test_a_label_missing_from_a_split(load, folder):
    """A manifest whose splits lack a label is refused, with the split and the label."""
    lines = []
    for path in sorted(folder.rglob("*.wav")):
        name, number = path.relative_to(folder), int(path.stem.split(".")[1])
        split = ("train", "train", "train", "val", "val", "test")[number]
        if path.parent.name == "low" and split == "test":
            split = "train"
        lines.append(f"{name},{path.parent.name},{name},{split},,")
    add_manifest(folder, lines)
    with pytest.raises(InputError, match="the test split has no clips of low"):
        load(recipe(split={"by": "manifest"}))
    # Drawn by group the same clips will do.
    assert len(load().entries) == 18


def test_one_artist_cannot_be_on_three_sides(load, folder):
    """A label whose clips are all of one group is missing from the other splits."""
    lines = [
        f"{p.relative_to(folder)},{p.parent.name},"
        f"{'anna' if p.parent.name == 'low' else p.name},train,,"
        for p in sorted(folder.rglob("*.wav"))
    ]
    add_manifest(folder, lines)
    with pytest.raises(InputError, match=r"no clips of low.*three groups"):
        load()


def test_a_group_in_two_of_the_manifests_splits(load, folder):
    """The manifest's own splits are checked, not believed."""
    paths = sorted(folder.rglob("*.wav"))
    lines = [
        f"{p.relative_to(folder)},{p.parent.name},g{n // 2},{'train' if n % 2 else 'val'},,"
        for n, p in enumerate(paths)
    ]
    add_manifest(folder, lines)
    with pytest.raises(InputError, match="group 'g0' is in two splits"):
        load(recipe(split={"by": "manifest"}))


def test_unscored_data_stays_in_training(load, folder):
    """Generated music trains and is never judged, nor is a group that holds any of it."""
    lines = []
    for path in sorted(folder.rglob("*.wav")):
        name, number = path.relative_to(folder), int(path.stem.split(".")[1])
        dataset = "generated-x" if number < 2 else "real"
        lines.append(f"{name},{path.parent.name},{name},val,{dataset},")
    add_manifest(folder, lines)
    corpus = load()
    generated = [e for e in corpus.entries if e.clip.dataset == "generated-x"]
    assert len(generated) == 6
    assert all(e.split == "train" and not e.scored for e in generated)
    assert all(e.scored for e in corpus.entries if e.clip.dataset == "real")


def test_excluded_data_is_left_out(load, folder):
    """A data set may be left out by a pattern."""
    lines = [
        f"{p.relative_to(folder)},{p.parent.name},{p.name},,{'bad-one' * ('00000' in p.name)},"
        for p in sorted(folder.rglob("*.wav"))
    ]
    add_manifest(folder, lines)
    assert len(load(recipe(data={"exclude": ["bad-*"]})).entries) == 15


def test_excluded_data_is_left_out_without_labels_too(load, folder):
    """Nor does a teacher speak of a data set that is left out."""
    paths = sorted(folder.rglob("*.wav"))
    for number, name in enumerate(("bad-one", "good")):
        write_wav(folder / f"{name}.wav", sound("low", 3.0, seed=200 + number))
    lines = [f"{p.relative_to(folder)},{p.parent.name},{p.name},,real," for p in paths]
    lines += [f"{name}.wav,aside,{name},,{name}," for name in ("bad-one", "good")]
    add_manifest(folder, lines)
    both = {"labels": ["high", "low", "noise"], "unlabelled": "aside"}
    assert len(load(recipe(data=both)).unlabelled) == 2
    corpus = load(recipe(data={**both, "exclude": ["bad-*"]}))
    assert [entry.clip.dataset for entry in corpus.unlabelled] == ["good"]


def test_the_same_recording_twice_is_one_group(load, folder):
    """A copy under another name stays on the side of the original."""
    for number in range(6):
        original = folder / "low" / f"low.{number:05}.wav"
        shutil.copy(original, folder / "low" / f"copy.{number}.wav")
    corpus = load()
    sides: dict[str, set[str]] = {}
    for entry in corpus.entries:
        sides.setdefault(entry.stored.digest, set()).add(entry.split)
    assert len(corpus.entries) == 24
    assert all(len(splits) == 1 for splits in sides.values())


def test_groups_can_be_joined_by_the_recipe(load):
    """What the recipe calls one group is one."""
    joined = [f"low/low.{n:05}.wav" for n in range(4)]
    corpus = load(recipe(data={"same_group": [joined]}))
    assert len({e.split for e in corpus.entries if e.clip.name in joined}) == 1
    assert len({e.group for e in corpus.entries if e.clip.name in joined}) == 1


def test_the_fingerprint_tells_versions_of_data_apart(load, folder):
    """The same data has the same print; other content, label or split has another."""
    first = load().fingerprint
    assert load().fingerprint == first
    assert load(recipe(split={"val": 0.2, "test": 0.2, "seed": 9})).fingerprint != first
    write_wav(folder / "low" / "low.00000.wav", sound("low", 3.0, seed=99))
    changed = load().fingerprint
    assert changed != first
    (folder / "low" / "low.00000.wav").rename(folder / "high" / "low.00000.wav")
    assert load().fingerprint not in {first, changed}


def test_the_station_trains_and_is_not_scored(load, folder):
    """Passages of the station join the training split of their label."""
    (folder / "low").rename(folder / "jazz")
    made = recipe(data={"synthetic": {"seeds": [5, 6], "seconds": 3.0}})
    corpus = load(made)
    plain = load()
    added = [e for e in corpus.entries if e.clip.dataset == "genred-station"]
    labels = Counter(corpus.label_names[e.label] for e in added)
    assert labels == {"jazz": 2, "noise": 6}
    assert all(e.split == "train" and not e.scored for e in added)
    assert corpus.fingerprint == plain.fingerprint
    loudness = np.abs(corpus.audio(len(corpus.entries) - 1).astype(float)).mean()
    assert loudness > 100


def test_quiet_windows_are_left_out(load, folder):
    """Windows that the daemon's gate would not let through are neither drawn nor scored."""
    audio = sound("low", 8.0, seed=0)
    audio[: 4 * 16_000] = 0
    write_wav(folder / "low" / "half.wav", audio)
    corpus = load()
    position = next(n for n, e in enumerate(corpus.entries) if e.clip.name.endswith("half.wav"))
    assert corpus.starts(position, 16_000, 16_000).tolist() == [64_000, 80_000, 96_000, 112_000]


def test_labels_and_groups_are_drawn_alike(load, folder):
    """A label with many clips, and a group with many, is drawn no more often than another."""
    for number in range(30):
        write_wav(folder / "high" / "big" / f"{number}.wav", sound("high", 3.0, seed=100 + number))
    corpus = load()
    sampler = Sampler(corpus, Training(group_balance=1.0), 16_000, seed=1)
    shares: Counter[int] = Counter()
    groups: Counter[str] = Counter()
    for position, weight in zip(sampler.positions, sampler.weights, strict=True):
        shares[corpus.entries[position].label] += weight
        groups[corpus.entries[position].group] += weight
    np.testing.assert_allclose([shares[n] for n in range(3)], 1 / 3)
    high = [e.group for e in corpus.entries if e.label == 0 and e.split == "train"]
    np.testing.assert_allclose([groups[g] for g in set(high)], 1 / 3 / len(set(high)))
    _, labels = sampler.draw(3000)
    assert max(Counter(labels.tolist()).values()) < 1150


def test_unscored_crops_are_a_share_at_most(load, folder):
    """Generated music makes up no more than its share, unless a label has nothing else."""
    lines = []
    for path in sorted(folder.rglob("*.wav")):
        name, number = path.relative_to(folder), int(path.stem.split(".")[1])
        lines.append(f"{name},{path.parent.name},{name},,{'generated-x' if number < 3 else ''},")
    add_manifest(folder, lines)
    corpus = load(recipe(split={"val": 0.3, "test": 0.3}))
    sampler = Sampler(corpus, Training(unscored_share=0.25), 16_000, seed=1)
    unscored = sum(
        weight
        for position, weight in zip(sampler.positions, sampler.weights, strict=True)
        if not corpus.entries[position].scored
    )
    assert unscored == pytest.approx(0.25)


def test_draws_are_the_same_for_the_same_seed(load):
    """Crops and labels repeat with the seed and differ with another; none comes from test."""
    corpus = load()

    def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return Sampler(corpus, Training(), 20_000, seed).draw(16)

    for one, other in zip(drawn(1), drawn(1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (drawn(1)[0] != drawn(2)[0]).any()
    sampler = Sampler(corpus, Training(), 20_000, 1)
    assert {corpus.entries[n].split for n in sampler.positions} == {"train"}


@pytest.mark.skipif("GENRED_DATA" not in os.environ, reason="GENRED_DATA is not set")
def test_the_shipped_recipe_splits_the_real_data(monkeypatch):
    """Groups apart, every label everywhere, nothing generated scored: on the real manifest."""
    from genred_train.data import catalogue, splitting
    from genred_train.recipe import load as read

    shipped = read(Path(__file__).parents[2] / "configs" / "train" / "compact.toml")
    names = {label.name for label in shipped.data.labels}
    clips = [c for c in catalogue.read(Path(os.environ["GENRED_DATA"])) if c.label in names]
    assert all(clip.path.is_file() for clip in clips)
    unscored = {c.group for c in clips if corpora.matches(c.dataset, shipped.data.unscored)}
    groups: dict[str, Counter[str]] = {}
    for clip in clips:
        groups.setdefault(clip.group, Counter())[clip.label] += 1
    split = shipped.split
    sides = splitting.draw(
        groups, groups.keys() - unscored, val=split.val, test=split.test, seed=split.seed
    )
    for side in ("val", "test"):
        assert {c.label for c in clips if sides[c.group] == side} == names
        assert not any(c.dataset.startswith("generated") for c in clips if sides[c.group] == side)


def test_more_music_without_labels_is_for_the_teacher_alone(load, folder, tmp_path):
    """Whatever lies beneath the folder, but for what has a label, is too short or is broken."""
    plain = load()
    more = tmp_path / "library"
    for number, artist in enumerate(("Some One", "Another")):
        write_wav(more / artist / "deep" / f"{number}.wav", sound("low", 3.0, 90 + number))
    write_wav(more / "loose.wav", sound("high", 2.0, 95))
    write_wav(more / "short.wav", sound("high", 0.3, 96))
    (more / "broken.ogg").write_bytes(b"no audio")
    shutil.copy(plain.entries[0].clip.path, more / "again.wav")
    corpus = load(unlabelled=more)
    assert [entry.clip for entry in corpus.entries] == [entry.clip for entry in plain.entries]
    assert corpus.fingerprint == plain.fingerprint
    found = {(entry.clip.name, entry.group) for entry in corpus.unlabelled}
    assert found == {
        ("Some One/deep/0.wav", "Some One"),
        ("Another/deep/1.wav", "Another"),
        ("loose.wav", "library/loose.wav"),
    }
    assert all(e.label == -1 and not e.scored for e in corpus.unlabelled)
    assert {entry.clip.dataset for entry in corpus.unlabelled} == {"library"}
    assert [item.path.name for item in corpus.unusable] == ["broken.ogg"]


def test_a_manifest_says_where_music_without_labels_is_from(load, folder, tmp_path):
    """Its data set and licence are told; an artist who has labelled recordings is left out."""
    more = tmp_path / "library"
    for name in ("a", "b"):
        write_wav(more / f"{name}.wav", sound("low", 3.0, ord(name)))
    known = load().entries[0].group
    add_manifest(more, [f"a.wav,whatever,{known},train,set,CC0", "b.wav,x,new,train,set,CC0"])
    (entry,) = load(unlabelled=more).unlabelled
    assert (entry.group, entry.clip.dataset, entry.clip.license) == ("new", "set", "CC0")


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_music_is_refused(load, tmp_path, made):
    """One line that says what is wanted."""
    more = tmp_path / "library"
    if made:
        more.mkdir()
    with pytest.raises(InputError, match=r"there is no .*library \(--unlabelled wants"):
        load(unlabelled=more)
