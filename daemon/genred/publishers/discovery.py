"""What Home Assistant is told to make of the topics: one description, both published forms.

:func:`describe` says which devices there are and what each shows. :func:`device_form` writes that
as device-based discovery (Home Assistant 2024.12 and newer), :func:`component_form` as
single-component discovery (older ones); as both come from the same description they cannot
drift apart.

The rules followed are Home Assistant's own, of its MQTT integration's documentation: a device
needs ``device``, ``origin`` and ``components``; a component ``platform`` and ``unique_id``;
``options`` go with device class ``enum`` alone and never with a unit or a state class; event
entities ignore what is retained; ``via_device`` names a device that announces itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from genred.labels import SILENCE, UNKNOWN, Kind
from genred.messages import EventType, SourceStatus
from genred.publishers.topics import clean_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genred.messages import NodeInfo
    from genred.publishers.base import FeedInfo
    from genred.publishers.topics import Topics

EXPIRE_HEARTBEATS: Final = 4
"""A value counts as unknown after so many heartbeats without news: three may be lost or late on
the way before a healthy feed looks dead."""

ATTRIBUTES: Final = "kind", "since", "station", "title"
"""What of the state goes along with the genre. Nothing that changes with every heartbeat: the
recorder would store all of it each time."""

_NOT_IN_ENTITY_ID = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Entity:
    """One thing Home Assistant shows. ``config`` holds all keys but the platform."""

    key: str
    platform: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Device:
    """A group of entities. ``object_id`` is its part of the discovery topic."""

    object_id: str
    device: dict[str, Any]
    origin: dict[str, str]
    entities: tuple[Entity, ...]


def describe(
    topics: Topics, node: NodeInfo, feeds: Iterable[FeedInfo], heartbeat_s: float
) -> tuple[Device, ...]:
    """The node's device, then one for each feed; all that Home Assistant is told."""
    origin = {"name": "genred", "sw_version": node.version}
    about = {
        "manufacturer": "genred",
        "model": str(node.model.get("name", "")) or "unknown",
        "sw_version": node.version,
    }
    own = Device(
        object_id=object_id(topics),
        device={
            "identifiers": [topics.root],
            "name": f"genred {topics.node}",
            **about,
        },
        origin=origin,
        entities=_named(
            topics.root,
            f"genred {topics.node}",
            [
                Entity(
                    "provider",
                    "sensor",
                    {
                        "name": "Provider",
                        "icon": "mdi:chip",
                        "entity_category": "diagnostic",
                        "state_topic": topics.info,
                        "value_template": "{{ value_json.provider }}",
                        **_available(topics.status),
                    },
                ),
                Entity(
                    "lost",
                    "sensor",
                    {
                        "name": "Lost messages",
                        "icon": "mdi:email-remove-outline",
                        "unit_of_measurement": "messages",
                        "state_class": "total_increasing",
                        "entity_category": "diagnostic",
                        "state_topic": topics.info,
                        "value_template": "{{ value_json.lost_messages }}",
                        **_available(topics.status),
                    },
                ),
            ],
        ),
    )
    return (
        own,
        *(
            Device(
                object_id=object_id(topics, feed.id),
                device={
                    "identifiers": [f"{topics.root}/{clean_id(feed.id)}"],
                    "name": f"genred {topics.node} {feed.id}",
                    **about,
                    "via_device": topics.root,
                },
                origin=origin,
                entities=_named(
                    f"{topics.root}/{clean_id(feed.id)}",
                    f"genred {topics.node} {feed.id}",
                    _of_feed(topics, feed.id, node.labels, heartbeat_s),
                ),
            )
            for feed in feeds
        ),
    )


def _of_feed(topics: Topics, feed: str, labels: Sequence[str], heartbeat_s: float) -> list[Entity]:
    state = topics.of_feed(feed, "state")
    health = topics.of_feed(feed, "health")
    fresh = {"expire_after": math.ceil(EXPIRE_HEARTBEATS * heartbeat_s)}
    there = _available(topics.status, topics.of_feed(feed, "status"))
    from_state = {"state_topic": state, **fresh, **there}
    diagnostic = {"entity_category": "diagnostic", "state_topic": health, **fresh, **there}
    attributes = ", ".join(f"'{name}': value_json.{name}" for name in ATTRIBUTES)
    return [
        Entity(
            "genre",
            "sensor",
            {
                "name": None,
                "icon": "mdi:radio",
                "device_class": "enum",
                "options": [*labels, SILENCE, UNKNOWN],
                "value_template": "{{ value_json.label }}",
                "json_attributes_topic": state,
                "json_attributes_template": f"{{{{ {{{attributes}}} | tojson }}}}",
                **from_state,
            },
        ),
        Entity(
            "confidence",
            "sensor",
            {
                "name": "Confidence",
                "icon": "mdi:percent-outline",
                "unit_of_measurement": "%",
                "state_class": "measurement",
                "suggested_display_precision": 0,
                "value_template": "{{ (value_json.confidence * 100) | round(1) }}",
                **from_state,
            },
        ),
        Entity(
            "kind",
            "sensor",
            {
                "name": "Kind of sound",
                "icon": "mdi:account-voice",
                "device_class": "enum",
                "options": [kind.value for kind in Kind],
                "value_template": "{{ value_json.kind }}",
                **from_state,
            },
        ),
        Entity(
            "dead_air",
            "binary_sensor",
            {
                "name": "Dead air",
                "device_class": "problem",
                "payload_on": "ON",
                "payload_off": "OFF",
                "value_template": "{{ 'ON' if value_json.dead_air else 'OFF' }}",
                **from_state,
            },
        ),
        Entity(
            "change",
            "event",
            {
                "name": "Change",
                "icon": "mdi:swap-horizontal",
                "event_types": [each.value for each in EventType],
                "state_topic": topics.of_feed(feed, "event"),
                **there,
            },
        ),
        Entity(
            "source",
            "sensor",
            {
                "name": "Source",
                "icon": "mdi:antenna",
                "device_class": "enum",
                "options": [status.value for status in SourceStatus],
                "value_template": "{{ value_json.status }}",
                "json_attributes_topic": health,
                "json_attributes_template": "{{ {'last_error': value_json.last_error} | tojson }}",
                **diagnostic,
                # Most worth a look when no audio arrives, which makes all others unavailable.
                **_available(topics.status),
            },
        ),
        Entity(
            "level",
            "sensor",
            {
                "name": "Level",
                "icon": "mdi:volume-high",
                "unit_of_measurement": "dBFS",
                "state_class": "measurement",
                "suggested_display_precision": 0,
                "value_template": "{{ value_json.level_dbfs | round(1) }}",
                "enabled_by_default": False,
                **diagnostic,
            },
        ),
        Entity(
            "dropped",
            "sensor",
            {
                "name": "Dropped audio",
                "device_class": "duration",
                "unit_of_measurement": "s",
                "state_class": "total_increasing",
                "suggested_display_precision": 1,
                "value_template": "{{ value_json.dropped_seconds | round(3) }}",
                **diagnostic,
            },
        ),
        Entity(
            "lag",
            "sensor",
            {
                "name": "Lag",
                "device_class": "duration",
                "unit_of_measurement": "ms",
                "state_class": "measurement",
                "suggested_display_precision": 0,
                "value_template": "{{ value_json.lag_ms | round(1) }}",
                **diagnostic,
            },
        ),
    ]


def device_form(prefix: str, devices: Iterable[Device]) -> dict[str, bytes]:
    """Device-based discovery: payload by topic, one for each device, in order."""
    return {
        f"{prefix}/device/{each.object_id}/config": _json(
            {
                "device": each.device,
                "origin": each.origin,
                "components": {
                    entity.key: {"platform": entity.platform, **entity.config}
                    for entity in each.entities
                },
            }
        )
        for each in devices
    }


def component_form(prefix: str, devices: Iterable[Device]) -> dict[str, bytes]:
    """Single-component discovery: payload by topic, one for each entity, in order."""
    return {
        f"{prefix}/{entity.platform}/{each.object_id}/{entity.key}/config": _json(
            {**entity.config, "device": each.device, "origin": each.origin}
        )
        for each in devices
        for entity in each.entities
    }


FORMS: Final = {"device": device_form, "component": component_form}
"""How each value of the setting ``discovery`` is written; ``off`` writes nothing."""


def filters(form: str, prefix: str, devices: Iterable[Device]) -> tuple[str, ...]:
    """What to subscribe to for what stands on the broker in a form: one filter a device."""
    pattern = "{}/device/{}/config" if form == "device" else "{}/+/{}/+/config"
    return tuple(pattern.format(prefix, each.object_id) for each in devices)


def object_id(topics: Topics, feed: str | None = None) -> str:
    """A device's part of its discovery topic: other for every base, node and feed.

    Names are joined by ``__``. Where that could be read in two ways (``__`` within a name, a base
    of several levels) a digest of the whole goes behind.
    """
    parts = [topics.base, topics.node, *([clean_id(feed)] if feed is not None else [])]
    plain = "__".join(clean_id(part) for part in parts)
    if plain.split("__") == parts:
        return plain
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]
    return f"{plain}-{digest}"


def _named(root: str, device: str, entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """The entities with their ids: unique by topic, and the entity id that names would give."""
    return tuple(
        Entity(
            each.key,
            each.platform,
            {
                **each.config,
                "unique_id": f"{root}/{each.key}",
                "default_entity_id": f"{each.platform}.{_slug(device, each.config['name'])}",
                "qos": 1,
            },
        )
        for each in entities
    )


def _slug(*names: str | None) -> str:
    text = " ".join(name for name in names if name)
    return _NOT_IN_ENTITY_ID.sub("_", text.lower()).strip("_")


def _available(*topics: str) -> dict[str, Any]:
    return {
        "availability": [{"topic": topic} for topic in topics],
        "availability_mode": "all",
    }


def _json(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
