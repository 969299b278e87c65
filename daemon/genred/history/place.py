"""Where the history lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genred.settings.history import HistorySettings

NAME: Final = "history.sqlite3"
"""The file's name in the folder of states."""

SERVICE: Final = Path("/var/lib/genred")
"""The service's folder of states, as its unit has it."""


def written_to(settings: HistorySettings, environ: Mapping[str, str]) -> Path | None:
    """The file that a daemon with these settings writes; None if it keeps no history.

    ``auto`` keeps one where a path is given or systemd gives a folder for it
    (``$STATE_DIRECTORY``): whoever only tries genred out finds no files of it afterwards.
    """
    if settings.enabled == "off":
        return None
    if settings.path is not None:
        return settings.path
    state = _state_directory(environ)
    if state is not None:
        return state / NAME
    return _of_the_user(environ) if settings.enabled == "on" else None


def looked_for(settings: HistorySettings, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a reader looks when no file is named, in this order."""
    if settings.path is not None:
        return (settings.path,)
    places = [_of_the_user(environ), SERVICE / NAME]
    state = _state_directory(environ)
    if state is not None:
        places.insert(0, state / NAME)
    return tuple(places)


def _state_directory(environ: Mapping[str, str]) -> Path | None:
    # systemd separates several by colons; the first is genred's own.
    first = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(first) if first else None


def _of_the_user(environ: Mapping[str, str]) -> Path:
    """By the XDG base directory specification; a relative ``$XDG_STATE_HOME`` does not count."""
    xdg = Path(environ.get("XDG_STATE_HOME", ""))
    home = Path(environ.get("HOME") or "/", ".local", "state")
    return (xdg if xdg.is_absolute() else home) / "genred" / NAME
