"""Feeds, history, health and metrics: what is answered."""

from __future__ import annotations

import re
import time
from dataclasses import fields
from pathlib import Path

import pytest
from hearts import Heart, feed_view
from prometheus_client.parser import text_string_to_metric_families

from genred.messages import FeedEvent, FeedHealth, FeedState
from genred.web import schemas
from rigs.messages import event, state
from rigs.ports import wait_until

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (schemas.State, FeedState),
        (schemas.FeedHealthOut, FeedHealth),
        (schemas.Event, FeedEvent),
    ],
)
def test_the_api_speaks_of_feeds_in_the_words_of_mqtt(model, message):
    words = {"schema_version", *(each.name for each in fields(message))}
    assert set(model.model_fields) == words


def test_every_example_of_the_description_fits_it(serve):
    import jsonschema

    described = serve().get("/api/v1/openapi.json").json()
    parts = described["components"]["schemas"]
    checked = 0
    for schema in parts.values():
        for example in schema.get("examples", ()):
            jsonschema.validate(example, {"components": {"schemas": parts}, **schema})
            checked += 1
    assert checked > 12


def test_feeds_are_told_as_they_are(serve):
    served = serve(Heart(feed_view("fm"), feed_view("web", status="stalled", dead_air=True)))
    told = served.get("/api/v1/feeds").json()["feeds"]
    assert [(each["id"], each["online"]) for each in told] == [("fm", True), ("web", False)]
    one = served.get("/api/v1/feeds/fm").json()
    assert one["state"]["label"] == "jazz"
    assert one["segments"] == one["events"] == []
    node = served.get("/api/v1/node").json()
    assert node["history"] is False
    assert re.fullmatch("#[0-9a-f]{6}", node["labels"]["jazz"]["colour"])


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/api/v1/feeds/none", 404, "feed"),
        ("/api/v1/feeds/no%20name", 422, "invalid"),
        ("/api/v1/feeds/fm/history", 404, "history"),
        ("/readyz?need=some", 422, "invalid"),
        ("/nothing", 404, ""),
    ],
)
def test_what_is_wrong_is_a_problem(serve, path, status, name):
    answer = serve().get(path)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == (f"urn:genred:problem:{name}" if name else "about:blank")


def test_another_method_is_told_which_there_are(serve):
    answer = serve().client.put("/api/v1/session")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, POST"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_fault_is_told_and_logged_once(serve, caplog):
    heart = Heart()
    heart.view = lambda _: 1 / 0
    served = serve(heart)
    for _ in range(3):
        answer = served.get("/api/v1/feeds")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert "ZeroDivision" not in answer.text
    assert [each.levelname for each in caplog.records].count("ERROR") == 1


class TestHealth:
    def test_standing_still_is_ill(self, serve, monkeypatch):
        monkeypatch.setattr("genred.web.health.LOOK_S", 0.05)
        served = serve()
        assert served.get("/healthz").json() == {"status": "pass"}
        served.heart.still = True
        wait_until(lambda: served.get("/healthz").status_code == 503)
        assert "stands still" in served.get("/healthz").json()["detail"]
        served.heart.still = False
        wait_until(lambda: served.get("/healthz").status_code == 200)

    @pytest.mark.parametrize(
        "feed",
        [
            feed_view(status="stalled"),
            feed_view(status="starting", decisions=0),
            feed_view(decisions=0),
            feed_view(now=1.0),
        ],
        ids=["stalled", "starting", "never judged", "long ago"],
    )
    def test_absence_of_data_is_no_readiness(self, serve, feed):
        served = serve(Heart(feed))
        answer = served.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert "fm" in answer.json()["detail"]
        assert served.get("/healthz").status_code == 200

    def test_no_feeds_are_no_readiness(self, serve):
        heart = Heart()
        heart.feeds = ()
        assert serve(heart).get("/readyz").status_code == 503

    def test_one_feed_is_enough_unless_all_are_needed(self, serve):
        served = serve(Heart(feed_view("fm"), feed_view("web", status="retrying")))
        assert served.get("/readyz").json() == {
            "status": "pass",
            "heard": ["fm"],
            "unheard": {"web": "retrying"},
        }
        assert served.get("/readyz?need=all").status_code == 503


class TestMetrics:
    def families(self, served):
        text = served.get("/metrics").text
        return {each.name: each for each in text_string_to_metric_families(text)}

    def test_they_are_all_documented(self, serve):
        served = serve()
        self.families(served)  # the first scrape makes what the second one shows
        page = (DOCS / "monitoring" / "README.md").read_text("utf-8")
        written = set(re.findall(r"^\| `(genred_[a-z_]+)`", page, re.MULTILINE))
        found = {
            family.name + ("_total" if family.type == "counter" else "")
            for family in self.families(served).values()
            if family.name.startswith("genred_") and not family.name.endswith("_created")
        }
        assert found == written

    def test_labels_are_bounded_whatever_is_asked(self, serve):
        served = serve()
        for number in range(30):
            served.get(f"/nothing/{number}")
            served.get(f"/api/v1/feeds/none{number}")
            served.client.request(f"METHOD{number}", "/healthz")
        requests = self.families(served)["genred_http_requests"].samples
        assert {each.labels["route"] for each in requests} <= {
            *("other", "/api/v1/feeds/{feed_id}", "/healthz", "/metrics"),
        }
        assert {each.labels["method"] for each in requests} == {"GET", "OTHER"}

    def test_they_say_what_is_so(self, serve):
        served = serve(Heart(feed_view("fm", level_dbfs=-12.5), feed_view("web", "stalled")))
        served.heart.publishers = (type("MqttPublisher", (), {"dropped": 3})(),)
        served.tell(event(1, "dead_air"), event(2, "recovered"), event(3, "dead_air"), state())
        wait_until(lambda: served.publisher._hub._number == 5)
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in self.families(served).values()
            for sample in family.samples
        }
        assert found["genred_feed_up", "fm"] == 1
        assert found["genred_feed_up", "web"] == 0
        assert found["genred_feed_level_dbfs", "fm"] == -12.5
        assert found["genred_feed_lag_seconds", "fm"] == 0.03
        assert found["genred_feed_label", "fm", "jazz"] == 1
        assert found["genred_feed_source_status", "stalled", "web"] == 1
        assert found["genred_feed_events_total", "dead_air", "fm"] == 2
        assert found["genred_publisher_dropped_messages_total", "mqtt"] == 3
        assert found["genred_provider_fallback",] == 0
        assert abs(found["genred_feed_heard_timestamp_seconds", "fm"] - time.time()) < 10
        # The view of a feed that is away tells the time of the look, not when it was heard.
        assert found["genred_feed_heard_timestamp_seconds", "web"] == 0
