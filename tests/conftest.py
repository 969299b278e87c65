"""What all tests share: the rigs with real counterparts."""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path

import pytest

pytest_plugins = [
    f"rigs.{file.stem}"
    for file in sorted((Path(__file__).parent / "rigs").glob("*.py"))
    if file.stem not in {"__init__", "ports", "proxy"}  # helpers of the rigs hold no fixtures
]

END_S = 60
"""Threads that a failed test left behind may hold up the end for so long; then their stacks are
shown and the run has failed, rather than stand until somebody looks."""


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Never hang at the end."""
    faulthandler.dump_traceback_later(END_S, exit=True, file=sys.__stderr__)
