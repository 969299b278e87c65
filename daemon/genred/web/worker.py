"""A process of its own that judges clips of strangers: ``python -m genred.web.worker``.

Whatever a clip does to the decoder, it does it here: to a process that holds no secret, opens no
file, writes none, comes after the daemon when both want the processor, and may be killed.

Spoken over the socket that is standard input, JSON in lines: first the settings; then for each
clip its name, with the open file beside it (``SCM_RIGHTS``). Each is answered by a line on
standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genred.errors import GenredError, InputError
from genred.model.session import load_model
from genred.settings.judgement import JudgementSettings
from genred.sources.files import decode_upload
from genred.tagging import tag_blocks

if TYPE_CHECKING:
    from genred.model.session import Model

LINE_BYTES: Final = 65536
"""The longest line: settings, or a name. Names are cut before they are sent."""

MEMORY_BYTES: Final = 4 << 30
"""Address space: many times what judging takes, less than what a damaged header may ask for."""

FILES: Final = 64
"""Descriptors; some dozen are in use."""

POLITE: Final = 10
"""Niceness: listening goes before judging clips."""


def main() -> int:
    """Serve until the other side has gone."""
    _become_small()
    line = socket.socket(fileno=os.dup(0))
    settings = json.loads(_receive(line)[0])
    try:
        path = settings["model"]
        model = load_model(Path(path) if path else None, provider="cpu", threads=1)
        by = JudgementSettings.model_validate(settings["judgement"])
    except GenredError as error:
        _answer({"failed": str(error)})
        return error.exit_code
    _answer({"ready": model.metadata.name})
    while True:
        request, descriptor = _receive(line)
        if not request:
            return 0
        _answer(_judge(model, by, json.loads(request)["name"], descriptor))


def _judge(model: Model, by: JudgementSettings, name: str, descriptor: int) -> dict[str, Any]:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        try:
            sound = decode_upload(file, name, model.metadata.sample_rate)
            return {"result": tag_blocks(model, name, sound, by).to_dict()}
        except InputError as error:
            return {"refused": str(error)}
        except GenredError as error:
            return {"failed": str(error)}
        except MemoryError:
            return {"refused": f"{name}: too large to be judged"}


def _become_small() -> None:
    # Where the service's sandbox forbids any of it, the service's own limits hold.
    with contextlib.suppress(OSError):
        os.nice(POLITE)
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (limit, limit))


def _receive(line: socket.socket) -> tuple[bytes, int]:
    """One line and the descriptor beside it, -1 without one; empty at the end."""
    data, descriptors, _, _ = socket.recv_fds(line, LINE_BYTES, 1)
    return data, descriptors[0] if descriptors else -1


def _answer(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
