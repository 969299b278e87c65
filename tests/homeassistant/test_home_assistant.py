"""What a real Home Assistant makes of it: each entity right, gone with the daemon, back with it.

The version that runs here knows single components alone, and no options of a sensor's; that the
device form says the same, and keeps the rules, is held by ``publishers/test_ha_discovery.py``.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from genred.labels import SILENCE
from genred.messages import EventType
from rigs import clips, tiny_model
from rigs.command import Genred, Running
from rigs.home_assistant import HomeAssistant, needed
from rigs.mosquitto import Mosquitto
from rigs.ports import free_port

AWAY = {"reconnecting", "retrying"}
DOCS = Path(__file__).parents[2] / "docs"
UNAVAILABLE = "unavailable"
TURN_S = 4
"""How long each label is on."""
KINDS = {"rock": "music", "speech": "speech"}
FM = "sensor.genred_studio_on_air"

CONFIG = """
[node]
name = "studio"
[model]
path = "{folder}/model.onnx"
provider = "cpu"
[judgement]
silence_after_s = 0.5
dead_air_after_s = 1
[mqtt]
url = "{broker}"
discovery = "component"
heartbeat_s = 1
keepalive_s = 5
[[feeds]]
id = "on_air"
source = "{folder}/programme.wav"
loop = true
[[feeds]]
id = "dumb"
source = "{folder}/silence.wav"
loop = true
[[feeds]]
id = "away"
source = "http://127.0.0.1:{closed}/live"
"""


@dataclass
class House:
    """A broker, Home Assistant and the daemon."""

    broker: Mosquitto
    home: HomeAssistant
    command: Genred
    config: str
    daemon: Running

    def start_daemon(self) -> None:
        self.daemon = self.command.start("run", "--config", self.config, "--plain")

    def ours(self, states: dict) -> dict[str, str]:
        """The states of genred's entities."""
        return {
            key: each["state"] for key, each in states.items() if key.split(".")[1][:6] == "genred"
        }


def automations():
    """Those of the page, and those to be copied."""
    page = (DOCS / "home-automation.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    return "\n".join([*blocks, (DOCS / "monitoring" / "home-assistant.yaml").read_text("utf-8")])


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    needed()
    folder = tmp_path_factory.mktemp("house")
    tiny_model.write(folder / "model.onnx")
    # Steady signals, which is what the tiny model tells apart; long enough not to come round.
    turn = np.full(TURN_S * tiny_model.RATE, 0.5)
    programme = np.tile(np.concatenate([turn, -turn]), 30)
    clips.write_wav(folder / "programme.wav", programme, tiny_model.RATE)
    clips.write_wav(folder / "silence.wav", np.zeros(300 * tiny_model.RATE), tiny_model.RATE)
    broker = Mosquitto(folder / "broker").start()
    home = HomeAssistant(folder / "home", broker.port, automations())
    config = folder / "genred.toml"
    config.write_text(CONFIG.format(folder=folder, broker=broker.url, closed=free_port()))
    command = Genred(folder)
    try:
        home.start()
        yield House(
            broker,
            home,
            command,
            str(config),
            command.start("run", "--config", config, "--plain"),
        )
    finally:
        home.stop()
        command.close()
        broker.close()


def playing(states):
    return (
        states.get(FM, {}).get("state") in KINDS
        and states.get("binary_sensor.genred_studio_dumb_dead_air", {}).get("state") == "on"
        and states.get("sensor.genred_studio_away_source", {}).get("state") in AWAY
        and states.get("event.genred_studio_on_air_change", {}).get("event_type") == "changed"
    )


def triggered(states):
    return {
        key
        for key, each in states.items()
        if key.startswith("automation.") and each["last_triggered"]
    }


def test_every_entity_is_there_with_the_right_state_and_class(house):
    """All that is announced, under the entity ids that it was announced with."""
    seen = house.home.wait(playing, "what is playing")
    states = seen["states"]

    genre = states[FM]
    assert genre["device_class"] == "enum"
    assert genre["friendly_name"] == "genred studio on_air"
    assert genre["kind"] == KINDS[genre["state"]]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", genre["since"])
    assert genre["title"] == "programme.wav"

    confidence = states[f"{FM}_confidence"]
    assert 60 < float(confidence["state"]) <= 100
    assert (confidence["unit_of_measurement"], confidence["state_class"]) == ("%", "measurement")

    kind = states[f"{FM}_kind_of_sound"]
    assert (kind["state"], kind["device_class"]) == (genre["kind"], "enum")

    dead_air = states["binary_sensor.genred_studio_on_air_dead_air"]
    assert (dead_air["state"], dead_air["device_class"]) == ("off", "problem")

    change = states["event.genred_studio_on_air_change"]
    assert change["event_types"] == [each.value for each in EventType]
    assert change["event_type"] == "changed"
    assert {change["label"], change["previous"]} == set(KINDS)

    source = states[f"{FM}_source"]
    assert (source["state"], source["device_class"]) == ("listening", "enum")

    for key, unit in (("dropped_audio", "s"), ("lag", "ms")):
        assert float(states[f"{FM}_{key}"]["state"]) >= 0
        assert states[f"{FM}_{key}"]["unit_of_measurement"] == unit
        assert states[f"{FM}_{key}"]["device_class"] == "duration"

    assert states["sensor.genred_studio_provider"]["state"] == "cpu"
    assert states["sensor.genred_studio_lost_messages"]["state"] == "0"

    assert states["sensor.genred_studio_dumb"]["state"] == SILENCE
    # Where no audio arrives nothing is known but what ails it.
    away = states["sensor.genred_studio_away_source"]
    assert "127.0.0.1" in away["last_error"]
    others = {key for key in house.ours(states) if "_away" in key} - {
        "sensor.genred_studio_away_source"
    }
    assert len(others) == 7
    assert {states[key]["state"] for key in others} == {UNAVAILABLE}

    entities, devices = seen["entities"], seen["devices"]
    assert len(entities) == 2 + 3 * 9
    level = entities["genred/studio/on_air/level"]
    assert level["disabled"]
    assert "sensor.genred_studio_on_air_level" not in states
    diagnostic = {key.split("/")[-1] for key, each in entities.items() if each["category"]}
    assert diagnostic == {"provider", "lost", "source", "level", "dropped", "lag"}
    assert devices["genred studio"]["via"] is None
    for feed in ("on_air", "dumb", "away"):
        assert devices[f"genred studio {feed}"]["via"] == "genred studio"
        assert devices[f"genred studio {feed}"]["model"] == "tiny"
    assert entities["genred/studio/on_air/genre"]["device"] == "genred studio on_air"


def test_a_killed_daemon_takes_all_of_it_along_and_brings_it_back(house):
    """By its last will; the states of a dead daemon are nowhere shown as current."""
    house.home.wait(playing, "what is playing")
    entities = set(house.ours(house.home.look()["states"]))
    house.daemon.end(signal.SIGKILL)
    seen = house.home.wait(
        lambda states: set(house.ours(states).values()) == {UNAVAILABLE}, "unavailability"
    )
    assert set(house.ours(seen["states"])) == entities
    house.home.wait(lambda states: "automation.radio_not_heard" in triggered(states), "an alarm")
    house.start_daemon()
    seen = house.home.wait(playing, "the daemon again")
    assert set(house.ours(seen["states"])) == entities


def test_the_automations_of_the_documentation_run(house):
    """All are accepted; what looks for an event is triggered by it."""
    seen = house.home.wait(
        lambda states: "automation.somebody_speaks" in triggered(states), "an automation"
    )
    states = seen["states"]
    ours = {key for key in states if key.startswith("automation.")}
    assert len(ours) == 7
    assert {states[key]["state"] for key in ours} == {"on"}
    assert "automation.dead_air" not in triggered(states)  # on this feed there was none


def test_a_restarted_home_assistant_knows_all_at_once(house):
    """Discovery and states are retained; the same entities, none twice."""
    before = house.home.wait(playing, "what is playing")
    house.home.stop()
    house.home.start()
    after = house.home.wait(
        lambda states: states.get(FM, {}).get("state") in KINDS, "what is playing, again"
    )
    after = house.home.wait(
        lambda states: set(house.ours(states)) == set(house.ours(before["states"])), "all entities"
    )
    assert after["entities"] == before["entities"]
    assert after["devices"] == before["devices"]


def test_it_has_nothing_to_complain_of(house):
    """Its log of all that was before; that it would complain is shown by a payload that is
    wrong."""
    house.home.wait(playing, "what is playing")
    complaints = [
        line for line in house.home.log.splitlines() if re.search("mqtt|genred|automation", line)
    ]
    assert complaints == []
    wrong = '{"name": null, "unique_id": "x", "state_topic": "x", "state_class": "wrong"}'
    house.broker.publish("homeassistant/sensor/x/x/config", wrong)
    house.home.wait(lambda _: "state_class" in house.home.log, "a complaint")
