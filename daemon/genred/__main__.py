"""The command ``genred``."""

from __future__ import annotations

import sys

from genred.commands import main

if __name__ == "__main__":
    sys.exit(main())
