"""What is judged: a model file, the recordings for it, and which of them it has not heard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import ValidationError

from genred.errors import InputError
from genred_train.data import catalogue
from genred_train.data import corpus as corpora
from genred_train.data.catalogue import SPLITS
from genred_train.data.heard import Heard
from genred_train.recipe import Audio, Data, NetworkChoice, Recipe

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from genred.model.metadata import ModelMetadata
    from genred_train.console import Console
    from genred_train.data.catalogue import Clip
    from genred_train.data.corpus import Corpus

Split = Literal["unseen", "test", "val", "train", "all", "manifest"]
SPLIT_CHOICES: tuple[Split, ...] = get_args(Split)

# How a group stands to a model: not heard, trained on (or it chose the epoch), or untold.
Standing = Literal["unseen", "heard", "untold"]


@dataclass(frozen=True)
class Selection:
    """The recordings that are judged, and how their groups stand to the model."""

    corpus: Corpus
    positions: tuple[int, ...]
    standing: dict[str, Standing]
    split: Split
    same_data: bool
    warnings: tuple[str, ...]


def recipe_of(metadata: ModelMetadata) -> tuple[Recipe, bool]:
    """The recipe that a model was made by, with the model's labels; and whether it has one.

    A file without a readable recipe gets one that says how its audio is to be prepared.
    """
    try:
        recipe = Recipe.model_validate_json(metadata.training.recipe)
    except ValidationError:
        audio = Audio(
            sample_rate=metadata.sample_rate,
            window_s=metadata.window / metadata.sample_rate,
            hop_s=metadata.hop / metadata.sample_rate,
        )
        bare = Recipe.model_construct(
            name=metadata.name,
            audio=audio,
            front_end=metadata.front_end,
            network=NetworkChoice(name=metadata.network.name),
            data=Data(labels=metadata.labels),
        )
        return bare, False
    data = recipe.data.model_copy(update={"labels": metadata.labels})
    return recipe.model_copy(update={"data": data}), True


def check_labels(
    folder: Path, clips: Collection[Clip], known: Collection[str], wanted: Collection[str]
) -> None:
    """Hold the labels of the data against those of the model.

    Labels that only stand on rows of a manifest that are in no split (as ``unlabelled`` music)
    are set aside. Raises :class:`InputError` naming those that the model does not know.
    """
    counts = Counter(clip.label for clip in clips)
    aside: set[str] = set()
    if (folder / catalogue.MANIFEST).is_file() and any(clip.split in SPLITS for clip in clips):
        aside = counts.keys() - {clip.label for clip in clips if clip.split in SPLITS}
    missing = [label for label in wanted if label not in counts]
    if missing:
        raise InputError(
            f"the data has no recordings of {', '.join(missing)}",
            f"its labels are {', '.join(sorted(counts))}",
        )
    strange = sorted(set(wanted or counts.keys() - aside) - set(known))
    if strange:
        listed = ", ".join(f"{label} (recordings: {counts[label]})" for label in strange)
        raise InputError(
            f"the model does not know these labels of the data: {listed}; it knows "
            f"{', '.join(known)}",
            "rename them to labels of the model, or judge some labels alone with --labels A,B",
        )


def select(
    metadata: ModelMetadata,
    folder: Path,
    cache: Path,
    console: Console,
    *,
    split: Split = "unseen",
    labels: Collection[str] = (),
) -> Selection:
    """Read the data and choose what is judged.

    On the data that the model was made from, its own splits hold (``unseen`` is its test
    split); on other data ``unseen`` is all that the model is not known to have heard. Data that
    is never scored, such as generated music, is left out. Raises :class:`InputError` for labels
    that do not fit and if nothing is left to judge.
    """
    recipe, known = recipe_of(metadata)
    check_labels(folder, catalogue.read(folder), metadata.label_names, labels)
    corpus = corpora.load(recipe, folder, cache, console, training=False)
    same = known and corpus.fingerprint == metadata.training.data_fingerprint
    heard = Heard.unpack(metadata.training.heard)
    standing = _standing(corpus, heard, same=same)
    names = corpus.label_names
    positions = [
        position
        for position, entry in enumerate(corpus.entries)
        if entry.scored
        and (not labels or names[entry.label] in labels)
        and _chosen(split, entry.clip, entry.split, standing[entry.group], same=same)
    ]
    if not positions:
        raise InputError(
            f"there is nothing to judge: no recording is {_WORDS[split]}",
            "--split all takes every recording",
        )
    used = {corpus.entries[position].group for position in positions}
    held = {group: standing[group] for group in sorted(used)}
    warnings = _warnings(metadata, corpus, held, heard=heard, same=same, split=split)
    return Selection(corpus, tuple(positions), held, split, same, tuple(warnings))


_WORDS: dict[Split, str] = {
    "unseen": "unheard by the model",
    "test": "in the test split",
    "val": "in the validation split",
    "train": "in the training split",
    "all": "of real music, speech or noise that may be scored",
    "manifest": "in a split val or test of the manifest",
}


def _standing(corpus: Corpus, heard: Heard, *, same: bool) -> dict[str, Standing]:
    if same:
        return {e.group: "unseen" if e.split == "test" else "heard" for e in corpus.entries}
    if not heard.tokens:
        return {e.group: "untold" for e in corpus.entries}
    known = heard.groups(corpus.entries)
    return {e.group: "heard" if e.group in known else "unseen" for e in corpus.entries}


def _chosen(split: Split, clip: Clip, drawn: str, standing: Standing, *, same: bool) -> bool:
    match split:
        case "all":
            return True
        case "manifest":
            return clip.split in {"val", "test"}
        case "unseen":
            return drawn == "test" if same else standing != "heard"
        case _:
            return drawn == split


def _warnings(
    metadata: ModelMetadata,
    corpus: Corpus,
    standing: dict[str, Standing],
    *,
    heard: Heard,
    same: bool,
    split: Split,
) -> list[str]:
    found = []
    if not same:
        found.append(
            "this is not the data that the model was made from: its fingerprint is "
            f"{corpus.fingerprint[:12]}, in the model is {metadata.training.data_fingerprint[:12]}"
        )
        if split in SPLITS:
            found.append(f"the {split} split is drawn anew on this data; it is not the model's own")
    counts = Counter(standing.values())
    if counts["heard"]:
        found.append(
            f"{counts['heard']} of {len(standing)} groups were trained on or chose the epoch; "
            "their figures flatter the model"
        )
    if not same and not heard.tokens:
        found.append(
            "the model file does not say what it was trained on: whether these groups are unseen "
            "cannot be told"
        )
    if not same and split == "unseen" and heard.tokens:
        left_out = heard.groups([entry for entry in corpus.entries if entry.scored])
        if left_out:
            found.append(
                f"{len(left_out)} groups of this data are left out, for the model was trained on "
                "them; --split all takes them too"
            )
    return found
