"""The API against its own description, by schemathesis, over a real daemon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SECONDS = 20
"""For all phases; fuzzing goes on until they are spent."""

UNFIT = {
    "positive_data_acceptance",  # bytes may be no sound, a span may end before it begins: 422
}
"""Checks that cannot hold of what an API answers by what data mean, not by their form."""


def test_the_api_keeps_to_its_description(web_daemon, tmp_path):
    """Every operation but the stream, which has no end."""
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run"),
            f"{web_daemon.url}/api/v1/openapi.json",
            "--exclude-path=/api/v1/events",
            f"--exclude-checks={','.join(UNFIT)}",
            "--checks=all",
            "--seed=1",
            f"--max-time={SECONDS}",
            "--max-examples=20",
            "--request-timeout=20",
            "--continue-on-failure",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "12 total" in done.stdout, done.stdout
    assert "11 selected" in done.stdout
    process = web_daemon.process
    assert process.process.poll() is None
    assert not [line for line in process.lines if "Traceback" in line or " error " in line]
