"""The files of docs/monitoring, each in the real thing it is for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from genred.publishers.base import FeedInfo
from genred.publishers.discovery import describe
from genred.publishers.topics import Topics
from rigs.messages import info
from rigs.ports import free_port, wait_until

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text("utf-8"))["groups"][0]["rules"]
FEED = "on_air"

needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus") or not shutil.which("promtool"),
    reason="Debian's package prometheus is not installed",
)


@needs_prometheus
@pytest.mark.parametrize(
    "what",
    [
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules-test.yml"],
        ["check", "config", "prometheus.yml"],
    ],
    ids=" ".join,
)
def test_promtool_finds_no_fault(what):
    done = subprocess.run(
        ["promtool", *what], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_explained_and_tested():
    alerts = {each["alert"]: each["for"] for each in RULES}
    page = (FOLDER / "README.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `(Genred\w+)` \| (\d+) min", page, re.MULTILINE))
    assert {name: f"{minutes}m" for name, minutes in told.items()} == alerts
    tests = yaml.safe_load((FOLDER / "rules-test.yml").read_text("utf-8"))["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    fires = {each["alertname"] for each in checks if each["exp_alerts"]}
    quiet = {each["alertname"] for each in checks if not each["exp_alerts"]}
    assert fires == quiet == set(alerts)


@pytest.fixture(scope="module")
def prometheus(web_daemon, tmp_path_factory):
    """A Prometheus with the project's rules that scrapes the daemon every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FOLDER / "rules.yml")]
    target = f"127.0.0.1:{web_daemon.port}"
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
    try:

        def query(expression):
            answer = client.get("/api/v1/query", params={"query": expression}).json()
            assert answer["status"] == "success", (expression, answer)
            return answer["data"]["result"]

        def scraped():
            assert process.poll() is None, (folder / "log").read_text()
            try:
                # rate() needs two.
                return any(
                    float(each["value"][1]) >= 3
                    for each in query('count_over_time(up{job="genred"}[1m])')
                )
            except (httpx.TransportError, ValueError):
                return False

        wait_until(scraped, 30, "three scrapes")
        query.client = client
        yield query
    finally:
        client.close()
        process.terminate()
        process.wait(10)


@needs_prometheus
class TestPrometheus:
    def test_it_scrapes_the_daemon(self, prometheus):
        (target,) = prometheus.client.get("/api/v1/targets").json()["data"]["activeTargets"]
        assert target["health"] == "up", target["lastError"]
        found = {each["metric"]["feed"] for each in prometheus("genred_feed_up == 1")}
        assert found == {"on_air", "kitchen"}

    def test_it_runs_the_rules_and_nothing_is_wrong(self, prometheus):
        groups = prometheus.client.get("/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {each["name"] for each in rules} == {each["alert"] for each in RULES}
        assert [each["lastError"] for each in rules if each.get("lastError")] == []
        assert prometheus('ALERTS{alertstate="firing"}') == []

    def test_every_panel_of_the_dashboard_shows_something(self, prometheus):
        dashboard = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
        may_be_empty = {"changes(genred_feed_dead_air"}
        expressions = [
            target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
        ]
        expressions += [each["expr"] for each in dashboard["annotations"]["list"]]
        assert len(expressions) > 12
        for expression in expressions:
            asked = expression.replace("$instance", ".*").replace("$feed", ".*")
            found = prometheus(asked.replace("$__range", "1m"))
            assert found or any(expression.startswith(each) for each in may_be_empty), expression

    def test_shares_of_the_dashboard_add_up(self, prometheus):
        dashboard = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
        (panel,) = [each for each in dashboard["panels"] if each["title"].startswith("Share")]
        asked = panel["targets"][0]["expr"].replace("$instance", ".*").replace("$feed", ".*")
        shares = [float(each["value"][1]) for each in prometheus(asked.replace("$__range", "1m"))]
        assert sum(shares) == pytest.approx(1, abs=0.01)


def entities():
    """All entity ids that the node of the examples makes in Home Assistant."""
    devices = describe(Topics("genred", "studio"), info(), [FeedInfo(FEED, "…")], 30)
    return {each.config["default_entity_id"] for device in devices for each in device.entities}


def test_the_automations_are_about_entities_that_there_are():
    text = (FOLDER / "home-assistant.yaml").read_text("utf-8")
    automations = yaml.safe_load(text)
    assert len({each["id"] for each in automations}) == len(automations) == 4
    named = set(re.findall(r"\b\w+\.genred_studio\w*", text))
    assert len(named) > 4
    assert named <= entities()


def test_the_flow_hangs_together_and_listens_to_topics_that_there_are():
    nodes = json.loads((FOLDER / "node-red.json").read_text("utf-8"))
    ids = {each["id"] for each in nodes}
    topics = Topics("genred", "studio")
    for each in nodes:
        assert {wire for port in each.get("wires", ()) for wire in port} <= ids
        if each["type"] == "mqtt in":
            assert each["topic"] in {topics.of_feed(FEED, what) for what in ("event", "status")}
            assert each["broker"] in ids
        if each["type"] == "switch":
            assert len(each["wires"]) == len(each["rules"]) == each["outputs"]
