"""The peers compute what they are said to: the same decisions as the lab's own network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genred.bench.sound import programme
from genred.errors import ConfigError, InputError
from genred.model.session import load_model, shipped_model
from genred_train.front_end import LogMel
from genred_train.peers import librosa_mel, plain, yamnet
from genred_train.peers.job import Job
from genred_train.retimed import retime


@pytest.fixture(scope="module")
def job():
    return Job(load_model(shipped_model()).metadata, None)


@pytest.fixture(scope="module")
def window(job):
    return programme(5.0, job.metadata.sample_rate)[-job.metadata.window :]


def test_the_plain_way_is_the_network_on_the_last_second(job, window):
    answer = plain.build(job)(window)
    transform = LogMel(job.metadata.front_end, job.metadata.sample_rate)
    with torch.no_grad():
        logmel = transform(torch.from_numpy(window[-job.reach :].copy())[None])
        expected = job.network()(logmel).softmax(1).numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.slow
def test_librosa_and_onnxruntime_come_to_the_same(job, window):
    logits = librosa_mel.build(job)(window)
    raised = np.exp(logits - logits.max())
    np.testing.assert_allclose(raised / raised.sum(), plain.build(job)(window), atol=1e-3)


def test_yamnet_without_a_file_says_what_to_name(job):
    with pytest.raises(InputError, match="--teacher"):
        yamnet.build(job)
    with pytest.raises(InputError, match="is no YAMNet"):
        yamnet.build(Job(job.metadata, Path(__file__)))


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_a_rate_that_does_not_fit_says_why(job, rate, tmp_path):
    with pytest.raises(ConfigError, match="a hop"):
        retime(job.metadata, rate, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_the_network_at_another_rate_is_a_model(job, tmp_path, rate):
    model = load_model(retime(job.metadata, rate, tmp_path))
    assert model.metadata.decisions_per_second == rate
    assert model.metadata.label_names == job.metadata.label_names
    # More steps, each with fewer frames: the network's work stays about the same.
    ratio = model.metadata.macs_per_second / job.metadata.macs_per_second
    assert 0.7 < ratio < 2.0
