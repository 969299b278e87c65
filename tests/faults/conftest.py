"""What was injected, seen and measured: kept for the table in the docs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

OUT = "GENRED_FAULTS_OUT"
"""Names the file that gets the rows, one JSON object a line; see update_table.py."""


@pytest.fixture
def record_fault(record_property):
    """Sets down a row: the fault, what was seen, seconds to recover (None: nothing to), losses."""

    def record(fault: str, seen: str, recovered_s: float | None, lost: str) -> None:
        row = {"fault": fault, "seen": seen, "recovered_s": recovered_s, "lost": lost}
        record_property("fault", row)
        if path := os.environ.get(OUT):
            with Path(path).open("a") as file:
                file.write(json.dumps(row) + "\n")

    return record
