"""What all tests share: the rigs with real counterparts."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = [
    f"rigs.{file.stem}"
    for file in sorted((Path(__file__).parent / "rigs").glob("*.py"))
    if file.stem not in {"__init__", "ports", "proxy"}  # helpers of the rigs hold no fixtures
]

# As the daemon has it: products of matrices are small here, and threads for them only spin.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

hypothesis.settings.register_profile(
    "busy",
    # What takes long here may only have waited for others.
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("busy")

TOGETHER = {
    f"tests/train/test_{name}.py"
    for name in ("evaluate", "evaluate_folds", "lab_transfer", "report")
}
"""What uses the fixture `tiny_run`, a training of minutes that lives as long as the session."""


def _group(nodeid: str) -> str:
    """What of the tests goes to one worker: a file, so that what its tests share is made once."""
    file = nodeid.partition("::")[0]
    return "tiny run" if file in TOGETHER else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For `-n`, instead of `--dist loadgroup`, which this pytest's node ids are no good for."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For `-n`: what takes long comes first, so that no worker is left with it at the end."""
    if not hasattr(config, "workerinput"):
        return
    slow: Counter[str] = Counter()
    for item in items:
        slow[_group(item.nodeid)] += item.get_closest_marker("slow") is not None
    items.sort(key=lambda item: -slow[_group(item.nodeid)])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What hypothesis has a test print may be no UTF-8, which workers cannot hand on."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "replace").decode()) for name, text in report.sections
    ]
    return report


END_S = 60
"""Threads that a failed test left behind may hold up the end for so long; then their stacks are
shown and the run has failed, rather than stand until somebody looks."""


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Never hang at the end."""
    faulthandler.dump_traceback_later(END_S, exit=True, file=sys.__stderr__)
