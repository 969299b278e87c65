"""``genred model``: what people read of a model file."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rigs import tiny_model

ADVICE = {
    "mean_duration_s": 5,
    "evidence": 0.25,
    "kind_evidence": 1.5,
    "enter": 0.65,
    "exit": 0.03,
    "unknown_after_s": 8,
}


@pytest.mark.parametrize(
    ("judging", "told"),
    [
        (None, "judged by  the settings"),
        (ADVICE, "kind_evidence 1.5, enter 0.65, kind_enter 0.65, exit 0.03"),
        (ADVICE | {"kind_enter": 0.5}, "enter 0.65, kind_enter 0.5, exit 0.03"),
    ],
)
def test_it_tells_how_the_model_is_judged_by(tmp_path, judging, told):
    """Models of before there was ``kind_enter`` name none, and say so without a traceback."""
    meta = tiny_model.metadata(judging=judging)
    path = tiny_model.write(tmp_path / "model.onnx", tiny_model.build(meta))
    done = subprocess.run(
        [sys.executable, "-m", "genred", "model", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert told in done.stdout


def test_a_model_that_names_no_kind_enter_means_enter():
    known = tiny_model.metadata(judging=ADVICE).judging
    assert known.settings()["kind_enter"] == 0.65
    known = tiny_model.metadata(judging=ADVICE | {"kind_enter": 0.5}).judging
    assert known.settings()["kind_enter"] == 0.5
