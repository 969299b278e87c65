"""What all tests share: the rigs with real counterparts."""

from __future__ import annotations

from pathlib import Path

pytest_plugins = [
    f"rigs.{file.stem}"
    for file in sorted((Path(__file__).parent / "rigs").glob("*.py"))
    if file.stem not in {"__init__", "ports", "proxy"}  # helpers of the rigs hold no fixtures
]
