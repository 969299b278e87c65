"""The command ``genred``."""

from __future__ import annotations

import signal
import sys

# Ctrl-C while Python still imports ends the process at once, and without a traceback.
_handler = signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run one command; returns its exit code."""
    from genred.commands import main as run  # noqa: PLC0415 - heavy, see above

    # By now somebody catches it.
    signal.signal(signal.SIGINT, _handler)
    return run()


if __name__ == "__main__":
    sys.exit(main())
