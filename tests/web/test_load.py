"""The daemon's decisions come as early under load as without; `load.py` has the large numbers."""

from __future__ import annotations

import numpy as np
import pytest
from load import measure

LISTENERS = 200
UPLOADS = 25

MOVED_MS = 60
"""What the median may move by: a quarter of a hop. It is far less on a machine with nothing else
to do."""


@pytest.mark.slow
@pytest.mark.timeout(400)  # a starved machine needs minutes for what takes ten seconds
def test_listeners_and_uploads_do_not_delay_decisions():
    found = measure(LISTENERS, UPLOADS, quiet_s=4)
    assert found["exit"] == 0
    quiet, loaded = np.median(found["quiet"]), np.median(found["loaded"])
    assert len(found["quiet"]) > 20
    assert len(found["loaded"]) > 20
    assert loaded - quiet < MOVED_MS, (quiet, loaded)
    # None was cut off (-1), and who came last missed the beginning at most.
    assert found["heard_least"] >= 5
    before, after = found["memory"]
    assert after - before < 60
