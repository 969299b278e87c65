"""Workers that die, hang or do not start: no file is lost, none is told of twice."""

from __future__ import annotations

import os
import signal
import time

import pytest
from shelf_data import FILES, steady

from genred.archive import processes
from genred.archive.jobs import Hearer, Recipe, listing
from genred.archive.processes import Processes
from genred.errors import InternalError, ModelError
from genred.settings.judgement import JudgementSettings


@pytest.fixture(scope="module")
def recipe(tiny):
    return Recipe.of(tiny, "cpu", 1, JudgementSettings())


@pytest.fixture(scope="module")
def jobs(shelf):
    return listing([shelf])[0]


def shown(outcomes):
    return sorted(each.job.shown for each in outcomes)


def test_a_worker_that_is_killed_is_replaced_and_its_file_heard_again(recipe, jobs):
    engine = Processes(recipe, 2)
    outcomes = []
    killed = 0
    for outcome in engine.run(jobs):
        outcomes.append(outcome)
        busy = [worker.process.pid for worker in engine._staff if worker.job is not None]
        if len(outcomes) > 10 * killed and killed < 3 and busy:
            os.kill(busy[0], signal.SIGKILL)
            killed += 1
    assert killed  # fewer than three where the rest was done before this loop looked
    assert shown(outcomes) == sorted(job.shown for job in jobs)
    assert sum(each.fault is None for each in outcomes) == FILES
    assert engine._staff == []


def test_a_file_that_kills_its_workers_is_given_up_and_the_others_are_not(
    recipe, jobs, monkeypatch
):
    poison = jobs[5]
    give = processes._Worker.give
    killed = []

    def deadly(worker, job, attempt):
        give(worker, job, attempt)
        if job == poison:
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGSEGV)

    monkeypatch.setattr(processes._Worker, "give", deadly)
    outcomes = list(Processes(recipe, 2).run(jobs[:12]))
    assert shown(outcomes) == sorted(job.shown for job in jobs[:12])
    (bad,) = (each for each in outcomes if each.job == poison)
    assert "died of SIGSEGV, 2 times" in bad.fault.message
    assert bad.fault.exit_code == 70
    assert len(set(killed)) == 2


def test_a_worker_that_hangs_is_ended(recipe, jobs, monkeypatch):
    monkeypatch.setattr(processes, "SILENT_S", 0.5)
    give = processes._Worker.give
    stuck = jobs[2]

    def stopped(worker, job, attempt):
        if job == stuck:
            os.kill(worker.process.pid, signal.SIGSTOP)
        give(worker, job, attempt)
        if job != stuck:
            worker.until = time.monotonic() + 60  # a laden machine may be slow

    monkeypatch.setattr(processes._Worker, "give", stopped)
    outcomes = list(Processes(recipe, 2).run(jobs[:6]))
    assert shown(outcomes) == sorted(job.shown for job in jobs[:6])
    (bad,) = (each for each in outcomes if each.job == stuck)
    assert "was silent" in bad.fault.message


def test_what_keeps_all_workers_from_starting_is_told(recipe, jobs, tmp_path, monkeypatch):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ModelError, match="not an ONNX file"):
        list(Processes(Recipe.of(broken, "cpu", 1, JudgementSettings()), 2).run(jobs))
    start = processes._Worker.__init__

    def stillborn(worker, *arguments):
        start(worker, *arguments)
        worker.process.kill()

    monkeypatch.setattr(processes._Worker, "__init__", stillborn)
    with pytest.raises(InternalError, match="lives long enough"):
        list(Processes(recipe, 2).run(jobs))


def test_a_long_file_is_no_hang(tiny, tmp_path, monkeypatch):
    """A worker says that it goes on; whoever waits for it waits on."""
    monkeypatch.setattr("genred.archive.jobs.TOLD_S", 0.0)
    path = steady(tmp_path / "long.wav", 0.4, 20)
    (job,), _ = listing([path])
    said = []
    hearer = Hearer(Recipe.of(tiny, "cpu", 1, JudgementSettings()))
    outcome = hearer.hear(job, lambda: said.append(1))
    assert outcome.result == hearer.hear(job).result
    assert len(said) > 3
