"""A real Home Assistant without a head, in an environment of its own (``make ha-env``)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rigs.ports import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-ha" / "bin" / "python"
COMPLETE = ROOT / ".venv-ha" / ".complete"
SERVER = ROOT / "tests" / "homeassistant" / "server.py"

SEE_S = 30.0
"""How long something may take to be seen: a second as a rule, a reconnection at worst."""
END_S = 60.0
"""It ends within two seconds; a laden machine may need much longer."""


class HomeAssistant:
    """One installation: its folder outlives the process, as at home.

    ``automations`` are what stands in its ``automations.yaml``.
    """

    def __init__(self, folder: Path, mqtt_port: int, automations: str = "[]") -> None:
        self._folder = folder
        self._mqtt_port = mqtt_port
        self._process: subprocess.Popen | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "automations.yaml").write_text(automations)

    def start(self) -> HomeAssistant:
        ports = [str(free_port()), str(self._mqtt_port)]
        with (self._folder / "said").open("a") as said:
            self._process = subprocess.Popen(
                [PYTHON, SERVER, self._folder, *ports],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        assert self._process.stdout.readline() == "ready\n", self.log
        return self

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        finally:
            self._process.kill()
            self._process.stdout.close()
            self._process = None

    @property
    def log(self) -> str:
        """What it has logged in all its lives, from warnings on."""
        return (self._folder / "said").read_text()

    def look(self) -> dict[str, Any]:
        """All states by entity id; of the integration mqtt, the entities by unique id and the
        devices by name."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def state(self, entity: str) -> str | None:
        """An entity's state; None if there is none such."""
        return self.look()["states"].get(entity, {}).get("state")

    def wait(self, true: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """The first look of which it is true."""
        seen: dict[str, Any] = {}

        def look() -> bool:
            seen.update(self.look())
            return bool(true(seen["states"]))

        try:
            wait_until(look, SEE_S, what)
        except AssertionError as error:
            own = {key: state for key, state in seen["states"].items() if "genred" in key}
            raise AssertionError(f"{error}; it shows {json.dumps(own, indent=1)}") from None
        return seen


def needed() -> None:
    """Skip where it is not installed."""
    if not COMPLETE.exists():
        pytest.skip("Home Assistant is not installed: make ha-env")
