"""A cluster of three Ray nodes on this machine, one of which is killed while a collection is heard.

    python tests/archive/three_nodes.py

It takes about half a minute and three times the memory of one node, so that it is no part of the
suite. It ends with 0 if each file has exactly one row.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import shelf_data

from rigs import tiny_model

FILES = 60
STORE = 80 * 2**20


def main() -> int:
    """Build, disturb, look."""
    with tempfile.TemporaryDirectory(prefix="g-", dir="/tmp") as folder:
        # Ray keeps the address of its last cluster here, and everything else.
        os.environ["RAY_TMPDIR"] = folder
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        Path(folder, "ray").mkdir()
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
            return disturb(Path(folder), cluster, nodes[1])
        finally:
            cluster.shutdown()


def disturb(folder: Path, cluster, victim) -> int:
    """Kill a node as soon as a few files are done; 0 if all is well all the same."""
    music = folder / "music"
    music.mkdir()
    for number in range(FILES):
        shelf_data.steady(music / f"{number:02}.wav", 0.4)
    model, out = tiny_model.write(folder / "tiny.onnx"), folder / "out.jsonl"
    command = [sys.executable, "-m", "genred", "tag", music, "--model", model, "--out", out]
    journal = folder / "out.jsonl.journal"
    environ = os.environ | {"RAY_ADDRESS": cluster.address}
    done = 0
    with subprocess.Popen([*command, "--engine", "ray"], env=environ) as process:
        while process.poll() is None and done < 3:
            done = journal.read_bytes().count(b"\n") if journal.exists() else 0
            time.sleep(0.01)
        cluster.remove_node(victim, allow_graceful=False)
    rows = [json.loads(line)["path"] for line in out.read_text().splitlines()]
    right = rows == sorted(map(str, music.iterdir()))
    print(f"a node killed after {done} of {FILES} files; rows right: {right}")
    return 0 if right and process.returncode == 0 and done < FILES else 1


if __name__ == "__main__":
    sys.exit(main())
