"""``genred watch`` in a real terminal, of real daemons that are killed and come back."""

from __future__ import annotations

import signal

import pytest

from genred.history.reader import Reader
from rigs.ports import wait_until

STATIONS = ("--source", "station:3", "--source", "station:4", "--config", "/dev/null", "--plain")


@pytest.mark.slow
def test_a_service_on_this_machine(watch, genred, tmp_path):
    socket = tmp_path / "watch.sock"
    place = {
        "RUNTIME_DIRECTORY": str(tmp_path),
        "STATE_DIRECTORY": str(tmp_path),
        "GENRED_NODE__NAME": "kitchen",
    }
    daemon = genred.start("run", *STATIONS, **place)
    wait_until(socket.exists, 60)
    seen = watch("--socket", socket, "--config", "/dev/null")
    screen = seen.wait_for("kitchen", "▸ station_3", "  station_4", "on air", "% sure", "▀▀▀▀▀▀▀▀")
    assert "standard out" in screen  # where the daemon tells, as its own dashboard says it
    seen.type("Tab")
    seen.wait_for("  station_3", "▸ station_4")
    history = Reader(tmp_path / "history.sqlite3")
    wait_until(history.span)
    daemon.end(signal.SIGKILL)
    seen.wait_for("! connection refused; trying again: /", "the daemon is away, last heard")
    again = genred.start("run", *STATIONS, **place)
    seen.wait_for("on air", "% sure", "▸ station_4", without=("trying again", "last heard"))
    again.process.send_signal(signal.SIGSTOP)
    seen.wait_for("no word for", "the daemon does not answer")
    again.process.send_signal(signal.SIGCONT)
    seen.wait_for("on air", without=("no word for", "does not answer"))
    seen.type("q")
    seen.wait_for("ended with 0")
    assert again.end() == 0
    assert not socket.exists()
    kept = history.segments(None, 0, 2e10)
    assert {each.feed for each in kept} <= {"station_3", "station_4"}
    assert any(each.cut for each in kept)  # by the SIGKILL
    assert not any(each.on for each in kept)


@pytest.mark.slow
def test_several_nodes_through_a_broker(watch, genred, mosquitto):
    daemons = {
        name: genred.start("run", "--node", name, "--mqtt", mosquitto.url, *STATIONS)
        for name in ("attic", "cellar")
    }
    seen = watch("--broker", mosquitto.url, "--config", "/dev/null")
    seen.wait_for("genred  attic", "▸ station_3", "% sure", "node 1 of 2: n, p")
    seen.wait_for("no picture over MQTT", f"seen through {mosquitto.url}")
    seen.type("n")
    seen.wait_for("genred  cellar", "node 2 of 2: n, p", "% sure")
    daemons["cellar"].end(signal.SIGKILL)
    seen.wait_for("! cellar is offline", "the daemon is away, last heard")
    seen.type("p")
    seen.wait_for("genred  attic", "% sure", without=("offline",))
    mosquitto.kill()
    seen.wait_for("! mqtt://", "trying again", "the broker is away")
    mosquitto.start()
    seen.wait_for("genred  attic", "% sure", without=("trying again", "the broker is away"))
    seen.type("q")
    seen.wait_for("ended with 0")


def test_without_a_terminal_or_a_daemon_it_says_so(watch, genred, tmp_path):
    done = genred("watch", "--config", "/dev/null")
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
    assert "watching needs a terminal" in done.stderr
    seen = watch("--socket", tmp_path / "none.sock", "--config", "/dev/null")
    seen.wait_for("ended with 69")
    assert "no daemon at" in (tmp_path / "said").read_text()
    both = genred("watch", "--socket", "x", "--broker", "mqtt://127.0.0.1")
    assert both.returncode == 64
