"""The whole daemon with a service manager that is only a socket: what it is told, and when."""

from __future__ import annotations

import signal
import socket
import time
import uuid

import pytest


@pytest.fixture
def manager():
    """Hears datagrams on an abstract socket."""
    name = f"genred-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        heard.settimeout(30)
        yield heard, f"@{name}"


def wait_for(heard, wanted, told):
    """Everything up to a datagram that begins with ``wanted``."""
    while True:
        told.append(heard.recv(4096).decode())
        if told[-1].startswith(wanted):
            return told[-1]


def test_from_start_to_stop(genred, manager, tmp_path):
    heard, address = manager
    config = tmp_path / "genred.toml"
    config.write_text('[[feeds]]\nid = "radio"\nsource = "station:3"\n')
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "900000"}
    running = genred.start("run", "--plain", "--config", config, **environ)
    told = []
    wait_for(heard, "EXTEND_TIMEOUT_USEC=", told)
    wait_for(heard, "STATUS=loading the model", told)
    wait_for(heard, "READY=1", told)
    assert not any(each.startswith("WATCHDOG") for each in told)
    wait_for(heard, "STATUS=radio: ", told)
    began = time.monotonic()
    for _ in range(6):
        wait_for(heard, "WATCHDOG=1", told)
    assert time.monotonic() - began > 1.0  # three a period, not as fast as it goes

    running.process.send_signal(signal.SIGHUP)
    assert "\nMONOTONIC_USEC=" in wait_for(heard, "RELOADING=1", told)
    wait_for(heard, "READY=1", told)
    assert running.end(signal.SIGTERM) == 0
    wait_for(heard, "STOPPING=1", told)


def test_what_is_wrong_is_the_last_status(genred, manager, tmp_path):
    heard, address = manager
    config = tmp_path / "genred.toml"
    config.write_text("")
    result = genred("run", "--plain", "--config", config, NOTIFY_SOCKET=address)
    assert result.returncode == 78
    assert "no feeds are configured" in result.stderr
    assert "no feeds are configured" in wait_for(heard, "STATUS=", [])
    wait_for(heard, "STOPPING=1", [])


def test_the_same_without_a_manager_plays_the_station(genred, tmp_path):
    config = tmp_path / "genred.toml"
    config.write_text('[broker]\nembedded = "off"\n')
    result = genred("run", "--plain", "--config", config, "--duration", "2")
    assert result.returncode == 0, result.stderr
    assert "station source listening" in result.stdout
