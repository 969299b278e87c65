"""A network that remembers: as a stream it is what it was trained as, and its file is small."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from genred.errors import ConfigError
from genred.labels import Kind
from genred.model.metadata import (
    Calibration,
    FrontEnd,
    LabelInfo,
    ModelMetadata,
    Network,
    Training,
)
from genred_train import networks
from genred_train.calibration import Correction, sureness
from genred_train.export import lean, macs, model_file
from genred_train.export.step import Step
from genred_train.networks.remembering import Remembering

RATE, HOP, WINDOW, STEP = 16_000, 4_000, 16_000, 20
FRONT_END = FrontEnd(n_fft=512, hop_length=200, n_mels=64, f_min=40.0, f_max=7200.0, floor=0.001)


def network(**options: object) -> Remembering:
    """One whose batch normalisation has seen something, and whose memory matters."""
    torch.manual_seed(3)
    made = networks.build("remembering", options, n_mels=64, frames=78, labels=5)
    assert isinstance(made, Remembering)
    with torch.no_grad():
        if made.opinions:
            made.opinion.weight.normal_(0.0, 0.03)
            made.take_opinions(torch.randn(5), torch.rand(5) + 0.5)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0.0, 0.1)
                module.running_var.uniform_(0.05, 0.2)
    return made.eval()


def metadata(step: Step) -> ModelMetadata:
    return ModelMetadata(
        name="test",
        sample_rate=RATE,
        hop=HOP,
        window=WINDOW,
        state_size=step.state_size,
        front_end=FRONT_END,
        labels=tuple(LabelInfo(name=name, kind=Kind.MUSIC) for name in "abcde"),
        calibration=Calibration(temperature=1.0),
        network=Network(name="n", parameters=0, network_macs_per_step=0, front_end_macs_per_step=0),
        training=Training(data_fingerprint="", recipe="", seed=0, created=""),
        license="none",
    )


def streamed(made: networks.base.Network, frames: torch.Tensor, hop: int) -> torch.Tensor:
    """The decisions ``[batch, steps, labels]`` of a stream, ``hop`` frames at a time."""
    kept = [torch.zeros(len(frames), *shape) for shape in made.memory_shapes(hop)]
    said = []
    with torch.no_grad():
        for start in range(0, frames.shape[2], hop):
            logits, kept = made.step(frames[:, :, start : start + hop], kept)
            said.append(logits)
    return torch.stack(said, dim=1)


@pytest.mark.parametrize("hop", [STEP, 40, 80], ids=["4", "2", "1 a second"])
@pytest.mark.parametrize("memory", [32, 0], ids=["memory", "none"])
@pytest.mark.parametrize("opinions", [0.7, 0.0], ids=["opinions", "none"])
def test_a_stream_is_the_whole_passage(opinions, memory, hop):
    """Step after step gives the decisions that training sees of a passage at once."""
    made = network(memory=memory, opinions=opinions, patience=opinions, opinion_reset=(0.5, 3.0))
    made.take_caution(0.75 if memory else 0.0)
    frames = torch.randn(3, 64, hop * 11)
    assert all(math.prod(shape) for shape in made.memory_shapes(hop))
    said = streamed(made, frames, hop)
    with torch.no_grad():
        # A window is whole when 80 frames are heard; 78 of them are looked at.
        whole = made.listen(frames[:, :, 2:], hop).logits
        alone = made(frames[:, :, 2:80])
    first = 80 // hop - 1
    torch.testing.assert_close(said[:, first:], whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole[:, 0], alone, atol=1e-5, rtol=1e-5)


def test_what_was_before_the_window_is_remembered():
    """Two passages that differ before their last second alone are not told alike."""
    made = network()
    passages = torch.randn(2, 64, 78 + 8 * STEP)
    passages[1, :, -78:] = passages[0, :, -78:]
    with torch.no_grad():
        last = made.listen(passages, STEP).logits[:, -1]
        by_itself = made(passages[:, :, -78:])
    assert (last[0] - last[1]).abs().max() > 1e-3
    torch.testing.assert_close(by_itself[0], by_itself[1])


def test_patience_keeps_units_for_longer_once_it_is_trained():
    """While the gates learn it makes no difference; afterwards what is held follows more slowly."""
    frames = torch.randn(2, 64, 78 + 6 * STEP)
    hasty, patient = network(), network(patience=2.0)
    patient.load_state_dict(hasty.state_dict())
    with torch.no_grad():
        for made in (hasty, patient):
            made.gate.train()
            # Logits of what is held alone, each unit by itself.
            made.answer = nn.Linear(made.vector_size + made.units, made.units, bias=False)
            made.answer.weight.zero_()
            made.answer.weight[:, made.vector_size :] = torch.eye(made.units)
        alike = [made.listen(frames, STEP).logits for made in (hasty, patient)]
        for made in (hasty, patient):
            made.eval()
        soon, late = (made.listen(frames, STEP).logits for made in (hasty, patient))
    torch.testing.assert_close(*alike)
    torch.testing.assert_close(soon[:, 0], late[:, 0])
    assert ((late[:, 1] - late[:, 0]).abs() <= (soon[:, 1] - soon[:, 0]).abs()).all()
    assert (late[:, 1] - late[:, 0]).abs().sum() < 0.8 * (soon[:, 1] - soon[:, 0]).abs().sum()


def test_caution_is_less_sure_of_the_first_seconds_once_it_is_trained():
    """Logits of one second are divided by 1.6, of two by 1.3, of ten by 1.06; none in training."""
    frames = torch.randn(2, 64, 78 + 36 * STEP)
    bold, careful = network(), network()
    careful.take_caution(0.6)
    with torch.no_grad():
        for made in (bold, careful):
            made.gate.train()
        alike = [made.listen(frames, STEP).logits for made in (bold, careful)]
        for made in (bold, careful):
            made.eval()
        plain, less = (made.listen(frames, STEP).logits for made in (bold, careful))
    torch.testing.assert_close(*alike)
    for decision, by in ((0, 1.6), (4, 1.3), (36, 1.06)):
        torch.testing.assert_close(less[:, decision] * by, plain[:, decision])
    heard = 1 + np.arange(37) / 4
    share = torch.from_numpy(sureness(heard, 0.6))[None, :, None]
    torch.testing.assert_close(less, plain * share)


def test_shifts_are_added_to_answers_as_a_cautious_network_has_them_built_in():
    """So folds are judged by what is shipped, though their models have none."""
    frames, heard = torch.randn(2, 64, 78 + 12 * STEP), 1 + np.arange(13) / 4
    made, by = network(), Correction(np.array([1.0, -0.5, 0.2, 0.0, -0.7], np.float32), 1.0, 0.6)
    made.take_caution(by.caution)
    with torch.no_grad():
        before = made.listen(frames, STEP).logits.numpy()
        made.answer.bias.add_(torch.from_numpy(by.shifts))
        after = made.listen(frames, STEP).logits.numpy()
    np.testing.assert_allclose(by.shifted(before, heard), after, atol=1e-5)
    np.testing.assert_allclose(by.shifted(before[:, 0]), after[:, 0], atol=1e-5)


def test_who_remembers_nothing_cannot_be_cautious():
    with pytest.raises(ConfigError, match="for networks that remember"):
        network(memory=0).take_caution(0.6)


@pytest.mark.parametrize(("opening", "rise"), [(-6.5, 6.0), (-2.0, 0.0), (0.5, 3.0)])
def test_opinions_follow_by_how_far_they_are_from_what_is_held(opening, rise):
    """One gate for all of them: its logit is the first number and so many times the distance."""
    made = network(opinions=1.0, opinion_gate=(opening, rise))
    frames = torch.randn(2, 64, 78 + 6 * STEP)
    with torch.no_grad():
        made.opinion.weight.mul_(0.3)  # distances of about one, as between real opinions
        said = made.listen(frames, STEP)
    assert said.opinions is not None
    assert said.known is not None
    held = (said.logits - said.known - made.opinion_mean) / made.opinion_scale
    before, told = held[:, :-1], said.opinions[:, 1:]
    distance = (told - before).norm(dim=-1, keepdim=True)
    share = torch.sigmoid(opening + rise * distance)
    assert share.std() > 0.01 or not rise
    torch.testing.assert_close(held[:, 0], said.opinions[:, 0])
    torch.testing.assert_close(held[:, 1:], before + share * (told - before), atol=1e-5, rtol=1e-4)


def test_opinions_that_only_tell_labels_of_a_kind_apart():
    """Each kind is as likely as by labels alone; in it, labels are as they are by both."""
    kinds = [0, 0, 1, 0, 2]
    both = network(opinions=1.0)
    made = network(opinions=1.0, opinions_of_kinds=False)
    made.load_state_dict(both.state_dict())
    made.take_kinds(kinds)
    frames = torch.randn(2, 64, 78 + 6 * STEP)
    with torch.no_grad():
        said, plain = made.listen(frames, STEP), both.listen(frames, STEP)
        shifts = torch.tensor([1.0, -0.5, 0.2, 0.0, -0.7])
        made.take_shifts(shifts)
        shifted = made.listen(frames, STEP).logits
    assert said.known is not None
    torch.testing.assert_close(said.known, plain.known)
    member = nn.functional.one_hot(torch.tensor(kinds)).float()
    of_kind = said.logits.softmax(-1) @ member
    torch.testing.assert_close(of_kind, said.known.softmax(-1) @ member)
    assert (of_kind - plain.logits.softmax(-1) @ member).abs().max() > 0.01
    music = [0, 1, 3]
    torch.testing.assert_close(
        said.logits[..., music].softmax(-1), plain.logits[..., music].softmax(-1)
    )
    # Shifts come last, as those do that folds' answers are corrected by.
    torch.testing.assert_close(shifted, said.logits + shifts)
    stepped = streamed(made, torch.cat([torch.randn(2, 64, 2), frames], dim=2), STEP)
    # Logarithms of sums of exponentials have a digit less than what they are of.
    torch.testing.assert_close(stepped[:, 3:], shifted, atol=1e-4, rtol=1e-4)


def test_a_kind_that_is_all_but_ruled_out_leaves_numbers():
    """However far apart labels are said to be."""
    made = network(opinions=1.0, opinions_of_kinds=False)
    made.take_kinds([0, 0, 1, 0, 2])
    with torch.no_grad():
        made.answer.bias.copy_(torch.tensor([300.0, 0.0, -300.0, 0.0, 0.0]))
        said = made.listen(torch.randn(2, 64, 78 + 6 * STEP), STEP)
    assert said.logits.isfinite().all()


def test_far_opinions_open_every_gate_once_it_is_trained():
    """Beyond the distance, and in training not at all."""
    frames = torch.randn(2, 64, 78 + 6 * STEP)
    steady = network(opinions=1.0)
    resetting, deaf = (
        network(opinions=1.0, opinion_reset=(beyond, 30.0)) for beyond in (0.01, 1e3)
    )
    with torch.no_grad():
        for made in (resetting, deaf):
            made.load_state_dict(steady.state_dict())
        held = {made: made.listen(frames, STEP) for made in (steady, resetting, deaf)}
        alone = torch.stack(
            [steady(frames[:, :, step * STEP : step * STEP + 78]) for step in range(7)], dim=1
        )
        for made in (steady, resetting):
            made.gate.train()
        learning = [made.listen(frames, STEP).logits for made in (steady, resetting)]
    torch.testing.assert_close(*learning)
    torch.testing.assert_close(held[deaf].logits, held[steady].logits)
    # As good as nothing is held of what was before.
    torch.testing.assert_close(held[resetting].logits, alone, atol=1e-3, rtol=1e-3)
    assert (held[steady].logits - alone)[:, 1:].abs().max() > 0.05


def test_labels_do_not_touch_opinions():
    """What the teacher says counts in the logits, and no label teaches the network another word."""
    made = network(opinions=0.7)
    made.train()
    said = made.listen(torch.randn(2, 64, 78 + 3 * STEP), STEP)
    assert said.opinions is not None
    (said.known.square().sum() + said.logits.square().sum()).backward()
    assert made.opinion.weight.grad is None
    assert made.gate.weight.grad is not None
    said = made.listen(torch.randn(2, 64, 78 + 3 * STEP), STEP)
    said.opinions.square().sum().backward()
    assert made.opinion.weight.grad is not None


def test_opinions_belong_to_the_labels_they_are_of():
    """Whoever begins with another run's weights for other labels must not take its opinions."""
    made = network(opinions=1.0)
    bound = {name for name in made.state_dict() if name.startswith(made.of_labels)}
    layers = {f"{layer}.{what}" for layer in ("answer", "opinion") for what in ("weight", "bias")}
    assert bound == layers | {"opinion_scale", "opinion_mean"}


@pytest.mark.parametrize("labels", [5, 3, 8])
def test_other_labels_begin_with_the_gates_of_what_is_remembered(labels):
    """As many or not: units open as they did, whatever opinions of other labels were held."""
    before = network(opinions=1.0)
    made = networks.build("remembering", {"opinions": 1.0}, n_mels=64, frames=78, labels=labels)
    assert isinstance(made, Remembering)
    made.eval()
    fresh = {name: value.clone() for name, value in made.state_dict().items()}
    body = made.body(before.state_dict())
    assert all(body[name].shape == fresh[name].shape for name in body)
    made.load_state_dict(body, strict=False)
    bound = set(made.state_dict()) - set(body)
    assert bound == {name for name in fresh if name.startswith(made.of_labels)}
    units = before.units
    frames = torch.randn(2, 64, 78 + 3 * STEP)
    with torch.no_grad():
        # Without what opinions have to do with it, both remember the same.
        for each in (before, made):
            each.gate.weight[:, units : each.memory] = 0.0
            each.gate.weight[:, each.memory + units :] = 0.0
            each.answer.weight.copy_(torch.ones_like(each.answer.weight))
            each.answer.bias.zero_()
        one, other = (each.listen(frames, STEP).known[..., :3] for each in (before, made))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(body["gate.bias"], before.gate.bias.detach())


def test_an_opinion_is_added_as_the_logits_that_it_is():
    """After one second: what is told, put back into the teacher's units, times its weight."""
    frames = torch.randn(2, 64, 78)
    mean, scale = torch.randn(5), torch.rand(5) + 0.5
    made = network(opinions=0.5)
    made.take_opinions(mean, scale)
    with torch.no_grad():
        said = made.listen(frames, STEP)
    opined = said.opinions / scale + mean
    torch.testing.assert_close(said.logits, said.known + 0.5 * opined)


def test_the_file_is_what_was_trained_and_half_the_size(tmp_path):
    """To 1e-4 of PyTorch on a stream; weights in 16 bits, and no table of cosines."""
    made = lean.rounded(network(opinions=1.0), "float16")
    step = Step(made, FRONT_END, RATE, HOP)
    path = tmp_path / "model.onnx"
    model_file.write(model_file.build_graph(step), metadata(step), path)
    audio = np.random.default_rng(2).normal(size=(2, 3 * WINDOW)).astype(np.float32) * 0.1
    audio[1] *= np.linspace(0.001, 1.0, audio.shape[1], dtype=np.float32)
    worst = model_file.verify(path, made, metadata(step), audio)
    assert max(worst.values()) < 1e-4
    weights = sum(parameter.numel() for parameter in made.parameters())
    assert path.stat().st_size < 2.7 * weights
    counted = macs.count(onnx.load(path))
    assert 2e6 < counted.network < 2.5e6


def test_rounding_moves_no_decision():
    """Folded and in 16 bits, logits are those of the trained network to a thousandth."""
    made = network()
    frames = torch.randn(4, 64, 78 + 10 * STEP)
    with torch.no_grad():
        before = made.listen(frames, STEP).logits
        after = lean.rounded(made, "float16").listen(frames, STEP).logits
    assert (before - after).abs().max() < 5e-3 * before.abs().max()
    assert any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
