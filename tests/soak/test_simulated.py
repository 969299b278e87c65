"""A short soak with every change; `make soak` is the long one."""

from __future__ import annotations

import pytest
from simulated import Ledger, run

pytestmark = pytest.mark.slow


def test_half_an_hour_with_faults_accounts_for_every_event():
    report = run(0.5, seed=7, feeds=2)
    assert report["faults"] == []
    assert sum(report["injected"].values()) > 30
    assert report["events"]["started"] > 20
    assert len(report["threads"]) == 1  # constant; beside the tests there may be others
    assert len(report["descriptors"]) == 1


def test_the_ledger_finds_what_is_wrong():
    from rigs.messages import event

    ledger = Ledger()
    ledger.offer(event(seq=1, event_type="ended"))
    ledger.offer(event(seq=3, event_type="started"))
    ledger.offer(event(seq=4, event_type="started"))
    assert len(ledger.faults) == 3
