"""The shipped unit under a real systemd: start, faults, reload, stop, secrets, journal."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from rigs import clips
from rigs.ports import free_port, wait_until

pytestmark = pytest.mark.slow

CONFIG = "/etc/genred/genred.toml"
STOP_S = 5.0
"""What the unit promises; the farewell included."""


def config(*feeds, url=None, more=""):
    lines = ['[node]\nname = "rack"', more]
    if url:
        lines.append(f'[mqtt]\nurl = "{url}"')
    lines += [f'[[feeds]]\nid = "{name}"\nsource = "{source}"' for name, source in feeds]
    return "\n".join(lines) + "\n"


def test_a_service_in_its_life(make_machine, make_mosquitto):
    """Ready without broker, told of, killed, reloaded, refused, and stopped with its last word."""
    broker = make_mosquitto()
    machine = make_machine({CONFIG: config(("radio", "station:3"), url=broker.url)})
    machine.wait("ActiveState", "active")
    first = machine.main_pid()
    machine.wait_for_line("listening")
    assert "connection refused" in machine.journal()  # no broker yet: ready all the same
    status = Path(f"/proc/{_outside(machine, first)}/status").read_text()
    assert not re.search(r"^Uid:\t0", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)

    broker.start()
    listener = broker.listen("genred/#")
    listener.wait_for("genred/rack/radio/status", "online")
    wait_until(lambda: machine.show("StatusText").startswith("radio: "), what="a status line")

    history = ("/opt/genred/bin/genred", "history", "--format", "json")
    wait_until(lambda: '"on": true' in machine.run(*history), 30, "a history")

    # SIGKILL: the broker sends the last will, systemd starts it again, and it goes on.
    machine.systemctl("kill", "-s", "KILL", "genred")
    listener.wait_for("genred/rack/status", "offline")
    machine.wait("NRestarts", "1")
    machine.wait("ActiveState", "active")
    assert machine.main_pid() not in (0, first)
    listener.wait(lambda all_: _last(all_, "genred/rack/radio/status") == "online")

    _its_socket_and_history(machine, history)

    # Reload: another feed; then a configuration that is refused.
    pid = machine.main_pid()
    feeds = ("radio", "station:3"), ("second", "station:5")
    machine.path(CONFIG).write_text(config(*feeds, url=broker.url))
    machine.systemctl("reload", "genred")
    listener.wait_for("genred/rack/second/status", "online")
    machine.path(CONFIG).write_text("[feed]\n")
    machine.systemctl("reload", "genred")
    machine.wait_for_line("the new configuration is refused, the old one stays")
    machine.wait("ActiveState", "active")
    assert machine.main_pid() == pid
    assert machine.show("NRestarts") == "1"

    # Stop: final states within the time that was promised.
    began = time.monotonic()
    machine.systemctl("stop", "genred")
    assert time.monotonic() - began < STOP_S
    assert machine.show("Result") == "success"
    for topic in ("genred/rack/status", "genred/rack/radio/status", "genred/rack/second/status"):
        listener.wait(lambda all_, topic=topic: _last(all_, topic) == "offline")
    assert broker.retained("genred/rack/status") == {"genred/rack/status": "offline"}

    journal = machine.run("journalctl", "-u", "genred", "-o", "export")
    assert "\x1b" not in journal
    assert not re.search(r"^MESSAGE=\d{4}-\d\d-\d\dT", journal, re.MULTILINE)  # has its own times
    assert "Traceback" not in journal
    assert re.search(r"^PRIORITY=4$", journal, re.MULTILINE)  # the refusals


def _its_socket_and_history(machine, history):
    """For root and its own user, from outside the sandbox."""
    assert machine.run("stat", "-c", "%a %U", "/run/genred/watch.sock").split() == ["660", "genred"]
    # What the SIGKILL cut is known once the new daemon has opened the history.
    wait_until(lambda: '"cut": true' in machine.run(*history, check=True), 30, "a cut segment")
    told = machine.run(*history, check=True)
    radio = next(each for each in json.loads(told) if each["feed"] == "radio")
    assert radio["events"][0]["event_type"] == "started"
    owner = machine.run("stat", "-c", "%a %U", "/var/lib/genred/history.sqlite3")
    assert owner.split() == ["600", "genred"]


def test_a_frozen_daemon_is_restarted(make_machine):
    """SIGSTOP: nothing moves, nobody feeds the watchdog, systemd ends and restarts it."""
    machine = make_machine(
        {
            CONFIG: config(("radio", "station:3")),
            # 30 s as shipped would only make the test longer.
            "/run/systemd/system/genred.service.d/test.conf": "[Service]\nWatchdogSec=3\n"
            "ExecStopPost=/bin/sh -c 'echo ended by $SERVICE_RESULT'\n",
        }
    )
    machine.wait("ActiveState", "active")
    machine.wait_for_line("listening")
    time.sleep(5)
    assert machine.show("NRestarts") == "0"  # well fed beyond its period
    frozen = machine.main_pid()
    machine.systemctl("kill", "-s", "STOP", "genred")
    machine.wait("NRestarts", "1")
    machine.wait("ActiveState", "active")
    assert machine.main_pid() not in (0, frozen)
    assert machine.journal().count("ended by watchdog") == 1


WRONG = {
    "typo": ("[judgment]\nenter = 0.5\n", "judgement"),
    "empty": ("", "no feeds are configured"),
    "model": (
        '[model]\npath = "/etc/genred/model.toml"\n[[feeds]]\nid = "a"\nsource = "station"\n',
        "not an ONNX file",
    ),
}


def test_a_wrong_configuration_stays_down(make_machine):
    """Three daemons, each with something else wrong: exit code 78, one line, no new try."""
    units = {name: f"genred@{name}.service" for name in WRONG}
    machine = make_machine(
        {f"/etc/genred/{name}.toml": text for name, (text, _) in WRONG.items()},
        units=list(units.values()),
    )
    for unit in units.values():
        machine.systemctl("start", "--no-block", unit)
        machine.wait("ActiveState", "failed", unit=unit)
    time.sleep(6)  # longer than RestartSec
    for name, unit in units.items():
        assert machine.show("NRestarts", unit) == "0"
        assert machine.show("ExecMainStatus", unit) == "78"
        journal = machine.run("journalctl", "-u", unit, "-o", "export")
        assert WRONG[name][1] in journal
        assert "\x1b" not in journal


def test_credentials_under_a_dynamic_user(make_machine, make_mosquitto):
    """The password is in a file that only root may read, and in nothing that is shown."""
    secret = "correct horse battery staple"
    broker = make_mosquitto(users={"ear": secret, "test": "test"}).start()
    machine = make_machine(
        {
            "/etc/genred/attic.toml": config(
                ("radio", "station:3"), url=broker.url.replace("//", "//ear@")
            ),
            "/etc/credstore/genred-attic.mqtt-password": secret + "\n",
        },
        units=["genred@attic.service"],
    )
    machine.wait("ActiveState", "active")
    listener = broker.listen("genred/#", options=("-u", "test", "-P", "test"))
    topic = f"genred/{os.uname().nodename.split('.')[0]}-attic/status"
    listener.wait_for(topic, "online")
    pid = _outside(machine, machine.main_pid())
    for name in ("environ", "cmdline"):
        assert secret.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert secret not in machine.run("journalctl", "--no-pager")
    assert not any(secret in each.payload for each in listener.heard)


def test_a_sound_device_is_heard_from_inside_the_sandbox(make_machine, pulse, tmp_path):
    """PortAudio and ALSA in a process of their own, with all that the unit forbids."""
    port = free_port()
    pulse.pactl("load-module", "module-native-protocol-tcp", f"port={port}", "auth-anonymous=1")
    machine = make_machine(
        {
            CONFIG: config(("mic", "device:pulse")),
            "/run/systemd/system/genred.service.d/test.conf": "[Service]\n"
            f"Environment=PULSE_SERVER=tcp:127.0.0.1:{port}\n",
        }
    )
    machine.wait("ActiveState", "active")
    machine.wait_for_line("mic source listening")
    pulse.play(clips.write_wav(tmp_path / "talk.wav", clips.style("speech", 30)))
    machine.wait_for_line("speech")
    assert machine.show("NRestarts") == "0"


def test_nothing_to_listen_with_is_said_and_not_the_end(make_machine):
    """No sound card, no stream, no name for the broker: ready, and trying."""
    machine = make_machine(
        {
            CONFIG: config(
                ("mic", "device:default"),
                ("web", f"http://127.0.0.1:{free_port()}/live"),
                ("radio", "station:3"),
                url="mqtt://nowhere.invalid",
            )
        }
    )
    machine.wait("ActiveState", "active")
    machine.wait_for_line("feed mic: ")
    machine.wait_for_line("feed web: ")
    wait_until(
        lambda: re.fullmatch(
            r"mic: reconnecting; web: reconnecting; radio: [a-z ]+( \d\.\d)?",
            machine.show("StatusText"),
        ),
        seconds=20,
        what="the status of all three",
    )
    assert machine.show("NRestarts") == "0"


def _last(heard, topic):
    return next((each.payload for each in reversed(heard) if each.topic == topic), None)


def _outside(machine, pid):
    """The id, outside of its namespace, of process ``pid`` of the machine."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            ids = re.search(r"^NSpid:\t\d+\t(\d+)$", status.read_text(), re.MULTILINE)
            inside = (status.parent / "ns/pid").readlink()
            same = inside == machine.path("/proc/1/ns/pid").readlink()
        except OSError:
            continue
        if ids and int(ids[1]) == pid and same:
            return int(status.parent.name)
    raise AssertionError(f"no process {pid} in the machine")
