"""What Home Assistant is told, held against the rules it publishes.

The rules are those of the MQTT integration's documentation and of the schemas that its core
checks payloads with (``components/mqtt/schemas.py``, ``sensor.py``, ``binary_sensor.py``,
``event.py``; ``components/sensor/const.py``), written down here as data.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from genred.labels import Kind
from genred.messages import EventType, Message, SourceStatus
from genred.publishers.base import FeedInfo
from genred.publishers.discovery import component_form, describe, device_form
from genred.publishers.topics import Topics
from rigs.messages import FEED, event, health, info, state

TOPICS = Topics("genred", "studio")
HEARTBEAT_S = 30.0

COMMON_KEYS = {
    "availability",
    "availability_mode",
    "default_entity_id",
    "enabled_by_default",
    "encoding",
    "entity_category",
    "icon",
    "json_attributes_template",
    "json_attributes_topic",
    "name",
    "qos",
    "state_topic",
    "unique_id",
    "value_template",
}
PLATFORM_KEYS = {
    "sensor": {
        "device_class",
        "expire_after",
        "force_update",
        "last_reset_value_template",
        "options",
        "state_class",
        "suggested_display_precision",
        "unit_of_measurement",
    },
    "binary_sensor": {
        "device_class",
        "expire_after",
        "force_update",
        "off_delay",
        "payload_off",
        "payload_on",
    },
    "event": {"device_class", "event_types"},
}
"""Other keys are ignored by some versions and refused by others."""

REQUIRED_KEYS = {
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
}
DEVICE_KEYS = {
    "configuration_url",
    "connections",
    "hw_version",
    "identifiers",
    "manufacturer",
    "model",
    "model_id",
    "name",
    "serial_number",
    "suggested_area",
    "sw_version",
    "via_device",
}
ORIGIN_KEYS = {"name", "sw_version", "support_url"}
UNITS = {"duration": {"d", "h", "min", "s", "ms"}, "enum": {None}}
"""A sensor's unit must be one of its device class."""

BINARY_CLASSES = {"problem", "connectivity", "running", "sound"}
STATE_CLASSES = {"measurement", "total", "total_increasing"}
DISCOVERY_TOPIC = re.compile(r"\w+/([a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config")
ENTITY_ID = re.compile(r"(?!.+__)(?!_)[\da-z_]+(?<!_)\.(?!_)[\da-z_]+(?<!_)")
DEPRECATED = {"object_id", "via_hub", "payload", "json_attributes"}


def check_entity(platform: str, config: dict[str, Any]) -> None:
    keys = set(config)
    assert not keys & DEPRECATED
    assert keys <= COMMON_KEYS | PLATFORM_KEYS[platform], "unknown to Home Assistant"
    assert keys >= REQUIRED_KEYS[platform]
    assert config["unique_id"], "needed by every component"
    assert "name" in config, "null, not absent: it would be called after its platform"
    assert config["name"] is None or config["name"].strip()
    assert config["default_entity_id"].startswith(f"{platform}."), "has its domain"
    assert ENTITY_ID.fullmatch(config["default_entity_id"])
    assert config["qos"] in {0, 1, 2}
    assert config["availability_mode"] in {"all", "any", "latest"}
    assert all(set(each) == {"topic"} for each in config["availability"])
    assert not {"availability_topic"} & keys, "excludes availability"
    for key in keys & {"state_topic", "json_attributes_topic"}:
        assert not re.search(r"[+#]", config[key])
    if "entity_category" in keys:
        assert config["entity_category"] == "diagnostic", "config is for what can be set"
    if "icon" in keys:
        assert config["icon"].startswith("mdi:")
    if "expire_after" in keys:
        assert isinstance(config["expire_after"], int)
        assert config["expire_after"] >= 3 * HEARTBEAT_S
    if platform == "sensor":
        check_sensor(config)
    elif platform == "binary_sensor":
        assert config.get("device_class") in BINARY_CLASSES
    elif platform == "event":
        assert config["event_types"]
        assert "expire_after" not in keys


def check_sensor(config: dict[str, Any]) -> None:
    device_class, unit = config.get("device_class"), config.get("unit_of_measurement")
    if "options" in config:
        assert config["options"], "an empty list is refused"
        assert device_class == "enum"
        assert "state_class" not in config
        assert unit is None
        assert len(set(config["options"])) == len(config["options"])
    else:
        assert device_class != "enum", "an enum without options takes anything"
    if device_class is not None:
        assert unit in UNITS[device_class]
    if "state_class" in config:
        assert config["state_class"] in STATE_CLASSES
        assert unit is not None, "long-term statistics want a unit"


def check_device(device: dict[str, Any], origin: dict[str, Any]) -> None:
    assert set(device) <= DEVICE_KEYS
    assert device["identifiers"]
    assert all(
        isinstance(device[key], str) and device[key] for key in device if key != "identifiers"
    )
    assert set(origin) <= ORIGIN_KEYS
    assert origin["name"]


def both_forms(*feeds: FeedInfo, topics: Topics = TOPICS) -> tuple[dict, dict]:
    devices = describe(topics, info(), feeds, HEARTBEAT_S)
    return tuple(
        {topic: json.loads(payload) for topic, payload in form("homeassistant", devices).items()}
        for form in (device_form, component_form)
    )


@pytest.mark.parametrize(
    ("topics", "feeds"),
    [
        (TOPICS, [FEED]),
        (TOPICS, []),
        (Topics("home/radio", "Küche & Bad__2"), [FeedInfo("FM-1", "x"), FeedInfo("_", "y")]),
    ],
)
def test_both_forms_keep_the_rules(topics: Topics, feeds: list[FeedInfo]):
    """Every payload of both forms passes what Home Assistant checks."""
    by_device, by_component = both_forms(*feeds, topics=topics)
    for topic, payload in by_device.items():
        assert DISCOVERY_TOPIC.fullmatch(topic.removeprefix("homeassistant/"))
        assert topic.startswith("homeassistant/device/")
        assert set(payload) == {"device", "origin", "components"}, "all three are required"
        check_device(payload["device"], payload["origin"])
        assert payload["components"]
        for component in payload["components"].values():
            platform = component.pop("platform")
            check_entity(platform, component)
    for topic, payload in by_component.items():
        assert DISCOVERY_TOPIC.fullmatch(topic.removeprefix("homeassistant/"))
        check_device(payload.pop("device"), payload.pop("origin"))
        check_entity(topic.split("/")[1], payload)


def test_both_forms_say_the_same():
    """A component of a device and the single component differ in nothing but their frame."""
    by_device, by_component = both_forms(FEED, FeedInfo("am", "another"))
    from_devices = [
        {**component, "device": payload["device"], "origin": payload["origin"]}
        for payload in by_device.values()
        for component in payload["components"].values()
    ]
    from_components = [
        {**payload, "platform": topic.split("/")[1]} for topic, payload in by_component.items()
    ]
    assert from_devices == from_components


def entities(feed: FeedInfo = FEED) -> dict[str, dict[str, Any]]:
    by_device, _ = both_forms(feed)
    node, own = by_device.values()
    return {**node["components"], **own["components"]}


def test_the_entities_are_those_of_the_conventions():
    """Each thing is there, in the form agreed upon."""
    assert {key: each["platform"] for key, each in entities().items()} == {
        "provider": "sensor",
        "lost": "sensor",
        "genre": "sensor",
        "confidence": "sensor",
        "kind": "sensor",
        "dead_air": "binary_sensor",
        "change": "event",
        "source": "sensor",
        "level": "sensor",
        "dropped": "sensor",
        "lag": "sensor",
    }
    assert entities()["genre"]["name"] is None
    assert entities()["genre"]["options"] == ["jazz", "rock", "speech", "silence", "unknown"]
    assert entities()["kind"]["options"] == [each.value for each in Kind]
    assert entities()["change"]["event_types"] == [each.value for each in EventType]
    assert entities()["dead_air"]["device_class"] == "problem"
    diagnostic = {key for key, each in entities().items() if "entity_category" in each}
    assert diagnostic == {"provider", "lost", "source", "level", "dropped", "lag"}
    assert entities()["source"]["options"] == [each.value for each in SourceStatus]
    off = {key for key, each in entities().items() if not each.get("enabled_by_default", True)}
    assert off == {"level"}


def test_a_feed_is_there_only_if_it_and_its_node_are():
    """Availability hangs on both status topics; the node's own entities on its own alone."""
    for key, each in entities().items():
        topics = ["genred/studio/status"]
        if key not in {"provider", "lost", "source"}:  # what ails it must be seen
            topics.append("genred/studio/fm/status")
        assert [one["topic"] for one in each["availability"]] == topics
        assert each["availability_mode"] == "all"


def test_the_node_comes_first_and_feeds_hang_on_it():
    """``via_device`` names a device that has announced itself before."""
    by_device, _ = both_forms(FEED, FeedInfo("am", "another"))
    node, *feeds = (payload["device"] for payload in by_device.values())
    assert "via_device" not in node
    assert [feed["via_device"] for feed in feeds] == node["identifiers"] * 2


def test_unique_ids_and_entity_ids_are_unique():
    """No two entities of two nodes with two feeds each are taken for one another."""
    ids = []
    for name in ("studio", "attic"):
        topics = Topics("genred", name)
        by_device, _ = both_forms(FEED, FeedInfo("am", "another"), topics=topics)
        ids += [
            (each["unique_id"], each["default_entity_id"])
            for payload in by_device.values()
            for each in payload["components"].values()
        ]
    assert len({one for one, _ in ids}) == len({other for _, other in ids}) == len(ids) == 2 * 20


MESSAGES: dict[str, Message] = {
    "genred/studio/info": info(lost_messages=7),
    "genred/studio/fm/state": state(title='Ça "va"?', station=None, since=1_000_000_000.0),
    "genred/studio/fm/health": health(dropped_seconds=1.25, lag_ms=12.345, level_dbfs=-33.25),
}
RENDERED = {
    "provider": "CPUExecutionProvider",
    "lost": "7",
    "source": "listening",
    "genre": "jazz",
    "confidence": "87.5",
    "kind": "music",
    "dead_air": "OFF",
    "level": "-33.2",
    "dropped": "1.25",
    "lag": "12.3",
}


@pytest.mark.parametrize(("key", "value"), RENDERED.items())
def test_templates_read_what_is_sent(key: str, value: str):
    """Each template takes its value out of the very message that stands on its topic."""
    jinja2 = pytest.importorskip("jinja2", reason="renders Home Assistant's templates")
    entity = entities()[key]
    message = json.loads(json.dumps(MESSAGES[entity["state_topic"]].to_dict()))
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string
    assert template(entity["value_template"]).render(value_json=message) == value
    if "options" in entity:
        assert value in entity["options"]
    if key == "genre":
        rendered = template(entity["json_attributes_template"]).render(value_json=message)
        assert json.loads(rendered.replace("\\u0022", '\\"')) == {
            "kind": "music",
            "since": "2001-09-09T01:46:40.000Z",
            "station": None,
            "title": 'Ça "va"?',
        }


def test_an_event_is_one_that_was_announced():
    """The JSON on the event topic has an ``event_type`` out of ``event_types``."""
    change = entities()["change"]
    assert change["state_topic"] == "genred/studio/fm/event"
    assert all(
        event(event_type=each.value).to_dict()["event_type"] in change["event_types"]
        for each in EventType
    )
