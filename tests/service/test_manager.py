"""sd_notify(3), spoken to a real datagram socket."""

from __future__ import annotations

import logging
import os
import socket
import uuid

import pytest

from genred.service.fake import FakeManager
from genred.service.manager import NoManager, Systemd, from_environment


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path):
    """A socket that hears what is told, and its address as systemd writes it."""
    name = f"@genred-{uuid.uuid4()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name.replace("@", "\0", 1) if name[0] == "@" else name)
        heard.settimeout(5)
        yield heard, name


def test_every_word_is_one_datagram(listener):
    heard, address = listener
    manager = from_environment({"NOTIFY_SOCKET": address})
    assert manager.present
    for tell, said in (
        (manager.ready, ["READY=1"]),
        (manager.stopping, ["STOPPING=1"]),
        (manager.watchdog, ["WATCHDOG=1"]),
        (lambda: manager.extend(1.5), ["EXTEND_TIMEOUT_USEC=1500000"]),
        (lambda: manager.status("radio: jazz 0.8"), ["STATUS=radio: jazz 0.8"]),
    ):
        tell()
        assert heard.recv(4096).decode().split("\n") == said
    manager.reloading()
    first, second = heard.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert int(second.partition("=")[2]) > 0
    manager.close()


def test_a_title_cannot_forge_a_word(listener):
    heard, address = listener
    manager = Systemd(address)
    manager.status("web: jazz\nWATCHDOG=1\nMAINPID=1 \x1b[31m" + "x" * 9000)
    told = heard.recv(65536).decode()
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 600
    manager.close()


def test_without_a_manager_nothing_is_sent():
    manager = from_environment({})
    assert isinstance(manager, NoManager)
    assert not manager.present
    manager.ready()
    manager.status("nobody hears this")


def test_a_manager_that_has_gone_is_told_of_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    manager = from_environment({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    manager.ready()
    manager.watchdog()
    manager.close()
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_period(environ, seconds, tmp_path):
    manager = from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify"), **environ})
    assert manager.watchdog_s == seconds
    manager.close()


def test_an_address_of_another_kind_is_left_alone(caplog):
    assert isinstance(from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}), NoManager)
    assert "NOTIFY_SOCKET" in caplog.text


def test_the_fake_keeps_what_it_is_told():
    manager = FakeManager()
    manager.reloading()
    manager.ready()
    manager.status("on")
    assert manager.values("READY") == ["1"]
    assert manager.values("STATUS") == ["on"]
    assert len(manager.told) == 3
