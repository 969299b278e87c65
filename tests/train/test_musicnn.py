"""The second teacher: its weights are read and its network is computed as they were meant."""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from musicnn_wheel import checkpoint, drawn, write_wheel
from torch.nn import functional
from train_data import sound

from genred.errors import InputError
from genred_train.teacher import panel
from genred_train.teacher.checkpoint import variables
from genred_train.teacher.frames import FRAME, HOP
from genred_train.teacher.musicnn import WIDTH, Tagger

VARIABLES = drawn(1)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory) -> Tagger:
    return Tagger(write_wheel(tmp_path_factory.mktemp("wheel") / "m.whl", VARIABLES))


def test_a_checkpoint_is_read():
    """Every variable by its name, in its shape."""
    found = variables(*checkpoint(VARIABLES))
    assert found.keys() == VARIABLES.keys()
    for name, value in VARIABLES.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_broken_checkpoint_is_told():
    """And no other error than the one that says so, whichever byte is wrong."""
    index, data = checkpoint(VARIABLES)
    for cut in (1, 60, len(index) - 4):
        with pytest.raises(ValueError, match="checkpoint"):
            variables(index[:-cut], data)
    with pytest.raises(ValueError, match="missing"):
        variables(index, data[:1000])
    for place in range(0, len(index), 7):
        damaged = bytearray(index)
        damaged[place] ^= 0xFF
        with contextlib.suppress(ValueError):
            variables(bytes(damaged), data)


def plainly(log_mel: torch.Tensor) -> torch.Tensor:
    """The network by convolutions, layer by layer as its paper draws it: [frames, 753]."""
    values = {name: torch.from_numpy(value) for name, value in VARIABLES.items()}

    def named(name, number):
        return f"{name}_{number}" if number else name

    def norm(made, number):  # channels second
        of = named("batch_normalization", number)
        return functional.batch_norm(
            made,
            values[f"{of}/moving_mean"],
            values[f"{of}/moving_variance"],
            values[f"{of}/gamma"],
            values[f"{of}/beta"],
            eps=1e-3,
        )

    def layer(heard, number):
        of = named("conv2d", number)
        kernel = values[f"{of}/kernel"].permute(3, 2, 0, 1)
        made = functional.conv2d(heard, kernel, values[f"{of}/bias"])
        return norm(functional.relu(made), number + 1)

    heard = norm(log_mel[None, None], 0)
    front = [layer(functional.pad(heard, (0, 0, 3, 3)), n).amax(3) for n in range(2)]
    for n, length in ((2, 128), (3, 64), (4, 32)):
        before = (length - 1) // 2
        around = functional.pad(heard, (0, 0, before, length - 1 - before))
        front.append(layer(around, n).amax(3))
    layers = [torch.cat(front, dim=1)]  # [1, channels, frames]
    for n in (5, 6, 7):
        around = functional.pad(layers[-1], (3, 3)).transpose(1, 2)[:, None]
        made = layer(around, n)[..., 0]
        layers.append(made if n == 5 else made + layers[-1])
    return torch.cat(layers, dim=1)[0].T


def test_the_network_is_that_of_the_paper(tagger, monkeypatch):
    """Products of matrices, part by part, give what convolutions of the whole give."""
    monkeypatch.setattr("genred_train.teacher.musicnn._PART", 100)
    log_mel = torch.rand(300, 96, generator=torch.Generator().manual_seed(1)) * 4
    scale, shift = tagger._norms[0]
    with torch.no_grad():
        mine, theirs = tagger._heard(log_mel * scale + shift), plainly(log_mel)
    assert mine.shape == (300, 753)
    assert theirs.std() > 0.1
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_frames_are_those_of_the_other_teacher(tagger):
    """What is heard long after a frame changes nothing of it; the last frames hear it."""
    quiet = (sound("low", 12.0, 1) * 3000).astype(np.int16)
    other = quiet.copy()
    other[8 * 16_000 :] = (sound("noise", 4.0, 2) * 9000).astype(np.int16)
    heard, changed = tagger.embed(quiet).astype(float), tagger.embed(other).astype(float)
    assert heard.shape == ((quiet.size - FRAME) // HOP + 1, WIDTH)
    # Three seconds around a frame's middle, and what the filters reach besides.
    reach = 1.5 + 80 * 256 / 16_000
    ends = (np.arange(len(heard)) * HOP + FRAME / 2) / 16_000 + reach
    np.testing.assert_array_equal(heard[ends < 8], changed[ends < 8])
    assert np.abs(heard[-1] - changed[-1]).max() > 0.1
    assert tagger.embed(quiet[:1000]).shape == (1, WIDTH)
    assert np.isfinite(tagger.embed(np.zeros(48_000, np.int16))).all()


def test_what_is_no_such_wheel_is_named(tmp_path):
    """In one line that says where to get it."""
    with pytest.raises(InputError, match="cannot read the teacher"):
        Tagger(tmp_path / "gone.whl")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("other/__init__.py", "")
    with pytest.raises(InputError, match=r"is not the wheel of musicnn==0.1.0"):
        panel.heard(tmp_path / "other.whl")
    narrow = {**VARIABLES, "dense_1/kernel": np.zeros((200, 7), np.float32)}
    with pytest.raises(InputError, match="its layers are others"):
        Tagger(write_wheel(tmp_path / "narrow.whl", narrow))
    del narrow["conv2d_3/kernel"]
    with pytest.raises(InputError, match="conv2d_3/kernel"):
        Tagger(write_wheel(tmp_path / "less.whl", narrow))


def test_there_is_one_yamnet_and_it_comes_first(tmp_path):
    """However they are named on the command line."""
    wheel, other = tmp_path / "m.whl", tmp_path / "yamnet.tflite"
    write_wheel(wheel, {"a": np.zeros(1, np.float32)})
    other.write_bytes(b"TFL3")
    assert panel.ordered([wheel, other]) == [other, wheel]
    assert list(panel.provenance([wheel, other])) == ["YAMNet", "musicnn"]
    with pytest.raises(InputError, match=r"cannot read the teacher .*gone: there is no such file"):
        panel.besides([tmp_path / "gone"], "")
    for wrong in ([wheel], [other, other], [other, wheel, wheel]):
        with pytest.raises(InputError, match=r"the teachers are .* \(name yamnet.tflite"):
            panel.ordered(wrong)


def test_it_says_what_tensorflow_says():
    """The real weights, beside what musicnn's own code says by TensorFlow and librosa."""
    path = Path(os.environ.get("GENRED_MUSICNN", ""))
    if not path.is_file():
        pytest.skip("GENRED_MUSICNN names no wheel of musicnn 0.1.0")
    time = np.arange(3 * 16_000) / 16_000
    audio = np.random.default_rng(0).normal(0, 0.02, time.size)
    for pitch, beat in ((110, 2), (220, 4), (440, 1), (1760, 8)):
        audio += 0.1 * np.sin(2 * np.pi * pitch * time) * (1 + np.sin(2 * np.pi * beat * time))
    samples = np.rint(audio * 32767).clip(-32768, 32767).astype(np.int16)
    tags = Tagger(path).embed(samples)[0, 200:]
    # rock, electronic, dance, ambient, experimental
    said = tags[[0, 4, 6, 28, 30]]
    np.testing.assert_allclose(said, [-2.712, -0.883, -2.628, -1.852, -1.267], atol=0.01)
