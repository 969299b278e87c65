"""All figures of a judged model as plain data: what ``metrics.json`` of an evaluation holds."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from genred_train import judging
from genred_train.evaluation.listening import Answers, scored
from genred_train.judging import Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genred.model.metadata import ModelMetadata
    from genred_train.data.corpus import Corpus, Entry
    from genred_train.evaluation.subject import Selection

UNITS = ("window", "track", "group")

# What is kept of a part of the data; the whole has everything.
_BRIEF = (
    "items",
    "groups",
    "accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "kind_accuracy",
    "ece",
    "intervals",
)


def units(windows: Scored, positions: NDArray[np.int64]) -> dict[str, Scored]:
    """The same answers by window, by track and by group.

    A track is what its windows say together, a group (an artist, a speaker) what its tracks say of
    one label, so that neither long tracks nor busy artists count for more than others.
    """
    tracks = judging.by_track(windows, positions)
    labels = windows.probabilities.shape[1]
    groups = judging.by_track(tracks, tracks.groups * labels + tracks.truth)
    return {"window": windows, "track": tracks, "group": groups}


def judge(windows: Scored, positions: NDArray[np.int64], kinds: list[str], seed: int) -> Any:
    """Figures of every unit (see :func:`genred_train.judging.judge`)."""
    found = units(windows, positions)
    return {unit: judging.judge(found[unit], kinds, seed) for unit in UNITS}


def collect(
    selection: Selection, answers: Answers, metadata: ModelMetadata, seed: int
) -> dict[str, Any]:
    """All figures of a selection that a model has answered."""
    corpus = selection.corpus
    windows = scored(answers, corpus, metadata.calibration.temperature)
    kinds = [label.kind.value for label in metadata.labels]
    entries = corpus.entries
    there = {int(label) for label in np.unique(windows.truth)}
    figures: dict[str, Any] = {
        "model": {
            "name": metadata.name,
            "labels": list(metadata.label_names),
            "parameters": metadata.network.parameters,
            "macs_per_second": metadata.macs_per_second,
            "window_seconds": metadata.window / metadata.sample_rate,
            "temperature": metadata.calibration.temperature,
            "data_fingerprint": metadata.training.data_fingerprint,
        },
        "data": {
            "fingerprint": corpus.fingerprint,
            "as_in_training": selection.same_data,
            "split": selection.split,
            "recordings": len(selection.positions),
            "groups": len(selection.standing),
            "unusable": [{"file": u.path.name, "reason": u.reason} for u in corpus.unusable],
            "labels_missing": [
                name for n, name in enumerate(metadata.label_names) if n not in there
            ],
        },
        "seed": seed,
        "warnings": list(selection.warnings),
        **judge(windows, answers.positions, kinds, seed),
        "by_standing": parts(
            windows, answers.positions, kinds, seed, lambda n: selection.standing[entries[n].group]
        ),
        "by_dataset": by_dataset(windows, answers.positions, corpus, seed),
        "by_group": _by_group(windows, answers, corpus, dict(selection.standing)),
    }
    return figures


def by_dataset(
    windows: Scored, positions: NDArray[np.int64], corpus: Corpus, seed: int
) -> dict[str, Any]:
    """Brief figures of each data set; see :func:`parts`."""
    kinds = [label.kind.value for label in corpus.labels]
    return parts(windows, positions, kinds, seed, lambda n: corpus.entries[n].clip.dataset)


def parts(
    windows: Scored,
    positions: NDArray[np.int64],
    kinds: list[str],
    seed: int,
    name_of: Callable[[int], str],
) -> dict[str, Any]:
    """Brief figures of parts of the data, by a name that each recording has."""
    names = np.array([name_of(int(position)) for position in positions], dtype=object)
    found = {}
    for name in sorted(set(names.tolist())):
        mask = names == name
        part = Scored(windows.probabilities[mask], windows.truth[mask], windows.groups[mask])
        whole = judge(part, positions[mask], kinds, seed)
        found[name] = {
            unit: {key: whole[unit][key] for key in _BRIEF} for unit in ("window", "track")
        }
    return found


def track_rows(answers: Answers, corpus: Corpus, temperature: float) -> list[dict[str, Any]]:
    """One row a track: what it is, what was heard and how sure, and its group."""
    windows = scored(answers, corpus, temperature)
    tracks = judging.by_track(windows, answers.positions)
    rows = []
    for number, position in enumerate(np.unique(answers.positions)):
        entry = corpus.entries[position]
        guess = int(tracks.guesses[number])
        rows.append(
            {
                "track": entry.clip.name,
                "group": entry.group,
                "label": corpus.label_names[entry.label],
                "heard": corpus.label_names[guess],
                "confidence": round(float(tracks.probabilities[number, guess]), 4),
                "right": guess == entry.label,
                "windows": int((answers.positions == position).sum()),
            }
        )
    return rows


def _by_group(
    windows: Scored, answers: Answers, corpus: Corpus, standing: dict[str, str]
) -> list[dict[str, Any]]:
    """One row for each group and label: how many of its windows and tracks were heard right."""
    tracks = judging.by_track(windows, answers.positions)
    at = {int(position): n for n, position in enumerate(np.unique(answers.positions))}
    members: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for position in at:
        entry: Entry = corpus.entries[position]
        members[entry.group, entry.label].append(position)
    rows = []
    for (group, label), positions in sorted(members.items()):
        mask = np.isin(answers.positions, positions)
        rows.append(
            {
                "group": group,
                "label": corpus.label_names[label],
                "standing": standing[group],
                "tracks": len(positions),
                "windows": int(mask.sum()),
                "window_accuracy": float((windows.guesses[mask] == label).mean()),
                "track_accuracy": _share(tracks.guesses, [at[n] for n in positions], label),
            }
        )
    return rows


def _share(guesses: NDArray[np.int64], which: Sequence[int], label: int) -> float:
    return float((guesses[list(which)] == label).mean())
