"""Draws training, validation and test splits so that no group is in two of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from genred_train.data.catalogue import SplitName


def draw(
    groups: Mapping[str, Mapping[str, int]],
    scored: Iterable[str],
    *,
    val: float,
    test: float,
    seed: int,
) -> dict[str, SplitName]:
    """Assign each group to a split.

    ``groups`` says how many clips of each label a group has; only those in ``scored`` may leave
    training. For each label, rarest first, groups in random order go to the split that is
    furthest from its share of that label's groups; the test split and the validation split get
    one group each, even of a label with few, as long as training keeps one.
    """
    shares: dict[SplitName, float] = {"train": 1.0 - val - test, "val": val, "test": test}
    candidates = sorted(set(scored) & set(groups))
    random.Random(seed).shuffle(candidates)  # noqa: S311 - a draw, not a secret
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for group in candidates:
        for label in groups[group]:
            by_label[label].append(group)

    assigned: dict[str, SplitName] = {}
    for label in sorted(by_label, key=lambda name: (len(by_label[name]), name)):
        members = by_label[label]
        wanted = _targets(len(members), shares)
        have = Counter(assigned[group] for group in members if group in assigned)
        for group in members:
            if group in assigned:
                continue
            split = max(wanted, key=lambda name: wanted[name] - have[name])
            assigned[group] = split
            have[split] += 1
    return {group: assigned.get(group, "train") for group in groups}


def _targets(count: int, shares: Mapping[SplitName, float]) -> dict[SplitName, int]:
    """How many of ``count`` groups go where: in their shares, but one at least to each split.

    With two groups validation has none, with one only training has.
    """
    test = max(1, round(shares["test"] * count)) if count >= 2 else 0
    val = max(1, round(shares["val"] * count)) if count >= 3 else 0
    while test + val >= count > 0:  # large shares of few groups; training must keep one
        test, val = (test - 1, val) if test > val else (test, val - 1)
    return {"train": count - val - test, "val": val, "test": test}


def merge(links: Sequence[Sequence[str]]) -> dict[str, str]:
    """Join names that stand in one link, directly or through others: name to representative.

    The representative is the first of its set in order of name.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for link in links:
        for name in link[1:]:
            one, other = sorted((root(link[0]), root(name)))
            parent[other] = one
        if link:
            root(link[0])
    return {name: root(name) for name in parent}
