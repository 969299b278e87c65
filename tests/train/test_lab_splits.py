"""No group is on two sides, whatever the data looks like."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from genred_train.data.catalogue import SPLITS
from genred_train.data.splitting import draw, merge

LABELS = ("a", "b", "c")
GROUPS = st.dictionaries(
    st.integers(0, 60).map(lambda n: f"group{n}"),
    st.dictionaries(st.sampled_from(LABELS), st.integers(1, 9), min_size=1),
    min_size=1,
    max_size=60,
)
SHARES = st.floats(0.05, 0.4)


@given(groups=GROUPS, val=SHARES, test=SHARES, seed=st.integers(0, 1000), data=st.data())
def test_every_group_is_in_one_split_and_unscored_ones_in_training(groups, val, test, seed, data):
    """The draw covers all groups, and only scored ones leave training."""
    scored = data.draw(st.sets(st.sampled_from(sorted(groups))))
    splits = draw(groups, scored, val=val, test=test, seed=seed)
    assert splits.keys() == groups.keys()
    assert set(splits.values()) <= set(SPLITS)
    assert all(splits[group] == "train" for group in groups.keys() - scored)
    assert splits == draw(dict(reversed(groups.items())), scored, val=val, test=test, seed=seed)


@given(
    counts=st.dictionaries(st.sampled_from(LABELS), st.integers(3, 40), min_size=2),
    val=SHARES,
    test=SHARES,
    seed=st.integers(0, 1000),
)
def test_each_label_is_in_each_split_in_its_share(counts, val, test, seed):
    """Three groups of a label are enough; with more, the shares hold to half a group."""
    groups = {f"{label}{n}": {label: 1} for label, count in counts.items() for n in range(count)}
    splits = draw(groups, groups, val=val, test=test, seed=seed)
    for label, count in counts.items():
        have = Counter(splits[f"{label}{n}"] for n in range(count))
        assert min(have["train"], have["val"], have["test"]) >= 1
        for split, share in (("val", val), ("test", test)):
            assert abs(have[split] - share * count) <= 1.0


def test_seeds_draw_differently():
    """Another seed gives another split."""
    groups = {f"g{n}": {"a": 1} for n in range(40)}
    one, other = (draw(groups, groups, val=0.2, test=0.2, seed=seed) for seed in (1, 2))
    assert one != other


def test_groups_of_two_labels_stay_whole():
    """An artist of two genres counts for both and is in one split."""
    groups = {f"g{n}": {"a": 2, "b": 1} for n in range(10)} | {f"b{n}": {"b": 1} for n in range(10)}
    splits = draw(groups, groups, val=0.2, test=0.2, seed=0)
    both = Counter(splits[f"g{n}"] for n in range(10))
    assert both == {"train": 6, "val": 2, "test": 2}


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1), max_size=8))
def test_links_join_all_that_hangs_together(links):
    """Two names share a representative exactly if a chain of links joins them."""
    merged = merge(links)
    reach = {name: {name} for link in links for name in link}
    for _ in reach:
        for link in links:
            joined = set().union(*(reach[name] for name in link))
            for name in joined:
                reach[name] = reach[name] | joined
    for one, reached in reach.items():
        for other in reach:
            assert (merged[one] == merged[other]) == (other in reached)
