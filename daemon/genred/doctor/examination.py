"""The whole examination, in the order in which one thing depends on another."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from genred.doctor import hearing, machine
from genred.doctor.findings import Finding
from genred.errors import AccessError, GenredError
from genred.settings.doubts import doubts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from genred.clock import Clock
    from genred.model.session import Model
    from genred.settings.load import Loaded

SYSTEM_FOLDER = Path("/etc/genred")
"""What lies here is read by the service, under a user that owns nothing."""


def examine(
    load: Callable[[], Loaded], environ: Mapping[str, str], clock: Clock, *, listen: bool
) -> Iterator[Finding]:
    """Look at everything; what cannot be looked at because something else is wrong is left out.

    ``listen`` opens every feed for a moment.
    """
    try:
        loaded = load()
    except GenredError as error:
        yield Finding.fault("configuration", error)
        yield machine.clock(clock)
        yield from machine.sound(())
        return
    settings = loaded.settings
    yield from _configuration(loaded, environ)
    yield machine.clock(clock)
    yield machine.limits(len(settings.feeds))
    yield from machine.sound(settings.feeds)
    model = None
    try:
        model = _load_model(loaded)
        yield hearing.model_speed(model, max(1, len(settings.feeds)))
    except GenredError as error:
        yield Finding.fault("model", error)
    yield hearing.broker(settings, environ)
    if listen and model is not None:
        yield from hearing.feeds(settings, model.metadata.sample_rate, clock)


def _load_model(loaded: Loaded) -> Model:
    from genred.model.session import load_model  # noqa: PLC0415 - onnxruntime takes its time

    settings = loaded.settings
    return load_model(
        settings.model.path,
        provider=settings.model.provider,
        threads=settings.model.threads,
        feeds=max(1, len(settings.feeds)),
    )


def _configuration(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[Finding]:
    path, about = loaded.path, "configuration"
    if path is None:
        yield Finding.doubt(
            about, "no file: all is as by default", "name one with --config, or write it"
        )
    elif error := _closed_to_the_service(path):
        yield Finding.fault(about, error)
    else:
        yield Finding.ok(about, f"{path}, {len(loaded.settings.feeds)} feed(s)")
    for doubt in doubts(loaded, environ):
        yield Finding.doubt(about, doubt)


def _closed_to_the_service(path: Path) -> AccessError | None:
    """The unit runs as a user that owns no file: what is not open to all is closed to it."""
    if not path.absolute().is_relative_to(SYSTEM_FOLDER):
        return None
    for each in (path, *path.parents):
        try:
            mode = each.stat().st_mode
        except OSError:
            return None
        needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
        if not mode & needed:
            return AccessError(
                f"{each} is closed to the service's user",
                f"chmod o+{'x' if stat.S_ISDIR(mode) else 'r'} {each}; passwords belong into"
                " /etc/credstore",
            )
    return None
