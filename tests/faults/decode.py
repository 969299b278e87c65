"""Decodes each file it is given, as the daemon would: ``decode.py FILE...``, a sound one first.

In a process of its own, so that a crash of a decoder is seen as one. Prints a line of JSON: files
that were decoded and refused, and by how many bytes its memory grew at most.
"""

from __future__ import annotations

import json
import logging
import resource
import sys

import numpy as np

from genred.errors import GenredError
from genred.sources.files import decode

MOST_SAMPLES = 16_000 * 60
"""No file here holds more than some seconds; a decoder that makes up an hour is stopped."""


def main() -> int:
    logging.disable(logging.CRITICAL)
    result = {"decoded": 0, "refused": 0, "not_finite": 0}
    list(decode(sys.argv[1], 16_000))  # loads what is loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sys.argv[1:]:
        count = 0
        try:
            for block in decode(path, 16_000):
                count += len(block)
                result["not_finite"] += not np.isfinite(block).all()
                if count > MOST_SAMPLES:
                    break
        except GenredError as error:
            result["refused"] += "\n" not in str(error)
        else:
            result["decoded"] += 1
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**result, "grown_mb": (after - before) / 1024}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
