"""`genred bench` from outside, everything once and short."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import onnxruntime
import pytest

from genred.bench import history, report
from rigs import tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1000)]

OPTIONS = ("--quick", "--json", "--against", "--training")
ENOUGH_S = 900
"""Half a minute on a quiet machine; a laden one takes its time."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One run of nearly everything: the record that was printed, and the file it went to."""
    file = tmp_path_factory.mktemp("bench") / "records.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "genred", "bench", *OPTIONS, "--record", str(file)],
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), file, done.stderr


def test_every_figure_is_there_and_can_be(measured):
    record, _, said = measured
    (rate,) = record["rates"]
    assert rate["own"]
    assert rate["rate"] == 4
    for load in (rate["one"], rate["many"], *rate["all"], record["capacity"]["aligned"]):
        assert 0 < load["cpu_ms"] < 50
        assert load["delay_median_ms"] <= load["delay_p99_ms"]
    assert len(rate["all"]) == record["machine"]["cores"]
    assert record["capacity"]["one"]["feeds"] > 1
    assert 0 < record["start"]["beyond_window_s"] < record["start"]["first_decision_s"] < 60
    assert 0 < record["one_feed"]["core"] < 0.5
    assert 40 < record["one_feed"]["resident_mb"] < 400
    first, last = record["memory"]
    assert 40 < first["mb"] < last["mb"]
    tag = record["tag"]
    assert tag["together"] < min(tag["decoding"], tag["scoring"])
    parts = record["parts"]
    assert 0 < parts["rings_ms"] < parts["rest_ms"]
    # The shipped model's graph is entered behind its front end, and all of it is heard.
    assert 0 < parts["front_end_ms"] < parts["network_ms"] < rate["many"]["cpu_ms"]
    assert record["quick"]
    assert "genred bench: memory" in said


def test_peers_are_measured_in_the_same_run(measured):
    duel = measured[0]["against"]
    assert [side["name"] for side in duel["peers"]] == [
        "torchaudio mel + PyTorch network, window by window",
        "librosa mel + the network in onnxruntime, window by window",
    ]
    for side, ratio in zip(duel["peers"], duel["single_ratios"], strict=True):
        assert side["cpu_ms"] > 0
        assert ratio["low"] <= ratio["median"] <= ratio["high"]
        assert ratio["median"] == pytest.approx(side["cpu_ms"] / duel["single"]["cpu_ms"], rel=0.8)
    (missing,) = duel["missing"]
    assert missing.startswith("YAMNet")
    assert "--teacher" in missing


def test_batches_are_prepared_faster_than_clip_by_clip(measured):
    training = measured[0]["training"]
    assert training["ratio"] >= report.GOAL_LOADER
    assert training["clips_per_second"] > training["naive_clips_per_second"]


def test_the_record_is_kept_and_can_be_shown(measured):
    record, file, _ = measured
    (kept,) = history.read(file)
    assert kept["machine"] == record["machine"]
    assert kept["rates"][0]["many"]["cpu_ms"] == pytest.approx(
        record["rates"][0]["many"]["cpu_ms"], rel=1e-3
    )
    table = report.markdown([*report.rows(kept), *report.against(kept["against"])])
    assert table.count("\n") == 2 + len(report.rows(kept)) + len(report.against(kept["against"]))
    assert "QUICK" in report.measured_on(kept)
    line = report.chronicle([kept]).splitlines()[2]
    assert line.count("|") == len(report.CHRONICLE) + 1


def test_steps_of_the_model_alone(genred, tmp_path):
    path = tiny_model.write(tmp_path / "model.onnx")
    done = genred("bench", "--model", path, "--batches", "1,40", "--json")
    assert done.returncode == 0, done.stderr
    one, many = json.loads(done.stdout)["batches"]
    assert one["provider"] == "cpu"
    assert (one["feeds"], many["feeds"]) == (1, 40)
    assert many["us_per_feed"] < one["us_per_feed"]


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there is a GPU"
)
def test_without_a_gpu_it_says_so(genred):
    done = genred("bench", "--batches", "--provider", "cuda")
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1
    assert "CUDA is asked for" in done.stderr


@pytest.mark.parametrize("words", [("--teacher", "x"), ("--provider", "cuda")])
def test_options_that_need_another_say_so(genred, words):
    done = genred("bench", *words)
    assert done.returncode == 64
    assert "goes with" in done.stderr


def test_the_lab_is_there():
    """Else the peers would be skipped without a word."""
    assert find_spec("genred_train")
