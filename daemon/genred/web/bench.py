"""The one who judges clips: keeps a worker process while clips come, one clip at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from genred import frugal
from genred.web.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO

    from genred.settings.judgement import JudgementSettings

log = logging.getLogger("genred.web")

START_S: Final = 60.0
"""For the worker to be imported and its model loaded: a second, on a machine that is not laden."""

IDLE_S: Final = 60.0
"""A worker that has had nothing to do for so long is ended: it holds some 100 MB."""

ANSWER_BYTES: Final = 64 << 20
"""The longest answer: a day of changing labels has some thousand segments of 100 bytes."""

NAME_CHARACTERS: Final = 200
"""More of a clip's name is not kept."""

KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
"""What of the environment a worker gets: no secret is among it."""


class _GoneError(Exception):
    """The worker has ended without an answer."""


class Bench:
    """Judges one clip after the other; for the loop's thread alone."""

    def __init__(self, model: Path | None, judgement: JudgementSettings, seconds: float) -> None:
        self._greeting = {
            "model": str(model) if model is not None else None,
            # What was not set stays open: the model may recommend something.
            "judgement": judgement.model_dump(mode="json", exclude_unset=True),
        }
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._worker: asyncio.subprocess.Process | None = None
        self._line: socket.socket | None = None
        self._model = ""
        self._idle: asyncio.TimerHandle | None = None

    async def judge(self, name: str, file: IO[bytes]) -> dict[str, Any]:
        """What is in an open file; waits for its turn.

        Raises :class:`Problem` where it is not audio, takes too long or cannot be judged.
        """
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            try:
                answer = await self._judged(name, file)
            except BaseException:
                # Also when the client has gone and this is cancelled: its clip is nobody's now.
                self._dismiss()
                raise
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._dismiss)
        if "refused" in answer:
            raise Problem(422, "clip", answer["refused"])
        if "failed" in answer:
            raise Problem(500, "fault", answer["failed"])
        result: dict[str, Any] = answer["result"]
        return result | {"model": self._model}

    async def _judged(self, name: str, file: IO[bytes]) -> dict[str, Any]:
        if not await self._hire():
            try:
                return await self._ask(name, file)
            except _GoneError:
                # It may have died before: that is not this clip's fault, which gets another.
                self._dismiss()
                await self._hire()
        try:
            return await self._ask(name, file)
        except _GoneError:
            raise Problem(422, "clip", "the decoder does not survive this clip") from None

    async def _ask(self, name: str, file: IO[bytes]) -> dict[str, Any]:
        assert self._line is not None
        asked = json.dumps({"name": name[:NAME_CHARACTERS]}).encode()
        try:
            socket.send_fds(self._line, [asked], [file.fileno()])
            return await self._answer(self._seconds)
        except TimeoutError:
            raise Problem(
                422, "long", f"not judged within {self._seconds:g} s; upload a part of it"
            ) from None
        except (BrokenPipeError, ConnectionResetError):
            raise _GoneError from None

    async def _hire(self) -> bool:
        """Have a worker that is ready; tells whether it is a new one."""
        if self._worker is not None and self._worker.returncode is None:
            return False
        self._dismiss()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line = ours
        with theirs:
            self._worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "genred.web.worker"),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=ANSWER_BYTES,
                env=_without_secrets(os.environ),
            )
        try:
            ours.send(json.dumps(self._greeting).encode())
            greeting = await self._answer(START_S)
        except TimeoutError:
            greeting = {"failed": f"not ready within {START_S:.0f} s"}
        except (_GoneError, OSError):
            greeting = {"failed": "the process ends before it is ready"}
        if "ready" not in greeting:
            log.error("clips cannot be judged: %s", greeting.get("failed"))
            raise Problem(503, "worker", "clips cannot be judged now; the log says why")
        self._model = greeting["ready"]
        return True

    async def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._worker is not None
        assert self._worker.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                text = await self._worker.stdout.readline()
        except ValueError:  # longer than ANSWER_BYTES
            text = b""
        if not text:
            raise _GoneError
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _dismiss(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._worker is not None and self._worker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.kill()
        self._worker = None

    async def close(self) -> None:
        """End the worker."""
        if self._idle is not None:
            self._idle.cancel()
        worker = self._worker
        self._dismiss()
        if worker is not None:
            await worker.wait()


def _without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environ[name] for name in KEPT_VARIABLES if name in environ}
    return frugal.ENVIRONMENT | kept
