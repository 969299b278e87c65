"""The model file run over a stream gives the logits of the network run on each window."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from train_data import recipe

from genred.errors import ConfigError, InternalError
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
from genred_train.export import macs, model_file
from genred_train.export.step import Step
from genred_train.networks.base import Network as LabNetwork

FRONT_END = FrontEnd(n_fft=512, hop_length=200, n_mels=64, f_min=40.0, f_max=7200.0, floor=0.01)
HOP, RATE, WINDOW = 4000, 16_000, 16_000


def lively(network: LabNetwork) -> LabNetwork:
    """Give a fresh network statistics and weights that make its logits move."""
    generator = torch.Generator().manual_seed(5)
    network.set_normalisation(torch.full((64,), -1.0), torch.full((64,), 2.5))
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(8, 64, 78, generator=generator) * 2.5 - 1.0)
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * 0.3)
    return network.eval()


class Whole(LabNetwork):
    """A network that cannot be streamed: it looks at its whole window anew."""

    def __init__(self) -> None:
        super().__init__()
        self.n_mels, self.frames = 64, 78
        self.padded = nn.Conv1d(64, 12, 9, padding=4)
        self.last = nn.Linear(12, 3)

    def forward(self, logmel: Tensor) -> Tensor:
        whole = logmel - logmel.mean(dim=(1, 2), keepdim=True)
        answer: Tensor = self.last(torch.relu(self.padded(whole)).mean(dim=2))
        return answer


def compact() -> LabNetwork:
    return lively(networks.build("compact", {}, n_mels=64, frames=78, labels=3))


def metadata(step: Step) -> ModelMetadata:
    return ModelMetadata(
        name="test",
        sample_rate=RATE,
        hop=HOP,
        window=WINDOW,
        state_size=step.state_size,
        front_end=FRONT_END,
        labels=tuple(LabelInfo(name=name, kind=Kind.MUSIC) for name in "abc"),
        calibration=Calibration(temperature=1.0),
        network=Network(name="n", parameters=0, network_macs_per_step=0, front_end_macs_per_step=0),
        training=Training(data_fingerprint="", recipe="", seed=0, created=""),
        license="none",
    )


@pytest.fixture(scope="module", params=[compact, Whole], ids=["streamed", "windowed"])
def exported(request, tmp_path_factory):
    torch.manual_seed(7)
    network = request.param().eval()
    step = Step(network, FRONT_END, RATE, HOP)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    model_file.write(model_file.build_graph(step), metadata(step), path)
    return network, step, path


def audio(feeds: int, steps: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    loud = random.uniform(0.01, 0.3, size=(feeds, 1, 1)) * random.random((feeds, steps, 1))
    return (random.normal(size=(feeds, steps, HOP)) * loud).reshape(feeds, -1).astype(np.float32)


def test_streamed_logits_are_those_of_each_window(exported):
    """From the first full window on, step and window agree to 1e-4, and the logits do vary."""
    network, step, path = exported
    clips = audio(4, 12)
    worst = model_file.verify(path, network, metadata(step), clips)
    assert max(worst.values()) < 1e-4
    logits, frames = model_file.stream(model_file.session(path), clips, metadata(step))
    assert logits.shape == (12, 4, 3)
    assert frames.shape == (4, 64, 240)
    assert logits[3:].std(axis=0).min() > 1e-3


def test_feeds_do_not_touch_each_other(exported):
    """A feed's logits are the same alone and in a batch, to rounding."""
    _, step, path = exported
    clips = audio(3, 6)
    session = model_file.session(path)
    together, _ = model_file.stream(session, clips, metadata(step))
    for feed in range(3):
        alone, _ = model_file.stream(session, clips[feed : feed + 1], metadata(step))
        np.testing.assert_allclose(alone[:, 0], together[:, feed], atol=1e-4)


def test_what_was_before_the_window_is_forgotten(exported):
    """Two streams that differ only before the window give the same logits."""
    _, step, path = exported
    clips = audio(2, 10)
    clips[1, -WINDOW:] = clips[0, -WINDOW:]
    logits, _ = model_file.stream(model_file.session(path), clips, metadata(step))
    np.testing.assert_allclose(logits[-1, 0], logits[-1, 1], atol=1e-4)
    assert np.abs(logits[-2, 0] - logits[-2, 1]).max() > 1e-4


def test_a_wrong_export_is_found(exported):
    """If the file and PyTorch differ, verification raises rather than reports."""
    network, step, path = exported
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.bias += 0.01
        try:
            with pytest.raises(InternalError, match="differs from PyTorch"):
                model_file.verify(path, network, metadata(step), audio(2, 6))
        finally:
            last.bias -= 0.01


def test_the_file_says_what_it_is(exported):
    """Metadata comes back whole, names and free dimension are those of the contract."""
    _, step, path = exported
    model = onnx.load(path)
    properties = {p.key: p.value for p in model.metadata_props}
    assert ModelMetadata.from_json(properties["genred"]) == metadata(step)
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*model.graph.input, *model.graph.output)
    }
    state = ["feeds", step.state_size]
    assert shapes == {
        "audio": ["feeds", HOP],
        "state": state,
        "logits": ["feeds", 3],
        "logmel": ["feeds", 64, 20],
        "next_state": state,
    }
    assert b"/home" not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes()


def test_multiply_adds_are_those_of_the_layers():
    """The count from the graph is the count from the layers' own shapes."""
    network = compact()
    graph = model_file.build_graph(Step(network, FRONT_END, RATE, HOP))
    counted = macs.count(graph)
    # Stage by stage for 20 new frames: bands x positions x channels x kernel.
    widths = (16, 24, 48, 96, 128, 128)
    expected = (
        32 * 10 * widths[0] * 5 * 4
        + 16 * 10 * widths[1] * widths[0] * 9
        + 8 * 5 * (widths[1] * 12 + widths[1] * widths[2])
        + 8 * 5 * (widths[2] * 9 + widths[2] * widths[3])
        + 4 * 5 * (widths[3] * 9 + widths[3] * widths[4])
        + 1 * 5 * widths[4] * 4 * widths[5]
        + 2 * widths[5] * 3
        + 64 * 20  # the standardisation's products
    )
    assert counted.network == expected
    # Four products of 129 by half of the 229 bins, their powers, the filters, the window.
    bins = 229
    front = 20 * (2 * 129 * bins + 2 * bins + 64 * bins + 4 * 129)
    assert counted.front_end == front


def test_a_window_that_does_not_fit_the_strides_is_refused():
    """A recipe whose window the network cannot stream gets one clear line."""
    with pytest.raises(ConfigError, match="cannot work on windows of 77 frames"):
        networks.build("compact", {}, n_mels=64, frames=77, labels=3)


def test_unknown_networks_and_options_are_named():
    """A wrong name gets the nearest right one, a wrong option the list."""
    with pytest.raises(ConfigError, match="did you mean 'compact'"):
        networks.build("compakt", {}, n_mels=64, frames=78, labels=3)
    with pytest.raises(ConfigError, match=r"network\.options\.depth.*widths"):
        networks.build("compact", {"depth": 3}, n_mels=64, frames=78, labels=3)


def test_the_tests_recipe_is_one():
    """The recipe that these tests share passes the checks."""
    assert recipe().audio.hop == HOP
