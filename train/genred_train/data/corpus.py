"""A corpus: the clips of a recipe with their samples, splits and fingerprint."""

from __future__ import annotations

import fnmatch
import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genred.errors import InputError
from genred.model.metadata import LabelInfo
from genred_train.data import catalogue, splitting, synthetic
from genred_train.data.cache import Cache, Stored, Unusable
from genred_train.data.catalogue import SPLITS, Clip, SplitName
from genred_train.data.decoding import Settings
from genred_train.recipe import Recipe, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from genred_train.console import Console

# Windows below this level are neither trained on nor scored: the daemon's gate does not let
# them reach the model either (its `silence_dbfs`), and padding says nothing of a genre.
QUIET_DBFS = -55.0

# The levels of a clip are kept for blocks of this many seconds.
LEVEL_BLOCK_S = 0.25

# Less than this, heard again and again, is a tone and no recording.
SHORTEST_REPEATED_S = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A usable clip: where its samples lie, in which split, and whether it may be scored."""

    clip: Clip
    stored: Stored
    label: int
    group: str
    split: SplitName
    scored: bool


@dataclass(frozen=True)
class Corpus:
    """Everything a run trains on and is judged by.

    ``samples`` holds all recordings one after another at ``sample_rate``; ``audible`` says of
    each block of :data:`LEVEL_BLOCK_S` of them whether it is loud enough, per entry.
    """

    labels: tuple[LabelInfo, ...]
    entries: tuple[Entry, ...]
    samples: NDArray[np.int16]
    sample_rate: int
    audible: tuple[NDArray[np.bool_], ...]
    unusable: tuple[Unusable, ...]
    fingerprint: str
    filled: int = 0
    """Recordings shorter than so many samples are heard again from their start to fill them."""
    unlabelled: tuple[Entry, ...] = ()
    """Recordings that a teacher speaks of in training, of label -1; none is in ``entries``."""

    @property
    def unlabelled_fingerprint(self) -> str:
        """Tells apart what is in ``unlabelled``, which ``fingerprint`` says nothing of."""
        digests = "\n".join(entry.stored.digest for entry in self.unlabelled)
        return hashlib.sha256(digests.encode()).hexdigest() if digests else ""

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of the logits."""
        return [label.name for label in self.labels]

    def of(self, split: SplitName) -> list[int]:
        """The positions in ``entries`` of a split's clips."""
        return [n for n, entry in enumerate(self.entries) if entry.split == split]

    def audio(self, position: int) -> NDArray[np.int16]:
        """The samples of one entry, at least ``filled`` of them."""
        stored = self.entries[position].stored
        samples = self.samples[stored.start : stored.start + stored.length]
        return samples if samples.size >= self.filled else np.resize(samples, self.filled)

    def starts(self, position: int, window: int, hop: int) -> NDArray[np.int64]:
        """Where windows of one entry begin, in samples from its start, every ``hop``.

        Windows that are too quiet are left out.
        """
        length = max(self.entries[position].stored.length, min(window, self.filled))
        starts = np.arange(0, length - window + 1, hop, dtype=np.int64)
        return starts[self.loud(np.full(starts.shape, position), starts, window)]

    def loud(
        self, positions: NDArray[np.int64], starts: NDArray[np.int64], window: int
    ) -> NDArray[np.bool_]:
        """Whether at least half of the blocks of each window are audible, ``[windows]``."""
        table, offsets = self._table
        block = round(LEVEL_BLOCK_S * self.sample_rate)
        # What is heard again is as loud as it was the first time.
        ends = np.minimum((starts + window) // block, self._blocks[positions])
        first = offsets[positions] + starts // block
        last = offsets[positions] + np.maximum(ends, starts // block + 1)
        return np.asarray(2 * (table[last] - table[first]) >= last - first)

    @cached_property
    def _blocks(self) -> NDArray[np.int64]:
        """How many blocks the table has for each entry."""
        return np.array([blocks.size + 1 for blocks in self.audible], dtype=np.int64)

    @cached_property
    def _table(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Running count of audible blocks over all entries, and where each entry begins."""
        # One block more for each entry, so that a window at its very end stays inside.
        padded = [np.append(blocks, np.False_) for blocks in self.audible]
        offsets = np.cumsum([0] + [blocks.size for blocks in padded[:-1]])
        table = np.concatenate([[0], np.cumsum(np.concatenate(padded))])
        return table.astype(np.int64), offsets.astype(np.int64)


def load(
    recipe: Recipe,
    folder: Path,
    cache_folder: Path,
    console: Console,
    *,
    training: bool = True,
    unlabelled: Path | None = None,
) -> Corpus:
    """Read, decode, split and check the data of ``recipe`` in ``folder``.

    In ``unlabelled`` is more that has no labels, for a teacher to speak of. For judging alone
    (``training`` false) labels may be few or missing, nothing is synthesised and nothing without
    a label is read; the fingerprint is the same. Raises :class:`InputError` if a folder has no
    audio, a label has too few usable clips, or a label is missing from a split.
    """
    listed = catalogue.read(folder)
    clips = _chosen(listed, recipe, console)
    labels = _labels(clips, recipe, all_there=training)
    names = [label.name for label in labels]
    clips = [clip for clip in clips if clip.label in names]

    settings = Settings(recipe.audio.sample_rate, recipe.data.max_seconds)
    cache = Cache(cache_folder, settings)
    with console.progress("Decoding") as progress:
        found, unusable = cache.fetch([clip.path for clip in clips], progress)
    shortest, filled = recipe.audio.window, 0
    least = f"a window of {recipe.audio.window_s:g} s"
    if recipe.audio.short == "repeat":
        shortest = round(SHORTEST_REPEATED_S * settings.sample_rate)
        least = f"{SHORTEST_REPEATED_S:g} s"
        # Whole steps of the model, so that it gets to a decision.
        filled = -(-recipe.audio.window // recipe.audio.hop) * recipe.audio.hop
    unusable += [
        Unusable(path, f"shorter than {least}")
        for path, stored in found.items()
        if stored.length < shortest
    ]
    left_out = {item.path for item in unusable}
    clips = [clip for clip in clips if clip.path not in left_out]
    aside: list[Entry] = []
    if training:
        # Who is to be judged by is heard in none of them.
        apart = [clip for clip in listed if clip.label == recipe.data.unlabelled]
        apart += catalogue.unlabelled(unlabelled) if unlabelled else []
        known = {clip.group for clip in clips}
        apart = [
            clip
            for clip in apart
            if clip.group not in known and not matches(clip.dataset, recipe.data.exclude)
        ]
        if apart:
            with console.progress("Decoding what has no labels") as progress:
                aside, broken = _unlabelled(apart, found, recipe, cache, progress)
            unusable += broken
    samples = cache.samples()

    blocks = {path: levels(samples, found[path], settings.sample_rate) for path in found}
    silent = {clip.path for clip in clips if not blocks[clip.path].any()}
    unusable += [Unusable(path, f"nothing in it above {QUIET_DBFS:g} dBFS") for path in silent]
    clips = [clip for clip in clips if clip.path not in silent]
    console.unusable(unusable, folder)
    if training:
        _enough(clips, names, recipe, len(unusable))

    entries = _entries(clips, found, names, recipe)
    if training:
        _every_label_everywhere(entries, names, recipe)
    audible = [blocks[entry.clip.path] for entry in entries]
    fingerprint = _fingerprint(entries, names)
    if training and recipe.data.synthetic.seeds:
        made = _synthetic_entries(names, recipe, cache)
        samples = cache.samples()
        audible += [levels(samples, entry.stored, settings.sample_rate) for entry in made]
        entries += made
    return Corpus(
        labels=labels,
        entries=tuple(entries),
        samples=samples,
        sample_rate=settings.sample_rate,
        audible=tuple(audible),
        unusable=tuple(unusable),
        fingerprint=fingerprint,
        filled=filled,
        unlabelled=tuple(aside),
    )


def matches(dataset: str, patterns: Iterable[str]) -> bool:
    """Whether a data set's name fits one of the patterns (``*`` and ``?``)."""
    return any(fnmatch.fnmatchcase(dataset, pattern) for pattern in patterns)


def _chosen(clips: list[Clip], recipe: Recipe, console: Console) -> list[Clip]:
    kept = [
        clip
        for clip in clips
        if not matches(clip.dataset, recipe.data.exclude) and clip.label != recipe.data.unlabelled
    ]
    if recipe.data.labels:
        wanted = {label.name for label in recipe.data.labels}
        other = Counter(clip.label for clip in kept if clip.label not in wanted)
        if other:
            listed = ", ".join(f"{label} ({count})" for label, count in sorted(other.items()))
            console.note(f"not in the recipe's labels, left out: {listed}")
    return kept


def _unlabelled(
    clips: Sequence[Clip],
    heard: dict[Path, Stored],
    recipe: Recipe,
    cache: Cache,
    progress: Callable[[int, int], None],
) -> tuple[list[Entry], list[Unusable]]:
    """Those without a label that are not among the ``heard`` ones too; and what cannot be used."""
    wanted = {clip.path: clip for clip in clips}
    found, unusable = cache.fetch(list(wanted), progress)
    twice = {stored.digest for stored in heard.values()}
    usable = {
        stored.digest: Entry(wanted[path], stored, -1, wanted[path].group, "train", scored=False)
        for path, stored in found.items()
        if stored.digest not in twice and stored.length >= recipe.audio.window
    }
    return [usable[digest] for digest in sorted(usable)], unusable


def _labels(clips: Sequence[Clip], recipe: Recipe, *, all_there: bool) -> tuple[LabelInfo, ...]:
    there = sorted({clip.label for clip in clips})
    labels = recipe.data.labels or tuple(LabelInfo(name=n, kind=kind_of(n)) for n in there)
    missing = [label.name for label in labels if label.name not in there]
    if missing and all_there:
        raise InputError(
            f"the data has no clips of {', '.join(missing)}",
            "add some, or train on the labels there are with --labels data",
        )
    if len(labels) < 2:
        raise InputError(
            f"the data has only one label, {labels[0].name if labels else 'none'!r}",
            "there is nothing to tell apart; --data wants one sub-folder a genre",
        )
    return labels


def levels(samples: NDArray[np.int16], stored: Stored, sample_rate: int) -> NDArray[np.bool_]:
    """Whether each block of :data:`LEVEL_BLOCK_S` of a recording is loud enough, ``[blocks]``."""
    block = round(LEVEL_BLOCK_S * sample_rate)
    whole = samples[stored.start : stored.start + stored.length // block * block]
    power = np.square(whole.reshape(-1, block).astype(np.float32) / 32768.0).mean(axis=1)
    return np.asarray(power > 10 ** (QUIET_DBFS / 10))


def _enough(clips: Sequence[Clip], names: Sequence[str], recipe: Recipe, unusable: int) -> None:
    counts = Counter(clip.label for clip in clips)
    few = [f"{name} ({counts[name]})" for name in names if counts[name] < recipe.data.min_clips]
    if few:
        skipped = f"; {unusable} files were skipped" if unusable else ""
        raise InputError(
            f"too few usable clips of {', '.join(few)}: at least {recipe.data.min_clips} are "
            f"needed{skipped}",
            "add recordings, or leave the label out of data.labels",
        )


def _entries(
    clips: Sequence[Clip], found: dict[Path, Stored], names: Sequence[str], recipe: Recipe
) -> list[Entry]:
    # The same recording twice is one group, whatever it is called.
    by_digest = defaultdict(list)
    for clip in clips:
        by_digest[found[clip.path].digest].append(clip.group)
    joined = splitting.merge([*recipe.data.same_group, *by_digest.values()])
    clips = [replace(clip, group=joined.get(clip.group, clip.group)) for clip in clips]

    groups: defaultdict[str, Counter[str]] = defaultdict(Counter)
    unscored = set()
    for clip in clips:
        groups[clip.group][clip.label] += 1
        if matches(clip.dataset, recipe.data.unscored):
            unscored.add(clip.group)
    if recipe.split.by == "manifest":
        splits = _from_manifest(clips, unscored)
    else:
        split = recipe.split
        scored = groups.keys() - unscored
        splits = splitting.draw(groups, scored, val=split.val, test=split.test, seed=split.seed)
    return [
        Entry(
            clip=clip,
            stored=found[clip.path],
            label=names.index(clip.label),
            group=clip.group,
            split=splits[clip.group],
            scored=clip.group not in unscored,
        )
        for clip in clips
        if clip.group in splits
    ]


def _from_manifest(clips: Sequence[Clip], unscored: set[str]) -> dict[str, SplitName]:
    splits: dict[str, SplitName] = {}
    for clip in clips:
        if clip.split is None:
            continue
        if splits.setdefault(clip.group, clip.split) != clip.split and clip.group not in unscored:
            raise InputError(
                f"group {clip.group!r} is in two splits: {splits[clip.group]} and {clip.split}",
                "a group must be in one; correct the manifest or set split.by to 'groups'",
            )
    return {group: "train" if group in unscored else split for group, split in splits.items()}


def _every_label_everywhere(entries: Sequence[Entry], names: Sequence[str], recipe: Recipe) -> None:
    for split in SPLITS:
        there = {entry.label for entry in entries if entry.split == split}
        missing = [name for number, name in enumerate(names) if number not in there]
        if missing:
            hint = (
                "the manifest must name clips of every label in every split; or set split.by to "
                "'groups'"
                if recipe.split.by == "manifest"
                else "a label needs recordings of at least three groups that may be scored"
            )
            raise InputError(f"the {split} split has no clips of {', '.join(missing)}", hint)


def _fingerprint(entries: Sequence[Entry], names: Sequence[str]) -> str:
    lines = sorted(
        f"{e.stored.digest} {names[e.label]} {e.group} {e.split} {e.scored}" for e in entries
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _synthetic_entries(names: Sequence[str], recipe: Recipe, cache: Cache) -> list[Entry]:
    passages = synthetic.passages(recipe.data.synthetic, recipe.audio.sample_rate, names)
    stored = cache.keep([passage.samples for passage in passages])
    return [
        Entry(
            clip=Clip(
                path=Path(passage.name),
                name=passage.name,
                label=passage.label,
                group=passage.name,
                dataset=synthetic.DATASET,
                license="synthesised by genred",
            ),
            stored=place,
            label=names.index(passage.label),
            group=passage.name,
            split="train",
            scored=False,
        )
        for passage, place in zip(passages, stored, strict=True)
    ]
