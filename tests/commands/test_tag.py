"""``genred tag``: files of known content, and files that are none."""

from __future__ import annotations

import csv
import itertools
import json
import shlex
import subprocess
import sys

import numpy as np
import pytest

from genred.model.session import load_model
from genred.settings.judgement import JudgementSettings
from genred.sources.files import decode
from genred.tagging import HOPS, runs, tag_file
from rigs import clips

LABELS = load_model().metadata.label_names


@pytest.fixture
def programme(tmp_path):
    """30 s of talk, 30 s of strings, 20 s of nothing."""
    parts = [clips.style("speech", 30), clips.style("strings", 30), np.zeros(20 * clips.RATE)]
    return clips.write_wav(tmp_path / "programme.wav", np.concatenate(parts))


def lines(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_line_of_json_tells_all_of_a_file(genred, programme):
    (line,) = lines(genred("tag", "--format", "jsonl", programme))
    assert line["path"] == str(programme)
    assert line["duration"] == pytest.approx(80, abs=0.25)
    assert set(line["scores"]) == set(LABELS)
    assert sum(line["scores"].values()) == pytest.approx(1, abs=0.01)
    assert line["label"] == max(line["scores"], key=line["scores"].get)
    assert line["confidence"] == pytest.approx(line["scores"][line["label"]], abs=1e-3)
    segments = line["segments"]
    by_label = {s["label"]: s for s in segments}
    assert by_label["speech"]["start"] < 3
    assert by_label["speech"]["end"] == pytest.approx(30, abs=3)
    assert by_label["silence"]["start"] == pytest.approx(60, abs=0.5)
    assert by_label["silence"]["end"] == pytest.approx(80, abs=0.5)
    for before, after in itertools.pairwise(segments):
        assert before["end"] == after["start"]


def test_decisions_come_four_times_a_second_with_raw_and_smoothed_scores(genred, programme):
    *decisions, whole = lines(genred("tag", "--format", "jsonl", "--decisions", programme))
    assert "segments" in whole
    assert [d["t"] for d in decisions] == [round(1 + 0.25 * i, 4) for i in range(len(decisions))]
    assert decisions[-1]["t"] == pytest.approx(80, abs=0.25)
    for decision in decisions:
        assert set(decision) == {"path", "t", "raw", "smoothed", "label", "level_dbfs"}
        assert sum(decision["smoothed"].values()) == pytest.approx(1, abs=0.01)
    told = [list(d["raw"].values()) for d in decisions if d["raw"]]
    together = np.exp(np.log(np.maximum(told, 1e-5)).mean(axis=0))
    expected = together / together.sum()
    assert list(whole["scores"].values()) == pytest.approx(expected.tolist(), abs=0.01)
    quiet = [d for d in decisions if d["t"] > 65]
    assert all(d["raw"] == {} and d["label"] == "silence" for d in quiet)
    spoken = [d["label"] for d in decisions if 5 < d["t"] < 28]
    assert spoken.count("speech") > 0.9 * len(spoken)


def test_csv_and_table_name_every_file(genred, programme, tmp_path):
    short = clips.write_wav(tmp_path / "talk.wav", clips.style("speech", 5))
    result = genred("tag", "--format", "csv", tmp_path)
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["path"] for row in rows] == sorted(map(str, (programme, short)))
    assert rows[1]["label"] == "speech"
    table = genred("tag", programme, short).stdout
    assert "1:20.0" in table
    assert "talk.wav" in table
    assert "\x1b" not in table


def test_silence_is_silence_and_a_scrap_is_unknown(genred, tmp_path):
    quiet = clips.write_wav(tmp_path / "a_quiet.wav", np.zeros(10 * clips.RATE))
    scrap = clips.write_wav(tmp_path / "b_scrap.wav", clips.style("speech", 0.4))
    first, second = lines(genred("tag", "--format", "jsonl", quiet, scrap))
    assert (first["label"], first["confidence"]) == ("silence", 1.0)
    assert (second["label"], second["segments"]) == ("unknown", [])


def test_one_second_is_enough_for_a_decision(genred, tmp_path):
    clip = clips.write_wav(tmp_path / "one.wav", clips.style("rain", 1.0))
    (line,) = lines(genred("tag", "--format", "jsonl", clip))
    assert line["label"] in LABELS


def truncated_mp3(folder):
    wav = clips.write_wav(folder / "whole.wav", clips.style("strings", 20))
    mp3 = folder / "cut.mp3"
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-b:a", "64k", mp3], check=True)
    wav.unlink()
    mp3.write_bytes(mp3.read_bytes()[: mp3.stat().st_size // 2])
    return mp3


def test_half_an_mp3_is_heard_as_far_as_it_goes(genred, tmp_path):
    (line,) = lines(genred("tag", "--format", "jsonl", truncated_mp3(tmp_path)))
    assert 8 < line["duration"] < 11


def empty(folder):
    path = folder / "empty.wav"
    path.write_bytes(b"")
    return path


def text(folder):
    path = folder / "text.mp3"
    path.write_text("no sound in here\n" * 100)
    return path


def sparse(folder):
    path = folder / "sparse.wav"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    return path


def missing(folder):
    return folder / "none.wav"


@pytest.mark.parametrize("make", [empty, text, sparse, missing])
def test_what_cannot_be_heard_is_told_in_one_line_and_stops_nothing(make, genred, tmp_path):
    bad = make(tmp_path)
    good = clips.write_wav(tmp_path / "good.wav", clips.style("speech", 5))
    result = genred("tag", "--format", "jsonl", bad, good)
    assert result.returncode == 66
    (complaint,) = result.stderr.splitlines()
    assert complaint.startswith("genred tag: ")
    assert bad.name in complaint
    (line,) = (json.loads(each) for each in result.stdout.splitlines())
    assert line["path"] == str(good)


def test_a_reader_that_has_seen_enough_is_no_error(genred, programme):
    arguments = [sys.executable, "-m", "genred", "tag", "--format", "jsonl", "--decisions"]
    command = shlex.join([*arguments, str(programme)])
    shell = f"set -o pipefail; {command} | head -n 1"
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert json.loads(result.stdout)["t"] == 1.0
    assert result.stderr == ""
    assert result.returncode == 0


def test_runs_cut_any_blocks_alike():
    rng = np.random.default_rng(4)
    samples = rng.standard_normal(50_000).astype(np.float32)
    for lengths in ([50_000], [1] * 500 + [49_500], [3333, 30_000, 16_667]):
        blocks = np.split(samples, np.cumsum(lengths)[:-1])
        cut = list(runs(blocks, 40))
        np.testing.assert_array_equal(np.concatenate([run.reshape(-1) for run, _ in cut]), samples)
        assert {len(run) for run, _ in cut[:-1]} == {HOPS}
    # A rest of half a hop or more is filled up, a smaller one dropped.
    for count, kept, hops in ((1000, 1000, 3), (999, 800, 2), (200, 200, 1)):
        ((run, real),) = runs([samples[:count]], 400)
        assert (len(run), real) == (hops, kept)
    assert not list(runs([samples[:199]], 400))


@pytest.mark.slow
@pytest.mark.parametrize("label", ["classical", "electronic", "hiphop", "speech", "noise"])
def test_real_recordings_of_five_labels_end_to_end(label):
    """From a real file to its label; how good the model is on unseen groups stands in its card."""
    paths = clips.real_clips(label)[:12]
    model = load_model()
    said = [tag_file(model, path, JudgementSettings()).label for path in paths]
    assert said.count(label) >= len(paths) // 2
    samples = sum(len(block) for block in decode(paths[0], clips.RATE))
    assert samples > clips.RATE
