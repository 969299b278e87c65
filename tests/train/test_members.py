"""Several networks that speak as one."""

from __future__ import annotations

import io
import json

import numpy as np
import onnx
import pytest
import rich.console
import torch
from test_passages import REMEMBERING
from test_remembering import FRONT_END, HOP, RATE, STEP, WINDOW, metadata, network, streamed
from tiny_run import TinyRun, quiet
from train_data import recipe

from genred.model.session import load_model
from genred_train import beginnings, members, networks, run
from genred_train.console import Console
from genred_train.export import lean, macs, model_file
from genred_train.export.step import Step
from genred_train.recipe import Recipe


def two() -> list[networks.base.Network]:
    """Two of a kind with other weights, and one careful."""
    made = [network(opinions=0.7), network(opinions=0.7)]
    with torch.no_grad():
        for parameter in made[1].parameters():
            parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.3))
    made[1].take_caution(0.75)
    return made


def test_one_is_itself():
    """Where there is one network there is nothing to join."""
    (alone, _) = two()
    assert members.together([alone]) is alone


def test_they_say_the_mean_of_what_each_says():
    """Window by window, passage by passage and as a stream, each with its own memory."""
    each = two()
    whole = members.together(each)
    frames = torch.randn(3, 64, STEP * 11)
    with torch.no_grad():
        first, second = (member.listen(frames[..., 2:], STEP).logits for member in each)
        assert (first - second).abs().max() > 0.1
        torch.testing.assert_close(whole.listen(frames[..., 2:], STEP).logits, (first + second) / 2)
        window = frames[..., :78]
        torch.testing.assert_close(whole(window), (each[0](window) + each[1](window)) / 2)
    said = streamed(whole, frames, STEP)
    torch.testing.assert_close(said[:, 3:], (first + second) / 2, atol=1e-4, rtol=1e-4)


def test_shifts_are_added_once():
    """To the mean as they are, not halved and not twice."""
    each = two()
    whole = members.together(each)
    frames, shifts = torch.randn(1, 64, 78), torch.tensor([0.5, -1.0, 0.0, 2.0, 0.0])
    each[1].take_caution(0.0)
    with torch.no_grad():
        before = whole(frames)
        whole.take_shifts(shifts)
        torch.testing.assert_close(whole(frames) - before, shifts[None])


def test_windows_alone_can_be_told_by_several():
    """Networks that remember nothing are joined too."""
    torch.manual_seed(1)
    options = {"n_mels": 64, "frames": 78, "labels": 5}
    each = [networks.build("compact", {}, **options).eval() for _ in range(2)]
    whole = members.together(each)
    frames = torch.randn(2, 64, 78)
    with torch.no_grad():
        torch.testing.assert_close(whole(frames), (each[0](frames) + each[1](frames)) / 2)
    assert not hasattr(whole, "listen")


def test_the_file_of_two_in_8_bits(tmp_path):
    """One front end, twice the network, to 1e-4 of PyTorch, little more than a byte a weight."""
    made = lean.rounded(members.together(two()), "int8")
    step = Step(made, FRONT_END, RATE, HOP)
    path = tmp_path / "model.onnx"
    model_file.write(model_file.build_graph(step), metadata(step), path)
    audio = np.random.default_rng(2).normal(size=(2, 3 * WINDOW)).astype(np.float32) * 0.1
    worst = model_file.verify(path, made, metadata(step), audio)
    assert max(worst.values()) < 1e-4
    assert path.stat().st_size < 1.5 * sum(parameter.numel() for parameter in made.parameters())
    alone = macs.count(model_file.build_graph(Step(two()[0], FRONT_END, RATE, HOP)))
    counted = macs.count(onnx.load(path))
    assert counted.front_end == alone.front_end
    assert counted.network == pytest.approx(2 * alone.network, rel=1e-3)
    # The daemon's shortcut past the front end is found in it as well.
    assert load_model(path).metadata.state_size == step.state_size


def test_8_bits_are_kept_to_the_last():
    """What is judged is what is written, also where a channel is nothing or next to nothing."""
    values = torch.randn(7, 5, 3, 3)
    values[2] = 0.0
    values[3] *= 1e-9
    layer = torch.nn.Conv2d(5, 7, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(values)
    (kept,) = (weight.detach() for weight in lean.rounded(layer, "int8").parameters())
    worst = (kept - values).abs().amax(dim=(1, 2, 3))
    assert (worst <= values.abs().amax(dim=(1, 2, 3)) / 127 * 0.501).all()
    narrow = lean._steps_of(kept.numpy().transpose(2, 3, 1, 0))
    assert narrow is not None
    steps, scale = narrow
    assert steps.dtype == np.int8
    assert scale.size == 7
    assert np.array_equal(steps * scale, kept.numpy().transpose(2, 3, 1, 0))


@pytest.mark.slow
def test_a_run_of_two(folder, tmp_path):
    """Two seeds, a folder each; what broke off goes on where it was; a card that says so."""
    raw = REMEMBERING["training"] | {"members": 2}
    made = recipe(**{**REMEMBERING, "training": raw}, export={"weights": "int8"})
    out = tmp_path / "out"
    chosen = run.Options(folder, out, tmp_path / "cache", "cpu", 1)
    metrics = run.train(made, chosen, Console(rich.console.Console(file=io.StringIO())))
    assert metrics["training"]["members"] == 2
    card = (out / "MODEL_CARD.md").read_text()
    assert "two networks, trained apart" in card
    assert "seeds 3 and 4" in card
    assert "| Network | two of remembering, " in card
    first, second = (beginnings.weights(out, number) for number in range(2))
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(beginnings.weights(out, 2)[name], first[name]) for name in first)
    # The second had not begun when it broke off.
    before = (out / "model.onnx").read_bytes()
    for path in sorted((out / "member-2").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (out / "member-2").rmdir()
    again = run.Options(folder, out, tmp_path / "cache", "cpu", 1, resume=True)
    resumed = run.train(made, again, Console(rich.console.Console(file=io.StringIO())))
    assert resumed["test"] == metrics["test"]
    assert len((out / "model.onnx").read_bytes()) == len(before)
    known = json.loads((out / "model_config.json").read_text())["training"]["recipe"]
    assert known["training"] == made.training.model_dump(mode="json")  # and not a member's


def test_two_begin_with_one(tiny_run: TinyRun, tmp_path):
    """A run of one network gives both their first weights."""
    raw = tiny_run.recipe.model_dump()
    raw["training"] |= {"epochs": 1, "crops_per_epoch": 64, "members": 2}
    options = run.Options(tiny_run.data, tmp_path, tiny_run.cache, "cpu", 1, init_from=tiny_run.out)
    metrics = run.train(Recipe.model_validate(raw), options, quiet())
    assert metrics["model"]["parameters"] > 1.9 * len(beginnings.weights(tiny_run.out))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"member-1", "member-2", "model.onnx", "report.html"} <= names
    assert "best.pt" not in names
