"""What all tests share: the rigs with real counterparts."""

from __future__ import annotations

pytest_plugins = ["rigs.pulse", "rigs.icecast", "rigs.mosquitto"]
