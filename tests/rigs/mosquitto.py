"""A real mosquitto on a free loopback port, and mosquitto_sub as the independent client.

``Mosquitto`` can be stopped and started again on the same port, with its retained messages or
without; ``Listener`` is a running ``mosquitto_sub`` whose lines become :class:`Heard`.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from rigs.ports import free_port, listens, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_S = 10.0
"""mosquitto listens within milliseconds; on a laden machine it may take a while."""

HEAR_S = 15.0
"""How long a listener waits for what should come: a reconnection may lie in between."""

FIELD = "\x1f"
"""Between the fields of a line of mosquitto_sub; in no topic or payload here."""


@dataclass(frozen=True)
class Heard:
    """One message as the broker handed it on."""

    topic: str
    payload: str
    qos: int
    retained: bool
    at: float
    """``time.monotonic()`` when its line was read."""

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.payload)


class Listener:
    """A running ``mosquitto_sub``. Its messages so far are in :attr:`heard`."""

    def __init__(self, port: int, *topics: str, options: tuple[str, ...] = ()) -> None:
        wanted = [word for topic in topics for word in ("-t", topic)]
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-q", "1", *wanted]
        form = f"%t{FIELD}%q{FIELD}%r{FIELD}%p"
        self._process = subprocess.Popen(
            [*command, "-F", form, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.heard: list[Heard] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            topic, qos, retained, payload = line.rstrip("\n").split(FIELD, 3)
            with self._news:
                heard = Heard(topic, payload, int(qos), retained == "1", time.monotonic())
                self.heard.append(heard)
                self._news.notify_all()

    def wait(self, enough: Callable[[list[Heard]], Any], seconds: float = HEAR_S) -> list[Heard]:
        """Everything heard, as soon as ``enough`` is true of it; fails when it never is."""
        with self._news:
            if not self._news.wait_for(lambda: enough(self.heard), seconds):
                shown = "\n".join(f"{each.topic} {each.payload[:100]}" for each in self.heard)
                pytest.fail(f"not heard within {seconds} s; heard were:\n{shown}")
            return list(self.heard)

    def wait_for(self, topic: str, payload: str | None = None, seconds: float = HEAR_S) -> Heard:
        """The first message on ``topic`` (with ``payload``, if given)."""

        def right(each: Heard) -> bool:
            return each.topic == topic and payload in (None, each.payload)

        return next(filter(right, self.wait(lambda all_: any(map(right, all_)), seconds)))

    def on(self, topic: str) -> list[Heard]:
        with self._news:
            return [each for each in self.heard if each.topic == topic]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(5)
        self._thread.join(5)
        self._process.stdout.close()
        self._process.stderr.close()


class Mosquitto:
    """One broker. ``lines`` are added to its configuration."""

    def __init__(
        self,
        directory: Path,
        lines: tuple[str, ...] = (),
        *,
        port: int | None = None,
        users: dict[str, str] | None = None,
        persistent: bool = False,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = port or free_port()
        self.persistent = persistent
        self._process: subprocess.Popen | None = None
        self._listeners: list[Listener] = []
        text = [
            f"listener {self.port} 127.0.0.1",
            "user root",
            f"log_dest file {directory / 'log'}",
            "log_type all",
            "sys_interval 0",
        ]
        if users is None:
            text.append("allow_anonymous true")
        else:
            passwords = directory / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                subprocess.run(
                    ["mosquitto_passwd", "-b", str(passwords), name, password], check=True
                )
            text += ["allow_anonymous false", f"password_file {passwords}"]
        if persistent:
            text += ["persistence true", f"persistence_location {directory}/"]
        (directory / "mosquitto.conf").write_text("\n".join([*text, *lines]) + "\n")

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self.directory / "mosquitto.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: listens(self.port), START_S, "mosquitto")
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        """End it without a word to anybody."""
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """Keep the connections and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def listen(self, *topics: str, options: tuple[str, ...] = ()) -> Listener:
        """A listener that has subscribed already, and is closed with the broker."""
        before = self.log.count("Sending SUBACK")
        listener = Listener(self.port, *topics, options=options)
        self._listeners.append(listener)
        wait_until(lambda: self.log.count("Sending SUBACK") > before, START_S, "a subscription")
        return listener

    def listen_as(self, user: str, password: str, *topics: str) -> Listener:
        """As :meth:`listen`, after the broker has read its files anew."""
        self._process.send_signal(signal.SIGHUP)
        return self.listen(*topics, options=("-u", user, "-P", password))

    def retained(self, *topics: str, options: tuple[str, ...] = ()) -> dict[str, str]:
        """What a late subscriber is told at once: payload by topic."""
        listener = Listener(self.port, *topics, options=("--retained-only", *options))
        try:
            # Without an end marker in the protocol: half a second without news is the end.
            count = -1
            while count != len(listener.heard):
                count = len(listener.heard)
                time.sleep(0.5)
            return {each.topic: each.payload for each in listener.heard}
        finally:
            listener.close()

    def publish(self, topic: str, payload: str, *options: str) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "-q", "1"]
        command = ["mosquitto_pub", *where, "-m", payload, *options]
        subprocess.run(command, check=True, timeout=10)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self.stop()


@pytest.fixture
def make_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Makes brokers (not started yet) that end with the test."""
    for program in ("mosquitto", "mosquitto_sub", "mosquitto_pub", "mosquitto_passwd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    made: list[Mosquitto] = []

    def make(*lines: str, **how: Any) -> Mosquitto:
        made.append(Mosquitto(tmp_path / f"mosquitto{len(made)}", lines, **how))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker that lets everyone in."""
    return make_mosquitto().start()
