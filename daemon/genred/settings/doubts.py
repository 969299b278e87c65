"""What is allowed in a configuration, but probably not meant."""

from __future__ import annotations

import ipaddress
import stat
from typing import TYPE_CHECKING

from genred.settings.faults import Kind
from genred.settings.feeds import source_path
from genred.settings.fields import keys
from genred.settings.load import SEPARATOR, variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from genred.settings.feeds import FeedSettings
    from genred.settings.judgement import JudgementSettings
    from genred.settings.load import Loaded
    from genred.settings.mqtt import MqttSettings
    from genred.settings.web import WebSettings

_SECRET = {"password_file", "key_file"}


def doubts(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[str]:
    """One line for each doubtful thing: key or file, what is doubtful, what to do."""
    settings = loaded.settings
    yield from _mqtt(settings.mqtt, loaded)
    yield from _web(settings.web)
    if settings.node.shard and loaded.origin(("node", "name")).kind is Kind.FILE:
        yield "node.name: nodes that share this file would all be called so; leave it out"
    path = settings.model.path
    if path is not None and not _exists(path):
        yield f"model.path: {path} is not there"
    if not settings.feeds:
        yield "feeds: none, so `genred run` plays the synthesised station unless --source is given"
    yield from _feeds(settings.feeds)
    yield from _judgement("judgement", settings.judgement)
    for index, feed in enumerate(settings.feeds):
        if feed.judgement.model_fields_set:
            yield from _judgement(f"feeds.{index}.judgement", settings.judgement_for(feed))
    yield from _environment(environ)


def _judgement(name: str, judgement: JudgementSettings) -> Iterator[str]:
    if judgement.dead_air_after_s < judgement.silence_after_s:
        yield f"{name}: dead air is told before silence; raise dead_air_after_s"


def _mqtt(mqtt: MqttSettings, loaded: Loaded) -> Iterator[str]:
    if mqtt.url_password is not None:
        where = loaded.origin(("mqtt", "url"))
        yield f"mqtt.url ({where}): holds a password; move it to a file and set password_file"
        if loaded.path is not None and _readable_by_others(loaded.path):
            yield f"{loaded.path}: others may read it, and with it the password; chmod 600"
    for name in ("password_file", "ca_file", "cert_file", "key_file"):
        path: Path | None = getattr(mqtt, name)
        if path is not None and not _exists(path):
            yield f"mqtt.{name}: {path} is not there, or may not be seen"
        elif path is not None and name in _SECRET and _readable_by_others(path):
            yield f"mqtt.{name}: others may read {path}; chmod 600"
    if mqtt.discovery != "off" and mqtt.base_topic == mqtt.discovery_prefix:
        yield "mqtt.base_topic: is Home Assistant's discovery prefix too; choose another"
    yield from _encryption(mqtt)


def _encryption(mqtt: MqttSettings) -> Iterator[str]:
    address = mqtt.address
    certificates = mqtt.ca_file or mqtt.cert_file
    if address is None:
        if certificates or mqtt.password_file or mqtt.user:
            yield "mqtt.url: not set, so nothing is published, for all that [mqtt] says"
    elif not address.tls and certificates:
        yield "mqtt.url: certificates are given, but mqtt:// does not use them; write mqtts://"
    elif not address.tls and mqtt.user and not _is_here(address.host):
        yield f"mqtt.url: {address} carries user and password in the clear; write mqtts://"


def _web(web: WebSettings) -> Iterator[str]:
    path = web.token_file
    if path is not None and not _exists(path):
        yield f"web.token_file: {path} is not there, or may not be seen"
    elif path is not None and _readable_by_others(path):
        yield f"web.token_file: others may read {path}; chmod 600"
    if web.enabled and not web.here_alone:
        if path is None:
            yield (
                f"web.host: {web.host} can be reached by others; "
                "without a token in web.token_file or a credential it is refused"
            )
        yield "web.host: HTTP carries the token in the clear; a reverse proxy with TLS would not"
    elif not web.enabled and web.model_fields_set:
        yield "web.enabled: false, so nothing is served, for all that [web] says"


def _feeds(feeds: tuple[FeedSettings, ...]) -> Iterator[str]:
    ids: dict[str, str] = {}
    sources: dict[str, str] = {}
    for index, feed in enumerate(feeds):
        path = source_path(feed.source)
        if path is not None and not _exists(path):
            yield f"feeds.{index}.source: {path} is not there"
        other = ids.setdefault(feed.id.lower(), feed.id)
        if other != feed.id:
            yield f"feeds.{index}.id: Home Assistant does not tell {feed.id} from {other}"
        twin = sources.setdefault(f"{feed.source} {feed.channel}", feed.id)
        if twin != feed.id:
            yield f"feeds.{index}.source: {twin} listens to the same"


def _environment(environ: Mapping[str, str]) -> Iterator[str]:
    names = {variable(path).replace(SEPARATOR, "_"): variable(path) for path, _ in keys()}
    for name in sorted(names.keys() & environ.keys()):
        yield f"${name}: is not read; the setting is {names[name]}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _readable_by_others(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
