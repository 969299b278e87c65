"""Images, compose and manifests against what they speak of: none of them can be built in a test.

They are linted, and then taken at their word: the environment they set is read as the daemon reads
it, their probes are asked of a real daemon, their broker's configuration is run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from genred.settings.load import load
from genred.settings.web import WebSettings
from rigs.ports import free_port, listens, wait_until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "configs" / "deploy"
IMAGES = ["Containerfile", "Containerfile.cuda"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
YAML_RULES = {
    "extends": "default",
    "rules": {"line-length": {"max": 100}, "document-start": "disable"},
}


def instructions(name):
    """``(instruction, rest)`` of each line, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE)
    joined = text.replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def image_environment(name):
    words = " ".join(rest for what, rest in instructions(name) if what == "ENV").split()
    return dict(word.split("=", 1) for word in words)


def resources():
    text = (DEPLOY / "kubernetes" / "genred.yaml").read_text("utf-8")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def pod():
    return resources()["StatefulSet"]["spec"]["template"]["spec"]


def pod_environment(ordinal, config):
    """What a container of pod number ``ordinal`` has in its environment."""
    fields = {"metadata.labels['apps.kubernetes.io/pod-index']": str(ordinal)}
    found = {}
    for each in pod()["containers"][0]["env"]:
        source = each.get("valueFrom", {})
        if "fieldRef" in source:
            value = fields[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            value = "a secret of some length"
        else:
            value = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], each["value"])
        found[each["name"]] = value
    assert found["GENRED_CONFIG"] == "/etc/genred/genred.toml"
    return image_environment("Containerfile") | found | {"GENRED_CONFIG": str(config)}


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_clean_by_hadolint(name):
    lint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([lint, ROOT / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_yaml_is_clean_and_kubernetes_takes_it():
    lint = [sys.executable, "-m", "yamllint", "--strict", "-d", json.dumps(YAML_RULES), DEPLOY]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert set(resources()) == {"ConfigMap", "Service", "StatefulSet"}
    for each in resources().values():
        for version in ("1.28", kubernetes_validate.latest_version()):
            kubernetes_validate.validate(each, version, strict=True)
    wrong = resources()["StatefulSet"]
    wrong["spec"]["replicas"] = "three"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.28", strict=True)


@pytest.mark.parametrize("name", IMAGES)
def test_images_install_what_there_is(name):
    found = instructions(name)
    copied = [
        word
        for what, rest in found
        if what == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
    ]
    assert all((ROOT / word).exists() for word in copied), copied
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    needed = {"pyproject.toml", "constraints.txt", PROJECT["readme"], *PROJECT["license-files"]}
    needed |= set(setuptools["packages"]["find"]["where"])
    needed |= {path.split("/")[0] for paths in setuptools["data-files"].values() for path in paths}
    assert needed == set(copied)
    (extras,) = {each for _, rest in found for each in re.findall(r"'\.\[([\w,]+)\]'", rest)}
    assert set(extras.split(",")) < set(PROJECT["optional-dependencies"])
    python = re.search(r"^ARG PYTHON=(\d+)\.(\d+)-", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    assert (
        PROJECT["requires-python"] == f">={python[1]}.{python[2]},<{python[1]}.{int(python[2]) + 1}"
    )
    assert f"python{python[1]}.{python[2]}/" in image_environment(name).get(
        "LD_LIBRARY_PATH", "python3.11/"
    )
    # Nobody's root, and what it writes to is its own.
    assert [rest for what, rest in found if what == "USER"] == ["10001"]
    environment = image_environment(name)
    writable = {environment["STATE_DIRECTORY"], environment["RUNTIME_DIRECTORY"]}
    assert any(writable <= set(rest.split()) for what, rest in found if what == "RUN")
    assert ("EXPOSE", str(WebSettings().port)) in found
    settings = load(None, environment | {"HOME": "/none"}).settings
    assert (settings.web.enabled, settings.web.port) == (True, WebSettings().port)


def compose_environment(service, **given):
    """As compose makes it: ``${NAME:-default}`` out of ``given``."""

    def value(match):
        return given.get(match[1]) or match[2]

    return {
        key: re.sub(r"\$\{(\w+):-([^}]*)\}", value, str(text))
        for key, text in service["environment"].items()
    }


def test_compose_is_one_by_its_schema(tmp_path):
    tool = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema"]
    check = [*tool, "vendor.compose-spec"]
    subprocess.run([*check, DEPLOY / "compose.yaml"], check=True, capture_output=True)
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text("utf-8").replace("restart:", "restarts:"))
    assert subprocess.run([*check, wrong], check=False, capture_output=True).returncode == 1


def test_compose_sets_what_the_daemon_reads():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    service, broker = compose["services"]["genred"], compose["services"]["broker"]
    image = image_environment("Containerfile")
    settings = load(None, image | compose_environment(service)).settings
    assert [(feed.id, feed.source) for feed in settings.feeds] == [("mic", "device:default")]
    assert settings.mqtt.url == "mqtt://broker:1883"
    assert broker["ports"] == ["127.0.0.1:1883:1883"]
    others = compose_environment(service, GENRED_SOURCE="https://example.org/live", GENRED_FEED="r")
    assert load(None, image | others).settings.feeds[0].source == "https://example.org/live"
    built = service["build"]
    assert (DEPLOY / built["context"] / built["dockerfile"]).resolve() == ROOT / "Containerfile"
    mounted = [volume.split(":")[0] for volume in broker["volumes"]]
    assert (DEPLOY / mounted[0]).is_file()
    assert {*mounted[1:], service["volumes"][0].split(":")[0]} == set(compose["volumes"])
    # What is written to is a volume or in memory: all else is read-only.
    places = {volume.split(":")[1] for volume in service["volumes"]}
    places |= {place.split(":")[0] for place in service["tmpfs"]}
    assert {image["STATE_DIRECTORY"], image["RUNTIME_DIRECTORY"]} < places


def test_the_brokers_configuration_runs(tmp_path):
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    port = free_port()
    text = (DEPLOY / "mosquitto.conf").read_text("utf-8").replace("1883", f"{port} 127.0.0.1")
    text = text.replace("/mosquitto/data/", f"{tmp_path}/") + "user root\n"
    (tmp_path / "mosquitto.conf").write_text(text)
    check = compose["services"]["broker"]["healthcheck"]["test"]
    command = [word.replace("$$", "$") for word in check[1:]] + ["-p", str(port)]
    broker = subprocess.Popen(
        [shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin"), "-c", "mosquitto.conf"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: listens(port))
        subprocess.run(command, check=True, timeout=20, stdout=subprocess.DEVNULL)
    finally:
        broker.send_signal(signal.SIGTERM)
        broker.wait(10)
    assert subprocess.run(command, check=False, capture_output=True, timeout=20).returncode != 0


@pytest.fixture
def config(tmp_path):
    """The configuration of the ConfigMap as a file."""
    path = tmp_path / "genred.toml"
    path.write_text(resources()["ConfigMap"]["data"]["genred.toml"])
    return path


def test_pods_share_the_feeds(config):
    everything = [feed["id"] for feed in tomllib.loads(config.read_text())["feeds"]]
    replicas = resources()["StatefulSet"]["spec"]["replicas"]
    shares = []
    for ordinal in range(replicas):
        settings = load(None, pod_environment(ordinal, config)).settings
        assert settings.node.shard == f"{ordinal}/{replicas}"
        shares.append([feed.id for feed in settings.feeds])
    assert all(shares)
    assert sorted(feed for share in shares for feed in share) == sorted(everything)
    container = pod()["containers"][0]
    assert container["ports"][0]["containerPort"] == WebSettings().port
    service = resources()["Service"]["spec"]
    assert service["selector"] == resources()["StatefulSet"]["spec"]["selector"]["matchLabels"]
    image = image_environment("Containerfile")
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    assert {image["STATE_DIRECTORY"], image["RUNTIME_DIRECTORY"], "/etc/genred"} < mounted
    assert f"genred:{PROJECT['version']}" == container["image"]


def asked(url, **headers):
    """The status of an answer."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_probes_and_health_check_are_answered_by_a_pod(genred, config, tmp_path):
    """The pod's environment, configuration and arguments; only its feed is the station."""
    text = re.sub(r'"https://[^"]*"', '"station"', config.read_text())
    config.write_text(
        re.sub(r'url = "mqtt:[^"]*"', f'url = "mqtt://127.0.0.1:{free_port()}"', text)
    )
    environment = pod_environment(0, config)
    state, runtime = tmp_path / "state", tmp_path / "run"
    state.mkdir()
    runtime.mkdir()
    port = free_port()
    mine = {"STATE_DIRECTORY": str(state), "RUNTIME_DIRECTORY": str(runtime)}
    environment |= mine | {"GENRED_WEB__PORT": str(port), "PATH": os.environ["PATH"]}
    container = pod()["containers"][0]
    running = genred.start(*container["args"], **environment)
    wait_until(lambda: listens(port), 60, "HTTP")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        # A kubelet asks the pod's own address, whatever that is.
        url = f"http://127.0.0.1:{port}{container[probe]['httpGet']['path']}"
        wait_until(lambda url=url: asked(url, Host=f"10.1.2.3:{port}") == 200, 30, probe)
    assert asked(f"http://127.0.0.1:{port}/api/v1/feeds", Host=f"10.1.2.3:{port}") == 401
    (check,) = [rest for what, rest in instructions("Containerfile") if what == "HEALTHCHECK"]
    command = json.loads(check[check.index("CMD") + 3 :])
    health = [sys.executable, *command[1:]]
    subprocess.run(health, env=environment, check=True, timeout=30)
    assert running.end(signal.SIGTERM) == 0
    assert [path.name for path in state.iterdir()] != []  # its history
    done = subprocess.run(health, env=environment, check=False, capture_output=True, timeout=30)
    assert done.returncode != 0
