"""``python -m genred_train.peers NAME --model MODEL``: one peer, asked in lines of JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genred.errors import GenredError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

PEERS = ("yamnet", "plain", "librosa_mel")

# Windows decided on before the first that counts: what is compiled or allocated once.
_WARM_UP = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer each line on standard input with one on standard output, until the first ends."""
    parser = argparse.ArgumentParser(prog="python -m genred_train.peers", description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--teacher", type=Path)
    args = parser.parse_args(arguments)
    answers, sys.stdout = sys.stdout, sys.stderr
    peer = _Peer(args.peer, args.model, args.teacher)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = getattr(peer, asked.pop("what"))(**asked)
        except GenredError as error:
            answer = {"unavailable": str(error)}
        except Exception as error:  # noqa: BLE001 - told to whoever asked, as one line
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


class _Peer:
    """What may be asked of a peer."""

    def __init__(self, name: str, model: Path, teacher: Path | None) -> None:
        self._name, self._model, self._teacher = name, model, teacher
        self._decide: Callable[[NDArray[np.float32]], Any] | None = None

    def pin(self, core: int) -> dict[str, Any]:
        """Keep to one core; before anything is imported that counts them."""
        os.sched_setaffinity(0, {core})
        return {}

    def build(self) -> dict[str, Any]:
        """Load everything."""
        from genred.model.session import load_model
        from genred_train.peers.job import Job

        self._metadata = load_model(self._model).metadata
        module = importlib.import_module(f"genred_train.peers.{self._name}")
        self._decide = module.build(Job(self._metadata, self._teacher))
        return {}

    def hear(self, audio: str, seconds: float) -> dict[str, Any]:
        """Decide on every window that ends in ``seconds`` of ``audio``; what that cost."""
        import numpy as np

        assert self._decide is not None
        heard = np.load(audio)
        window, hop = self._metadata.window, self._metadata.hop
        ends = range(window, len(heard) + 1, hop)
        for end in ends[:_WARM_UP]:
            self._decide(heard[end - window : end])
        wanted = round(seconds * self._metadata.decisions_per_second)
        began = time.process_time()
        for number in range(wanted):
            end = ends[number % len(ends)]
            self._decide(heard[end - window : end])
        return {"cpu_ms": (time.process_time() - began) * 1000 / seconds, "decisions": wanted}


if __name__ == "__main__":
    sys.exit(main())
