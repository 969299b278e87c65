"""A real systemd as PID 1 in namespaces of its own, with genred's own unit in it.

The machine's files are seen through overlays and empty tmpfs, so that nothing the boot writes
outlives it; the network is the machine's, so that a broker outside can be reached. The unit is the
shipped one; a drop-in only shows it the interpreter where that lies in a home.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rigs.ports import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
PROGRAMS = ("unshare", "nsenter", "systemctl", "journalctl", "mount")

ALONE = Path(tempfile.gettempdir(), "genred-systemd.lock")
"""Held while there is a machine: two would take each other's control groups for their own."""

UNSHARE = ("unshare", "--fork", "--pid", "--mount", "--mount-proc", "--uts", "--ipc", "--cgroup")
"""Namespaces for all but the network."""

BOOT_S = 30.0
"""A boot takes about two seconds here; a laden machine needs longer."""

LIFE_S = 170
"""The whole machine ends by itself after this, whatever becomes of the test."""

FRESH = ("tmp", "var/tmp", "run", "var/lib/private", "var/log")
"""Empty inside. systemd clears /tmp when it boots: without this it would be the machine's own."""

OVERLAID = ("etc", "opt", "var/lib")
"""Seen as they are; what is written there stays inside."""

HIDDEN = ("/root", "/home", "/run", "/tmp", "/var/tmp")
"""What the unit, or this rig, hides from the daemon."""


def _needed() -> list[Path]:
    """Where the interpreter, its packages and this project lie."""
    paths = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT.resolve()}
    return sorted(path for path in paths if not any(path != o and o in path.parents for o in paths))


def _hidden() -> list[Path]:
    return [path for path in _needed() if any(Path(top) in path.parents for top in HIDDEN)]


def _start_script(files: dict[str, str], units: list[str]) -> str:
    """Make the machine, put ``files`` (content by path) into it, and become systemd."""
    lines = ["set -e", "mount --make-rprivate /", "mount --make-rshared /"]
    # What lies where a tmpfs will be is carried over it.
    carried = [path for path in _hidden() if any(path.is_relative_to(f"/{f}") for f in FRESH)]
    lines += ["mkdir -p /mnt/genred-rig", "mount -t tmpfs tmpfs /mnt/genred-rig"]
    for index, path in enumerate(carried):
        hold = f"/mnt/genred-rig/carried{index}"
        lines += [f"mkdir {hold}", f"mount --bind {shlex.quote(str(path))} {hold}"]
    for folder in OVERLAID:
        layers = f"/mnt/genred-rig/{folder.replace('/', '-')}"
        layering = f"lowerdir=/{folder},upperdir={layers}/upper,workdir={layers}/work"
        lines += [
            f"mkdir -p {layers}/upper {layers}/work",
            f"mount -t overlay overlay /{folder} -o {layering}",
        ]
    for folder in FRESH:
        lines += [f"mkdir -p /{folder}", f"mount -t tmpfs -o mode=0755 tmpfs /{folder}"]
    lines += ["chmod 1777 /tmp /var/tmp", "chmod 0700 /var/lib/private"]
    for index, path in enumerate(carried):
        where = shlex.quote(str(path))
        lines += [f"mkdir -p {where}", f"mount --bind /mnt/genred-rig/carried{index} {where}"]
    options = f"--system --unit={units[0]} --log-target=null --show-status=0"
    for path, content in files.items():
        where = shlex.quote(path)
        lines += [f"mkdir -p $(dirname {where})", f"printf %s {shlex.quote(content)} > {where}"]
    lines += [
        "chmod 0755 /opt/genred/bin/genred",
        "if [ -d /etc/credstore ]; then chmod -R go= /etc/credstore; fi",
        f'exec env -i container=docker PATH="$PATH" {SYSTEMD} {options}',
    ]
    return "\n".join(lines)


class Machine:
    """One boot. ``files`` are content by path, beside genred's units and command."""

    def __init__(self, files: dict[str, str], units: list[str] | None = None) -> None:
        self.units = units or ["genred.service"]
        content: dict[str, str] = {}
        for unit in ("genred.service", "genred@.service"):
            content[f"/run/systemd/system/{unit}"] = (ROOT / "systemd" / unit).read_text()
        hidden = " ".join(map(str, _hidden()))
        drop_in = f"[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths={hidden}\n" if hidden else ""
        for unit in ("genred.service", "genred@.service"):
            content[f"/run/systemd/system/{unit}.d/interpreter.conf"] = drop_in
        content["/opt/genred/bin/genred"] = (
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m genred "$@"\n'
        )
        self._files = content | files
        self._process: subprocess.Popen | None = None
        self._pid = 0

    def boot(self) -> Machine:
        script = _start_script(self._files, self.units)
        self._process = subprocess.Popen(
            ["timeout", "-k", "2", str(LIFE_S), *UNSHARE, "bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._find, BOOT_S, "a booted systemd")
        return self

    def _find(self) -> bool:
        """The process that is PID 1 inside: the grandchild of `timeout`."""
        if self._process.poll() is not None:
            pytest.fail(f"no boot: {self._process.stdout.read().decode()}")
        child = self._process.pid
        for _ in range(2):
            path = Path(f"/proc/{child}/task/{child}/children")
            children = path.read_text().split() if path.exists() else []
            if not children:
                return False
            child = int(children[0])
        self._pid = child
        try:
            started = Path(f"/proc/{child}/exe").readlink().name == "systemd"
        except OSError:
            return False
        return started and (self.path("/run/systemd/private")).exists()

    def path(self, inside: str) -> Path:
        """A path of the machine, as it is reached from outside."""
        return Path(f"/proc/{self._pid}/root") / inside.lstrip("/")

    def run(self, *command: str, check: bool = False) -> str:
        """Run a command inside; what it prints."""
        result = subprocess.run(
            ["nsenter", "-t", str(self._pid), "-a", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check and result.returncode:
            raise AssertionError(f"{command}: {result.stdout}{result.stderr}")
        return result.stdout

    def systemctl(self, *arguments: str) -> str:
        return self.run("systemctl", *arguments, check=True)

    def show(self, name: str, unit: str | None = None) -> str:
        """A property of the unit."""
        return self.run(
            "systemctl", "show", "-p", name, "--value", unit or self.units[0], check=True
        ).strip()

    def wait(self, name: str, value: str, seconds: float = BOOT_S, unit: str | None = None) -> None:
        """Wait until a property has a value."""
        until = time.monotonic() + seconds
        while (found := self.show(name, unit)) != value:
            if time.monotonic() > until:
                raise AssertionError(f"{name} is {found!r}, not {value!r}\n{self.journal()}")
            time.sleep(0.1)

    def main_pid(self) -> int:
        return int(self.show("MainPID"))

    def journal(self, *options: str) -> str:
        """What the unit's processes and systemd have said of it."""
        return self.run("journalctl", "-u", self.units[0], "--no-pager", "-o", "cat", *options)

    def wait_for_line(self, text: str, seconds: float = BOOT_S) -> str:
        """The journal as soon as ``text`` stands in it."""
        until = time.monotonic() + seconds
        while text not in (journal := self.journal()):
            if time.monotonic() > until:
                raise AssertionError(f"no {text!r} in\n{journal}")
            time.sleep(0.2)
        return journal

    def close(self) -> None:
        if self._process is None:
            return
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)  # PID 1 takes its whole namespace along
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process.stdout.close()


@cache
def why_not() -> str:
    """Why there can be no such machine here; empty if there can."""
    if os.geteuid() != 0:
        return "namespaces and mounts need root"
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    if missing or not SYSTEMD.exists():
        return f"not installed: {', '.join(missing) or 'systemd'}"
    trial = "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt"
    can = subprocess.run(
        [*UNSHARE, "sh", "-c", trial],
        capture_output=True,
        check=False,
        timeout=20,
    )
    return "" if can.returncode == 0 else f"no namespaces: {can.stderr.decode().strip()[:100]}"


@pytest.fixture
def make_machine() -> Iterator[object]:
    """Makes machines that end with the test; skips it where there can be none."""
    if reason := why_not():
        pytest.skip(reason)
    made: list[Machine] = []

    def make(files: dict[str, str], units: list[str] | None = None) -> Machine:
        made.append(Machine(files, units))
        return made[-1].boot()

    with ALONE.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield make
        finally:
            for each in made:
                each.close()
