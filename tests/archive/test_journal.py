"""What is done is remembered: through kills, changes of files and of the model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genred.archive.jobs import Job, Recipe, listing
from genred.archive.journal import Journal
from genred.errors import TemporaryError
from genred.settings.judgement import JudgementSettings
from rigs import tiny_model

JOBS = [Job(f"/a/{n}é.wav", f"a/{n}é.wav", 100 + n, 10**18 + n) for n in range(5)]


def result(n):
    return {"label": "rock", "segments": [], "n": n}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_journal_torn_at_any_byte_keeps_what_was_whole(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "j"
    with Journal(path, "by") as journal:
        for n, job in enumerate(JOBS):
            journal.add(job, result(n))
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    with Journal(path, "by") as journal:
        assert [journal.has(job) for job in JOBS] == [n < kept for n in range(5)]
        for n, job in enumerate(JOBS):
            if not journal.has(job):
                journal.add(job, result(n))
    with Journal(path, "by") as journal:
        assert [journal.result(job) for job in JOBS] == [result(n) for n in range(5)]
    assert path.read_bytes() == whole


def test_a_file_that_changed_is_not_done(tmp_path):
    job = JOBS[0]
    with Journal(tmp_path / "j", "by") as journal:
        journal.add(job, result(1))
        assert journal.has(job)
        assert not journal.has(replace(job, size=1))
        assert not journal.has(replace(job, mtime_ns=1))
        journal.carry_over(job, 1, 2)
        assert not journal.has(job)
        assert journal.result(replace(job, size=1, mtime_ns=2)) == result(1)


def test_what_was_heard_by_another_model_is_not_done(tmp_path):
    with Journal(tmp_path / "j", "one") as journal:
        journal.add(JOBS[0], result(1))
    with Journal(tmp_path / "j", "other") as journal:
        assert not journal.has(JOBS[0])
        journal.add(JOBS[0], result(2))
    with Journal(tmp_path / "j", "one") as journal:
        assert journal.result(JOBS[0]) == result(1)


def test_lines_of_other_things_are_passed_over(tmp_path):
    entry = {"path": JOBS[0].path, "size": 100, "mtime_ns": 10**18, "by": "by", "result": {"n": 1}}
    lines = ["", "null", "[]", "{", '{"by": "by"}', json.dumps({**entry, "result": 3})]
    (tmp_path / "j").write_text("\n".join([*lines, json.dumps(entry), ""]))
    with Journal(tmp_path / "j", "by") as journal:
        assert journal.result(JOBS[0]) == {"n": 1}


def test_two_runs_do_not_share_a_journal(tmp_path):
    with Journal(tmp_path / "j", "by"), pytest.raises(TemporaryError, match="at work"):
        Journal(tmp_path / "j", "by")
    Journal(tmp_path / "j", "by").close()


def test_the_fingerprint_knows_model_and_judgement(tmp_path):
    model = tiny_model.write(tmp_path / "one.onnx")
    by = JudgementSettings()

    def fingerprint(**changes):
        return Recipe.of(model, "cpu", 1, by.model_copy(update=changes)).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(enter=0.7) != first
    model.write_bytes(model.read_bytes() + b"\0")
    assert fingerprint() != first


def test_a_file_named_twice_is_one_job(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    for name in ("b.wav", "a.mp3", "notes.txt"):
        (inner / name).write_bytes(b"x")
    jobs, faults = listing([tmp_path, inner, inner / "b.wav", tmp_path / "none.wav"])
    assert [job.shown for job in jobs] == [str(inner / "a.mp3"), str(inner / "b.wav")]
    (fault,) = faults
    assert (fault.exit_code, "none.wav: No such file" in fault.message) == (66, True)
