"""Beginning with another run's weights: what is kept, what is new, what stays frozen."""

from __future__ import annotations

import shutil

import pytest
import torch
from tiny_run import TinyRun, quiet

from genred.errors import InputError
from genred_train import beginnings, run
from genred_train.data import corpus as corpora
from genred_train.recipe import Recipe
from genred_train.training import Trainer


def trainer_of(tiny_run: TinyRun, **training: object) -> tuple[Trainer, Recipe]:
    """Two of the run's three labels, another seed."""
    raw = tiny_run.recipe.model_dump()
    raw["data"]["labels"] = [{"name": n, "kind": "music"} for n in ("high", "low")]
    raw["training"] |= {"epochs": 2, "crops_per_epoch": 64, "seed": 9} | training
    made = Recipe.model_validate(raw)
    corpus = corpora.load(made, tiny_run.data, tiny_run.cache, quiet())
    run.settle(made.training.seed, threads=1)
    return Trainer(made, corpus, run.build_network(made, 2), torch.device("cpu")), made


@pytest.mark.parametrize("named", [".", "best.pt", "last.pt", "model.onnx"])
def test_the_body_is_kept_and_the_logits_are_new(tiny_run, named):
    """Whichever file of a run is named, all but the last layer is that of its best epoch."""
    weights = beginnings.weights(tiny_run.out / named)
    trainer, _ = trainer_of(tiny_run)
    layer = trainer.network.logits_layer
    fresh = trainer.network.get_submodule(layer).weight.clone()
    taken = trainer.take(weights)
    mine = trainer.network.state_dict()
    kept = [name for name in mine if not name.startswith(layer)]
    assert taken == len(kept) == len(mine) - 2
    for name in kept:
        assert mine[name].equal(weights[name]), name
    assert mine[f"{layer}.weight"].equal(fresh)
    assert mine[f"{layer}.weight"].shape[0] == 2


def test_what_is_frozen_stays(tiny_run, tmp_path):
    """For good, or for some epochs, only the last layer learns; running means rest as well."""
    weights = beginnings.weights(tiny_run.out)
    for freeze, stays in ((True, True), (2, True), (1, False)):
        trainer, _ = trainer_of(tiny_run, freeze=freeze)
        trainer.take(weights)
        layer = trainer.network.logits_layer
        before = trainer.network.get_submodule(layer).weight.detach().clone()
        folder = tmp_path / str(freeze)
        folder.mkdir()
        trainer.fit(folder, lambda epoch: None)
        after = torch.load(folder / "last.pt", weights_only=True)["network"]
        assert not after[f"{layer}.weight"].equal(before)
        same = [n for n in after if not n.startswith(layer) and after[n].equal(weights[n])]
        body = [n for n in after if not n.startswith(layer)]
        assert (same == body) is stays


def test_through_the_command_it_begins_better(tiny_run, tmp_path):
    """A run that begins with another's weights says so, and is ahead after its first epoch."""
    raw = tiny_run.recipe.model_dump()
    raw["training"] |= {"epochs": 1, "crops_per_epoch": 64, "freeze": True}
    made = Recipe.model_validate(raw)
    corpus = corpora.load(made, tiny_run.data, tiny_run.cache, quiet())
    losses = []
    for init_from in (None, tiny_run.out):
        out = tmp_path / str(bool(init_from))
        out.mkdir()
        options = run.Options(tiny_run.data, out, tiny_run.cache, init_from=init_from)
        run.settle(1, threads=1)
        fitted = run.fit(made, corpus, out, torch.device("cpu"), quiet(), options)
        losses.append(fitted.trainer.history[0].val_loss)
    assert losses[1] < losses[0]


def test_weights_of_another_network_are_refused(tiny_run, tmp_path):
    """Other shapes, files that are none, and a model file by itself, each with its line."""
    trainer, _ = trainer_of(tiny_run)
    with pytest.raises(InputError, match="not of a network 'compact' like"):
        trainer.take({"standardise.mean": torch.zeros(3)})
    with pytest.raises(InputError, match="there is no"):
        beginnings.weights(tmp_path / "missing.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match="no checkpoint of a run"):
        beginnings.weights(tmp_path / "text.pt")
    torch.save({"network": 3}, tmp_path / "odd.pt")
    with pytest.raises(InputError, match="no checkpoint of a run"):
        beginnings.weights(tmp_path / "odd.pt")
    alone = shutil.copy(tiny_run.out / "model.onnx", tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"no best\.pt beside"):
        beginnings.weights(type(tmp_path)(alone))
