"""Processes that measure, each alone on its core, asked over their standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

from genred.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWER_S: Final = 300.0
"""The longest a single measurement may take: a model compiled by a slow library, a laden machine.
Beyond it the process is ended, rather than waited for all night."""

CLOSE_S: Final = 10.0
"""A process that measures nothing any more ends at once when its input does."""


def clean_environment() -> dict[str, str]:
    """The environment without settings: nothing configured here may get into the figures."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GENRED_")}
    return kept | {"GENRED_CONFIG": os.devnull}


class Worker:
    """One process that answers a line of JSON with a line of JSON.

    ``module`` is run with ``arguments`` under this Python, on ``core`` alone where one is given.
    Raises :class:`InternalError` where it ends, or has not answered after ``patience_s``.
    """

    def __init__(
        self,
        core: int | None = None,
        module: str = "genred.bench",
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
        patience_s: float = ANSWER_S,
    ) -> None:
        self._patience_s = patience_s
        self.name = " ".join((module, *arguments))
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [*prefix, sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=clean_environment(),
        )
        if core is not None:
            self.ask("pin", core=core)

    def send(self, what: str, **how: Any) -> None:
        """Ask without waiting for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"what": what, **how}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def receive(self) -> dict[str, Any]:
        """The answer to what was asked."""
        assert self._process.stdout is not None
        began = time.monotonic()
        guard = threading.Timer(self._patience_s, self._process.kill)
        guard.daemon = True
        guard.start()
        try:
            line = self._process.stdout.readline()
        finally:
            guard.cancel()
        if not line:
            gone = self._gone()
            if time.monotonic() - began >= self._patience_s:
                gone = InternalError(f"{self.name}: no answer within {self._patience_s:.0f} s")
            raise gone
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InternalError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, what: str, **how: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        self.send(what, **how)
        return self.receive()

    def _gone(self) -> InternalError:
        self.close()
        return InternalError(f"{self.name} ended: {self.complaint}")

    def close(self) -> None:
        """End it, and keep the last line of its complaints as :attr:`complaint`."""
        if self._errors.closed:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(CLOSE_S)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.seek(0)
        self.said = self._errors.read()
        self.complaint = (self.said.strip().splitlines() or ["without a word"])[-1]
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask_once(core: int | None, what: str, **how: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    with Worker(core) as worker:
        return worker.ask(what, **how)
