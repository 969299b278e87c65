"""Where the local socket lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genred.settings.dashboard import DashboardSettings

NAME: Final = "watch.sock"
"""The socket's name in the service's runtime directory."""

RUNTIME: Final = Path("/run/genred")
"""The service's runtime directory; those of its instances lie within."""


def socket_path(settings: DashboardSettings, environ: Mapping[str, str]) -> Path | None:
    """Where a daemon with these settings can be watched; None if nowhere."""
    if not settings.watch:
        return None
    return settings.socket or _of_the_service(environ)


def sockets(settings: DashboardSettings, environ: Mapping[str, str]) -> list[Path]:
    """Where daemons of this machine can be watched: as configured, or the services'."""
    found = socket_path(settings, environ)
    if found is not None:
        return [found]
    try:
        return sorted([*RUNTIME.glob(NAME), *RUNTIME.glob(f"*/{NAME}")])
    except OSError:
        return []


def _of_the_service(environ: Mapping[str, str]) -> Path | None:
    # systemd separates several by colons; the first is genred's own.
    first = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(first) / NAME if first else None
