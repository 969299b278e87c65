"""A configuration that many nodes share: each hears its part, and all of it is heard once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genred.errors import ConfigError, UsageError
from genred.settings.doubts import doubts
from genred.settings.faults import Kind
from genred.settings.load import load
from genred.settings.shard import Shard

IDS = st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True), unique=True, max_size=60)


@given(ids=IDS, count=st.integers(1, 12))
def test_every_feed_has_one_node(ids, count):
    parts = [Shard(index=n, count=count).part(ids) for n in range(count)]
    assert sorted(position for part in parts for position in part) == list(range(len(ids)))


@given(ids=IDS, count=st.integers(1, 12))
def test_one_part_more_takes_feeds_and_moves_no_other(ids, count):
    more = Shard(index=count, count=count + 1)
    for index in range(count):
        before = set(Shard(index=index, count=count).part(ids))
        after = set(Shard(index=index, count=count + 1).part(ids))
        assert after <= before
        assert before - after <= set(more.part(ids))


def test_parts_are_about_equal():
    ids = [f"station-{n}" for n in range(10_000)]
    sizes = [len(Shard(index=n, count=10).part(ids)) for n in range(10)]
    # Five standard deviations of a fair draw.
    assert all(850 < size < 1150 for size in sizes), sizes


@pytest.fixture
def shared(tmp_path):
    path = tmp_path / "genred.toml"
    feeds = "".join(f'[[feeds]]\nid = "f{n}"\nsource = "device:{n}"\n' for n in range(40))
    path.write_text(feeds)
    return path


def test_a_node_hears_its_part_of_a_shared_file(shared):
    everything = load(shared, {})
    heard = []
    for index in range(4):
        loaded = load(shared, {"GENRED_NODE__SHARD": f"{index}/4"})
        assert 0 < len(loaded.settings.feeds) < 40
        heard += [feed.id for feed in loaded.settings.feeds]
        for position, feed in enumerate(loaded.settings.feeds):
            where = int(feed.id[1:])
            origin = loaded.origin(("feeds", position, "id"))
            assert origin == everything.origin(("feeds", where, "id"))
            assert origin.kind is Kind.FILE
    assert sorted(heard) == sorted(feed.id for feed in everything.settings.feeds)


def test_the_command_line_names_a_part(shared, genred):
    done = genred("run", "--config", str(shared), "--shard", "4/4")
    assert done.returncode == 64
    assert "the last of 4 is 3" in done.stderr
    with pytest.raises(UsageError, match="write I/N"):
        load(shared, {}, {"node": {"shard": "first"}})


def test_a_part_without_feeds_is_refused_and_not_the_demo(tmp_path):
    path = tmp_path / "genred.toml"
    path.write_text('[[feeds]]\nid = "only"\nsource = "default"\n')
    empty = next(n for n in range(3) if not Shard(index=n, count=3).owns("only"))
    with pytest.raises(ConfigError, match=f"none of the 1 feeds is in part {empty}/3"):
        load(path, {"GENRED_NODE__SHARD": f"{empty}/3"})


def test_one_name_for_all_nodes_is_doubtful(shared):
    shared.write_text('[node]\nname = "radio"\n' + shared.read_text())
    told = list(doubts(load(shared, {}, {"node": {"shard": "0/2"}}), {}))
    assert any("node.name" in each for each in told)
    assert not any("node.name" in each for each in doubts(load(shared, {}), {}))
