"""A service manager for tests, and for whoever embeds the daemon: keeps all it is told."""

from __future__ import annotations

from genred.service.manager import ServiceManager


class FakeManager(ServiceManager):
    """Keeps every datagram, in order, as the lines it held."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self.told: list[tuple[str, ...]] = []

    def send(self, *lines: str) -> None:
        """Remember."""
        self.told.append(lines)

    def values(self, name: str) -> list[str]:
        """All values that ``name`` was given, in order."""
        pairs = (line.partition("=") for lines in self.told for line in lines)
        return [value for key, _, value in pairs if key == name]
