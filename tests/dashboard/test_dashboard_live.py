"""The dashboard on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time
from pathlib import Path

import pytest
from fakeviews import NOON, feed, node
from rich.console import Console

from genred.dashboard.keys import Key, Keys, meanings
from genred.dashboard.live import Dashboard
from genred.dashboard.notices import MAX_KEPT_BYTES, HeldStderr, LastWarning
from genred.settings.dashboard import DashboardSettings

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
WAIT_S = 20.0  # far longer than anything here takes on an idle machine


class Terminal:
    """A pseudo-terminal whose output is read all the time."""

    def __init__(self, width=80, height=24):
        self.master, self.slave = pty.openpty()
        self.resize(width, height)
        self.out = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._ended = threading.Event()
        self._reader.start()

    def resize(self, width, height):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def _read(self):
        while not self._ended.is_set():
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.out += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    return

    def wait_for(self, text):
        deadline = time.monotonic() + WAIT_S
        while text not in self.out:
            assert time.monotonic() < deadline, f"{text!r} not in {self.out[-2000:]!r}"
            time.sleep(0.01)

    def close(self):
        self._ended.set()
        self._reader.join()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    one = Terminal()
    yield one
    one.close()


@pytest.fixture
def console(terminal):
    with os.fdopen(os.dup(terminal.slave), "w") as file:
        yield Console(file=file, force_terminal=True, color_system="truecolor", width=80, height=24)


def make(console, view=None, **settings):
    return Dashboard(view or (lambda: node(feed())), DashboardSettings(**settings), console)


def test_it_takes_the_other_screen_and_gives_it_back(terminal, console):
    frames = iter(range(3))
    make(console, frames_per_second=10).run(lambda: next(frames, None) is None)
    terminal.wait_for(LEAVE)
    terminal.wait_for(SHOW)
    assert terminal.out.index(ENTER) < terminal.out.index("genred") < terminal.out.index(LEAVE)
    assert terminal.out.index(HIDE) < terminal.out.index(SHOW)
    assert terminal.out.index("\x1b[?7l") < terminal.out.index("\x1b[?7h")


def test_an_error_in_the_view_comes_through_after_the_screen_is_given_back(terminal, console):
    views = iter([node(feed())])
    with pytest.raises(StopIteration):
        make(console, lambda: next(views)).run(lambda: False)
    terminal.wait_for(LEAVE)
    terminal.wait_for(SHOW)


def test_nothing_is_written_while_nothing_changes(terminal, console):
    dashboard = make(console)
    with console.screen():
        assert dashboard.draw()
        assert not any(dashboard.draw() for _ in range(20))
    assert dashboard.frames == 1


def test_only_lines_that_changed_are_written(terminal, console):
    views = [node(feed(title="one")), node(feed(title="another"), now=NOON)]
    now = [views[0]]
    dashboard = make(console, lambda: now[0])
    with console.screen():
        dashboard.draw()
        terminal.wait_for("one")
        time.sleep(0.1)
        before = len(terminal.out)
        now[0] = views[1]
        assert dashboard.draw()
        terminal.wait_for("another")
        time.sleep(0.1)
        written = terminal.out[before:]
    rows = re.findall(r"\x1b\[(\d+);1H", written)
    assert rows == ["3", "21"]  # the title and the event that carries it
    assert "▀" not in written


def test_frames_come_no_faster_than_asked(terminal, console):
    seen = []
    began = time.monotonic()

    def view():
        seen.append(time.monotonic())
        return node(feed(now=NOON + len(seen)), now=NOON + len(seen))

    make(console, view, frames_per_second=5).run(lambda: time.monotonic() > began + 1.5)
    assert len(seen) <= 9


def test_a_machine_that_draws_slowly_draws_less_often(terminal, console):
    def view():
        spent = time.thread_time()
        while time.thread_time() - spent < 0.02:
            pass
        return node(feed())

    dashboard = make(console, view, frames_per_second=10)
    with console.screen():
        assert dashboard.interval() == pytest.approx(0.1)
    began = time.monotonic()
    dashboard.run(lambda: time.monotonic() > began + 1.5)
    assert dashboard.interval() > 0.15
    dashboard._mean_cost = 10.0
    assert dashboard.interval() == 2.0


def test_a_terminal_that_goes_away_does_not_end_the_daemon(caplog):
    gone = Terminal()
    file = os.fdopen(os.dup(gone.slave), "w")
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=80, height=24)
    clock = [NOON]

    def view():
        if len(clock) == 3:
            gone.close()
        clock.append(clock[-1] + 1)
        return node(feed(now=clock[-1]), now=clock[-1])

    began = time.monotonic()
    make(console, view, frames_per_second=10).run(lambda: time.monotonic() > began + 1)
    assert 1 <= time.monotonic() - began < 5
    assert "the terminal is gone" in caplog.text
    with pytest.raises(OSError, match="Input/output error"):
        file.close()


def test_keys_move_the_focus_and_leave(terminal, console):
    dashboard = make(console, lambda: node(*(feed(f"feed{at}") for at in range(9))))
    modes = termios.tcgetattr(terminal.slave)
    pressed = iter([[Key.NEXT], [Key.NEXT], [Key.PREVIOUS], [Key.REDRAW], [Key.QUIT]])

    class Typed(Keys):
        def wait(self, seconds):
            return next(pressed)

    with console.screen(), Typed(terminal.slave) as keys:
        dashboard._loop(lambda: False, LastWarning(), keys, HeldStderr(terminal.slave))
    assert dashboard.focus == 1
    assert termios.tcgetattr(terminal.slave) == modes


def test_what_keys_mean():
    assert meanings(b"\tj\x1b[B\x1b[C") == [Key.NEXT] * 4
    assert meanings(b"k\x1b[A\x1b[D\x1b[Z") == [Key.PREVIOUS] * 4
    assert meanings(b"xq\x1b[5~\x0c") == [Key.QUIT, Key.REDRAW]
    assert meanings(b"np") == [Key.NEXT_NODE, Key.PREVIOUS_NODE]
    assert meanings(b"\x1b") == []


def test_keys_turn_to_another_node_where_there_are_several(terminal, console):
    turned = []
    dashboard = Dashboard(
        lambda: node(*(feed(f"feed{at}") for at in range(9))),
        DashboardSettings(),
        console,
        notice=lambda: f"turned {sum(turned)}",
        turn=turned.append,
    )
    pressed = iter(
        [[Key.NEXT], [Key.NEXT_NODE], [Key.PREVIOUS_NODE, Key.PREVIOUS_NODE], [Key.QUIT]]
    )

    class Typed(Keys):
        def wait(self, seconds):
            return next(pressed)

    with console.screen(), Typed(terminal.slave) as keys:
        dashboard._loop(lambda: False, LastWarning(), keys, HeldStderr(terminal.slave))
    assert turned == [1, -1, -1]
    assert dashboard.focus == 0  # another node has other feeds
    terminal.wait_for("turned 1")
    terminal.wait_for("turned -1")


def test_a_watcher_whose_terminal_goes_away_ends():
    gone = Terminal()
    file = os.fdopen(os.dup(gone.slave), "w")
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=80, height=24)
    gone.close()
    began = time.monotonic()
    Dashboard(lambda: node(feed()), DashboardSettings(), console, listening=False).run(
        lambda: time.monotonic() > began + WAIT_S
    )
    assert time.monotonic() - began < WAIT_S / 2
    with pytest.raises(OSError, match="Input/output error"):
        file.close()


def test_without_a_keyboard_waiting_is_only_waiting(tmp_path):
    with (tmp_path / "empty").open("w+") as file, Keys(file.fileno()) as keys:
        began = time.monotonic()
        assert keys.wait(0.05) == []
        assert time.monotonic() - began >= 0.05


def test_standard_error_is_held_back_where_it_is_the_terminal(terminal):
    with HeldStderr(terminal.slave) as held:
        os.write(terminal.slave, b"from a library in C\n")
        held.trim()
        time.sleep(0.2)
        assert terminal.out == ""
    terminal.wait_for("from a library in C")


def test_a_redirected_standard_error_is_left_alone(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as file, HeldStderr(file.fileno()):
        os.write(file.fileno(), b"at once\n")
        assert path.read_text() == "at once\n"


def test_of_a_flood_the_newest_is_kept(terminal):
    flood = b"".join(b"line %d\n" % at for at in range(100_000))
    with HeldStderr(terminal.slave) as held:
        for at in range(0, len(flood), 4096):
            os.write(terminal.slave, flood[at : at + 4096])
            held.trim()
        assert os.fstat(held._kept).st_size <= 2 * MAX_KEPT_BYTES + 4096
    terminal.wait_for("line 99999")
    told = terminal.out
    assert "older bytes" in told
    numbers = [int(number) for number in re.findall(r"line (\d+)\r\n", told)]
    assert numbers == list(range(numbers[0], 100_000))
    kept = sum(len(f"line {number}\n") for number in numbers)
    dropped = int(re.search(r"\((\d+) older", told).group(1))
    assert dropped + kept == len(flood)


def test_the_last_warning_is_news_for_a_while(monkeypatch):
    log = logging.getLogger("genred.test")
    with LastWarning() as last:
        assert last.text() == ""
        log.warning("broker %s is away", "one")
        log.info("not worth it")
        assert last.text() == "broker one is away"
        real = time.monotonic
        monkeypatch.setattr("genred.dashboard.notices.time.monotonic", lambda: real() + 61)
        assert last.text() == ""
    assert last not in logging.getLogger().handlers


SCRIPT = """
import fcntl, logging, os, sys, termios, threading
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal of this session
sys.path.insert(0, {here!r})
from fakeviews import feed, node
from genred.dashboard.live import Dashboard
from genred.settings.dashboard import DashboardSettings
import signal, warnings

stop = threading.Event()
signal.signal(signal.SIGINT, lambda *_: stop.set())
logging.basicConfig(format="%(message)s")

shown = threading.Event()

def view():
    shown.set()
    return node(feed())

def talk():
    shown.wait()
    logging.warning("a line of the log")
    os.write(2, b"a line of a library\\n")
    threading.Event().wait(0.5)
    print("ready", flush=True, file=open({ready!r}, "w"))

threading.Thread(target=talk).start()
Dashboard(view, DashboardSettings()).run(stop.is_set)
print("the end")
"""


@pytest.fixture
def process(terminal, tmp_path):
    script = tmp_path / "script.py"
    ready = tmp_path / "ready"
    here = str(Path(__file__).parent)
    script.write_text(textwrap.dedent(SCRIPT.format(here=here, ready=str(ready))))
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        environ.pop(name, None)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=terminal.slave,
        stdout=terminal.slave,
        stderr=terminal.slave,
        env=environ,
        start_new_session=True,
    ) as child:
        yield child, ready
        if child.poll() is None:
            child.kill()


def ready_at(path):
    deadline = time.monotonic() + WAIT_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_in_a_process_of_its_own_lines_of_the_log_wait_for_the_end(terminal, process):
    child, ready = process
    terminal.wait_for("a line of the log")  # on the dashboard, above the footer
    ready_at(ready)
    assert "a line of a library" not in terminal.out
    terminal.resize(60, 15)
    child.send_signal(signal.SIGWINCH)
    terminal.wait_for("\x1b[15;1H")
    before = len(terminal.out)
    terminal.resize(100, 30)
    terminal.wait_for("\x1b[30;1H")
    assert "\x1b[31;1H" not in terminal.out[before:]
    child.send_signal(signal.SIGINT)
    assert child.wait(WAIT_S) == 0
    terminal.wait_for("the end")
    after = terminal.out.split(LEAVE)[1]
    assert after.index("a line of the log") < after.index("a line of a library")
    assert after.index("a line of a library") < after.index("the end")


def test_in_a_process_of_its_own_q_leaves_and_the_keyboard_is_as_before(terminal, process):
    child, ready = process
    modes = termios.tcgetattr(terminal.slave)
    terminal.wait_for("genred")
    ready_at(ready)
    assert termios.tcgetattr(terminal.slave) != modes
    terminal.type(b"q")
    assert child.wait(WAIT_S) == 0
    assert termios.tcgetattr(terminal.slave) == modes
    terminal.wait_for("the end")
