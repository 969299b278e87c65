"""Recipes are checked, and a mistake in one is named with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from train_data import recipe

from genred.errors import ConfigError, InputError, UsageError
from genred_train import networks
from genred_train.recipe import load
from genred_train.run import build_network

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.toml"))
GOOD = """
name = "mine"
front_end = { n_fft = 512, hop_length = 200, n_mels = 64, f_min = 40, f_max = 7200, floor = 0.01 }
[network]
name = "compact"
"""


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_makes_a_network(path):
    """Recipes load, are named as their files, and their networks can be built."""
    made = load(path)
    assert made.name == path.stem
    assert build_network(made, 13).frames > 0


def test_the_shipped_network_is_compact():
    """At most 450,000 parameters; the step computes only what is new."""
    network = build_network(load(RECIPES[0].with_name("compact.toml")), 13)
    assert sum(p.numel() for p in network.parameters()) < 450_000
    known = {"cnn3", "compact", "crnn", "melgram_cnn", "mfcc_mlp", "remembering", "sequential"}
    assert known <= set(networks.names())


def test_a_good_recipe_has_defaults(tmp_path):
    """What a recipe does not say is filled in."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load(path).audio.hop == 4000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "[trainning]\nepochs = 3\n", r"no key 'trainning' \(did you mean 'training'\?\)"),
        (GOOD + "[training]\nepoch = 3\n", r"'training\.epoch' \(did you mean 'epochs'\?\)"),
        (GOOD + "[training]\nepochs = 0\n", r"training\.epochs: .*greater than or equal to 1"),
        (GOOD + "[audio]\nhop_s = 0.26\n", "whole number of front_end.hop_length"),
        (GOOD + "[audio]\nsample_rate = 8000\n", "f_max is above half"),
        ("name = \n", "is not TOML.*line 1"),
        ("name = 'mine'\n", "front_end: Field required"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    """Unknown keys get the nearest known one, values and syntax their place."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_recipes_that_are_not_there(tmp_path):
    """A missing file is missing input, a binary one no recipe."""
    with pytest.raises(InputError, match="cannot read the recipe"):
        load(tmp_path / "missing.toml")
    (tmp_path / "model.toml").write_bytes(b"\x08\xff\xfe")
    with pytest.raises(ConfigError, match="not text"):
        load(tmp_path / "model.toml")


def test_the_command_line_overrides():
    """Labels, epochs and seed of the command line stand in the recipe's place, checked."""
    made = recipe().override(labels="jazz, speech", epochs=7, seed=5)
    assert [(i.name, i.kind.value) for i in made.data.labels] == [
        ("jazz", "music"),
        ("speech", "speech"),
    ]
    assert (made.training.epochs, made.training.seed) == (7, 5)
    assert made.override(labels="data").data.labels == ()
    with pytest.raises(UsageError, match=r"training\.epochs"):
        made.override(epochs=0)
    with pytest.raises(UsageError, match="twice"):
        made.override(labels="a,a")
