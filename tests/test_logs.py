"""Logs: one line a record, fit for where they go, and no floods."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings

import pytest

from genred import logs
from genred.clock import FakeClock


@pytest.fixture(autouse=True)
def _clean():
    yield
    logs.reset()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fail(error):
    raise error


def started(level="info", *, stream=None, **kwargs):
    stream = stream if stream is not None else io.StringIO()
    logs.setup(level, stream=stream, environ=kwargs.pop("environ", {}), **kwargs)
    return stream


def test_a_pipe_gets_time_level_and_logger():
    out = started()
    logging.getLogger("genred.sources").warning("no audio for %d s", 5)
    stamp, level, logger, rest = out.getvalue().split(" ", 3)
    assert stamp.endswith("Z")
    assert (level, logger, rest) == ("warning", "genred.sources:", "no audio for 5 s\n")
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)],
)
def test_the_journal_gets_a_priority_and_neither_time_nor_colour(level, priority):
    out = started("debug", journald=True, stream=Terminal())
    getattr(logging.getLogger("genred"), level)("hello")
    assert out.getvalue() == f"<{priority}>genred: hello\n"


def test_a_terminal_gets_colour():
    out = started(stream=Terminal())
    logging.getLogger("genred").error("x")
    assert "\x1b[31merror\x1b[0m" in out.getvalue()


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_refused(environ):
    out = started(stream=Terminal(), environ=environ)
    logging.getLogger("genred").error("x")
    assert "\x1b" not in out.getvalue()


def test_journald_is_known_by_device_and_inode(tmp_path):
    """A stale JOURNAL_STREAM, inherited by a child whose stderr leads elsewhere, does not count."""
    with (tmp_path / "journal").open("w") as file:
        status = os.fstat(file.fileno())
        right = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        wrong = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"}
        assert logs.under_journald(file, right)
        assert not logs.under_journald(file, wrong)
        assert not logs.under_journald(file, {})
    assert not logs.under_journald(io.StringIO(), right)


def test_the_level_holds_for_genred_and_others_speak_from_warnings_on():
    out = started("info")
    logging.getLogger("genred.x").debug("one")
    logging.getLogger("genred.x").info("two")
    logging.getLogger("asyncio").info("three")
    logging.getLogger("asyncio").warning("four")
    assert [line.rsplit(" ", 1)[1] for line in out.getvalue().splitlines()] == ["two", "four"]


def test_the_level_can_be_changed():
    started("error")
    out = started("debug")
    logging.getLogger("genred").debug("now")
    assert out.getvalue().count("\n") == 1
    assert sum(isinstance(each, logs.LineHandler) for each in logging.getLogger().handlers) == 1


def test_reset_leaves_things_as_they_were():
    root, hook = logging.getLogger(), threading.excepthook
    level, handlers = root.level, list(root.handlers)
    started("debug")
    started("error")
    logs.reset()
    assert (root.level, root.handlers, threading.excepthook) == (level, handlers, hook)


def test_a_record_is_one_line_whatever_it_says():
    out = started(journald=True)
    logging.getLogger("genred").info("title %s", "a\nb\x1b[2J\x9b\x85\u2028\u202e\ud800c")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()
    assert r"a\nb\x1b[2J\x9b\x85\u2028\u202e\ud800c" in out.getvalue()


def test_a_very_long_line_is_cut():
    out = started()
    logging.getLogger("genred").info("%s", "x" * 1_000_000)
    assert len(out.getvalue()) < logs.MAX_CHARACTERS + 100
    assert "1000008 characters" in out.getvalue()


def test_passwords_in_urls_are_masked_in_text_and_exceptions():
    out = started("debug")
    try:
        fail(OSError("mqtt://genred:hunter2@broker refused"))
    except OSError:
        logging.getLogger("genred").exception("http://me:hunter2@radio/live failed")
    assert "hunter2" not in out.getvalue()
    assert "http://***@radio/live failed" in out.getvalue()


@pytest.mark.parametrize(("level", "lines"), [("info", 1), ("debug", None)])
def test_a_traceback_is_for_debug_alone(level, lines):
    out = started(level, journald=True)
    try:
        fail(ValueError("wrong"))
    except ValueError:
        logging.getLogger("genred").exception("step failed")
    got = out.getvalue().splitlines()
    assert got[0] == "<3>genred: step failed: ValueError: wrong"
    if lines:
        assert len(got) == lines
    else:
        assert got[1] == "<7>  Traceback (most recent call last):"
        assert all(line.startswith("<7>") for line in got[1:])


def test_a_thread_that_dies_is_logged():
    out = started()

    def die():
        raise RuntimeError("out of coal")

    thread = threading.Thread(target=die, name="engine")
    thread.start()
    thread.join()
    assert out.getvalue().endswith("thread engine ended: RuntimeError: out of coal\n")


def test_a_thread_that_exits_is_not():
    out = started()
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    assert out.getvalue() == ""


def test_warnings_of_python_are_logged():
    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.setup("info", stream=out, environ={})
        warnings.warn("old", UserWarning, stacklevel=1)
        logs.reset()
    assert "warning py.warnings:" in out.getvalue()
    assert out.getvalue().count("\n") == 1


def test_repeats_are_held_back_and_counted():
    clock = FakeClock()
    out = started(clock=clock)
    log = logging.getLogger("genred.sources")
    for index in range(1000):
        log.warning("broker away, attempt %d", index)
    lines = out.getvalue().splitlines()
    assert len(lines) == logs.REPEATS
    log.info("another matter")
    log.error("another level")
    assert len(out.getvalue().splitlines()) == logs.REPEATS + 2

    clock.advance(logs.PERIOD_S)
    log.warning("broker away, attempt %d", 1000)
    *_, summary, last = out.getvalue().splitlines()
    held = 1000 - logs.REPEATS
    assert summary.endswith(
        f"warning genred.sources: {held} more like this were held back, "
        "the last: broker away, attempt 999"
    )
    assert last.endswith("attempt 1000")


def test_what_is_held_back_is_told_at_the_end():
    out = started()
    for _ in range(logs.REPEATS + 3):
        logging.getLogger("genred").warning("again")
    logs.reset()
    assert (
        out.getvalue().splitlines()[-1].endswith("3 more like this were held back, the last: again")
    )


def test_below_a_warning_nothing_is_held_back():
    out = started()
    for _ in range(3 * logs.REPEATS):
        logging.getLogger("genred").info("again")
    assert out.getvalue().count("\n") == 3 * logs.REPEATS


def test_kinds_are_bounded():
    clock = FakeClock()
    repeats = logs.Repeats(clock)

    def record(text):
        return logging.LogRecord("genred", logging.WARNING, "", 0, text, None, None)

    for _ in range(logs.REPEATS + 1):
        repeats.admit(record("first"))
    for index in range(5 * logs.KINDS):
        repeats.admit(record(f"kind {index}"))
    assert len(repeats._kinds) == logs.KINDS
    assert [each.getMessage() for each in repeats.over()] == [
        "1 more like this were held back, the last: first"
    ]


def test_a_log_that_nobody_reads_stops_nothing():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as broken:
        handler = logs.setup("info", stream=broken, environ={})
        logging.getLogger("genred").warning("hello?")
        logs.reset()
        assert handler not in logging.getLogger().handlers
        with pytest.raises(BrokenPipeError):
            broken.close()


def test_many_threads_write_whole_lines():
    out = started(journald=True)

    def talk():
        for index in range(50):
            logging.getLogger("genred").info("number %d", index)

    threads = [threading.Thread(target=talk) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    lines = out.getvalue().splitlines()
    assert len(lines) == 400
    assert all(line.startswith("<6>genred: number ") for line in lines)


def test_it_writes_to_standard_error_of_a_process():
    code = "from genred import logs; import logging; logs.setup('info'); "
    code += "logging.getLogger('genred').info('up'); print('out')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "out\n"
    assert done.stderr.endswith("info genred: up\n")


def test_json_lines_for_programs():
    stream = io.StringIO()
    logs.setup("info", form="json", stream=stream, environ={})
    logging.getLogger("genred.sources").warning("feed %s: http://u:p@host/ \x1b[31mred", "web")
    try:
        fail(ValueError("broken\nin two lines"))
    except ValueError:
        logging.getLogger("genred.mqtt").exception("it failed")
    logs.reset()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(first) == ["ts", "level", "logger", "message"]
    assert (first["level"], first["logger"]) == ("warning", "genred.sources")
    assert "u:p" not in first["message"]
    assert "\x1b" not in first["message"]
    assert second["error"] == "ValueError: broken\\nin two lines"
    assert "traceback" not in second


def test_json_lines_in_the_journal_and_at_debug_level():
    stream = io.StringIO()
    logs.setup("debug", form="json", stream=stream, journald=True, environ={})
    try:
        fail(ValueError("broken"))
    except ValueError:
        logging.getLogger("genred.mqtt").exception("it failed")
    logs.reset()
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("<3>{")
    found = json.loads(line.removeprefix("<3>"))
    assert found["traceback"][-1] == "ValueError: broken"
