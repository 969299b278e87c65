"""Home Assistant without a head: ``server.py FOLDER HTTP_PORT MQTT_PORT``, in its own environment.

Every line on standard input is answered by one line of JSON: all states, and what the registries
hold of the integration mqtt. The end of standard input is its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from homeassistant.config_entries import SOURCE_USER, ConfigEntry
from homeassistant.helpers import device_registry, entity_registry

from homeassistant import bootstrap, runner

CONFIGURATION = """
homeassistant:
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {http}
automation: !include automations.yaml
logger:
  default: warning
"""


def look(hass) -> dict:
    devices = device_registry.async_get(hass).devices
    return {
        "states": {
            each.entity_id: {"state": each.state, **each.attributes}
            for each in hass.states.async_all()
        },
        "entities": {
            each.unique_id: {
                "entity_id": each.entity_id,
                "disabled": each.disabled,
                "category": each.entity_category,
                "class": each.original_device_class,
                "device": each.device_id and devices[each.device_id].name,
            }
            for each in entity_registry.async_get(hass).entities.values()
            if each.platform == "mqtt"
        },
        "devices": {
            each.name: {
                "via": each.via_device_id and devices[each.via_device_id].name,
                "sw_version": each.sw_version,
                "model": each.model,
            }
            for each in devices.values()
        },
    }


async def main(folder: str, mqtt: str) -> None:
    config = runner.RuntimeConfig(config_dir=folder, skip_pip=True)
    hass = await bootstrap.async_setup_hass(config)
    await hass.async_start()
    if not hass.config_entries.async_entries("mqtt"):
        data = {"broker": "127.0.0.1", "port": int(mqtt), "discovery": True}
        entry = ConfigEntry(
            version=1, minor_version=1, domain="mqtt", title="mqtt", source=SOURCE_USER, data=data
        )
        await hass.config_entries.async_add(entry)
    print("ready", flush=True)
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        print(json.dumps(look(hass), default=str), flush=True)
    await hass.async_stop(force=True)


FOLDER, HTTP, MQTT = sys.argv[1:]
Path(FOLDER, "configuration.yaml").write_text(CONFIGURATION.format(http=HTTP))
asyncio.run(main(FOLDER, MQTT))
