"""``python -m genred.bench``: the process that measures; asked and answered in lines of JSON.

What a measurement imports is imported when it is asked for, so that a process which measures
memory holds nothing else, and the core is chosen before numpy counts the cores.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any, Final

from genred import frugal

MEASUREMENTS: Final = {
    "load": ("genred.bench.load", "load_on"),
    "memory": ("genred.bench.memory", "resident"),
    "tag": ("genred.bench.files", "throughput"),
    "parts": ("genred.bench.parts", "parts"),
    "yardsticks": ("genred.bench.calibrate", "yardsticks"),
    "batches": ("genred.bench.batches", "batches"),
}
"""What can be asked for, beside "pin": a function that returns what goes into the answer."""


def main() -> int:
    """Answer each line on standard input with one on standard output, until the first ends."""
    frugal.begin()
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = _answer(asked.pop("what"), **asked)
        except Exception as error:  # noqa: BLE001 - told to whoever asked, as one line
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def _answer(what: str, **how: Any) -> dict[str, Any]:
    if what == "pin":
        os.sched_setaffinity(0, {how["core"]})
        return {}
    module, function = MEASUREMENTS[what]
    answer: dict[str, Any] = getattr(import_module(module), function)(**how)
    return answer


if __name__ == "__main__":
    sys.exit(main())
