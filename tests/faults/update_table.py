"""Injects every fault, and writes what was measured into docs/faults.md.

python tests/faults/update_table.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
BLOCK = re.compile(r"(<!-- rows: [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "tests/faults"],
            cwd=ROOT,
            env={**os.environ, "GENRED_FAULTS_OUT": str(out)},
            check=False,
        )
        if done.returncode:
            return done.returncode
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    lines = ["| fault | what is seen | back after | what is lost |", "|---|---|---|---|"]
    for row in rows:
        after = row["recovered_s"]
        back = "-" if after is None else f"{after:.1f} s"
        lines.append(f"| {row['fault']} | {row['seen']} | {back} | {row['lost']} |")
    table = "\n".join(lines)
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + table + "\n" + found[2], PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
