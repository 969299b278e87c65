"""Credentials and TLS against a real mosquitto, and secrets that are never shown."""

from __future__ import annotations

import logging
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from genred.errors import AccessError, ConfigError, InputError, UnavailableError
from genred.publishers.client import PASSWORD_BYTES, make_client, read_password
from genred.settings.mqtt import MqttSettings
from rigs.messages import event
from rigs.ports import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from genred.publishers.mqtt import MqttPublisher
    from rigs.mosquitto import Mosquitto

# paho leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")

PASSWORD = "h/u?s#h@%42!"
WRITTEN = PASSWORD.replace("%", "%25")
"""In a URL a percent sign alone must be escaped."""


@pytest.fixture
def guarded(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    return make_mosquitto(users={"ann": PASSWORD}).start()


def with_user(broker: Mosquitto, user: str) -> str:
    return broker.url.replace("mqtt://", f"mqtt://{user}@")


def test_the_right_password_from_each_place(
    guarded: Mosquitto, publish: Callable[..., MqttPublisher], tmp_path: Path
):
    """URL, systemd's credential, environment and file all open the door."""
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "mqtt-password").write_text(PASSWORD)
    for how in (
        {"url": with_user(guarded, f"ann:{WRITTEN}")},
        {"url": guarded.url, "username": "ann", "password_file": file},
        {
            "url": with_user(guarded, "ann"),
            "environ": {"GENRED_MQTT_PASSWORD": PASSWORD},
        },
        {"url": with_user(guarded, "ann"), "environ": {"CREDENTIALS_DIRECTORY": str(credentials)}},
    ):
        publisher = publish(**how)
        assert publisher.status() == f"{guarded.url} connected"
        publisher.stop()


def test_where_the_password_is_looked_for_first(tmp_path: Path):
    """URL over credential over environment over file."""
    file, credentials = tmp_path / "file", tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "mqtt-password").write_text("from the credential\n")
    file.write_text("from the file\r\n")
    environ = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "GENRED_MQTT_PASSWORD": "from the environment",
    }
    in_url = MqttSettings(url="mqtt://ann:inurl@h", password_file=file)
    settings = MqttSettings(url="mqtt://ann@h", password_file=file)
    assert read_password(in_url, environ) == "inurl"
    assert read_password(settings, environ) == "from the credential"
    (credentials / "mqtt-password").unlink()
    assert read_password(settings, environ) == "from the environment"
    del environ["GENRED_MQTT_PASSWORD"]
    assert read_password(settings, environ) == "from the file"
    assert read_password(MqttSettings(url="mqtt://ann@h"), environ) is None


def test_a_wrong_password_is_one_clear_line(
    guarded: Mosquitto, publish: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
):
    """Exit code 77 for whoever asks, one line in the log, and neither shows the password."""
    publisher = publish(with_user(guarded, "ann:wrong-one"), connected=False)
    failure = publisher.wait_first(10)
    assert isinstance(failure, AccessError)
    assert failure.exit_code == 77
    assert str(failure) == (
        f"{guarded.url} refuses: not authorized "
        "(check mqtt.username and the password, see mqtt.password_file)"
    )
    publisher.offer(event(1))
    wait_until(lambda: guarded.log.count("not authorised") >= 2, 10)
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1
    assert "not authorized" in publisher.status()
    assert "wrong-one" not in caplog.text + publisher.status() + str(failure)


def test_a_password_mended_at_the_broker_is_found(
    guarded: Mosquitto, publish: Callable[..., MqttPublisher]
):
    """Attempts go on after a refusal; what waited is then sent."""
    publisher = publish(with_user(guarded, "ann:newer"), connected=False)
    assert isinstance(publisher.wait_first(10), AccessError)
    publisher.offer(event(7))
    passwords = str(guarded.directory / "passwords")
    subprocess.run(["mosquitto_passwd", "-b", passwords, "ann", "newer"], check=True)
    listening = guarded.listen_as("ann", "newer", "genred/studio/fm/event")
    listening.wait_for("genred/studio/fm/event")
    assert publisher.first_failure is None


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, InputError, "No such file"),
        (b"", InputError, "is empty"),
        (b"\n", InputError, "is empty"),
        (b"\xff\xfe", InputError, "is not text"),
        (b"x" * (PASSWORD_BYTES + 1), InputError, "too long"),
        ("folder", InputError, "Is a directory"),
    ],
)
def test_a_password_file_that_is_none(
    tmp_path: Path, content: bytes | str | None, error: type, words: str
):
    """Each says which file and what should be in it."""
    file = tmp_path / "password"
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=words) as caught:
        make_client(MqttSettings(url="mqtt://ann@h", password_file=file), "x", {})
    assert str(file) in caught.value.message
    assert "password" in caught.value.hint


def test_a_password_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Permission is exit code 77."""

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)  # root, who runs tests, may read everything
    with pytest.raises(AccessError, match="may not be read"):
        read_password(MqttSettings(url="mqtt://a@h", password_file=tmp_path / "p"), {})


SECRETS = ["mqtt://ann:tops3cret@host", "mqtt://ann:tops3cret@host:99999", "mqtts://a:tops3cret@"]
SECRETS += ["http://ann:tops3cret@host", "mqtt://ann:tops3cret/@ho st", "mqtt://:tops3cret@host"]


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_in_a_url_is_never_shown(url: str):
    """Neither in a dump, nor a repr, nor in what is said of a URL that is wrong."""
    try:
        settings = MqttSettings(url=url)
    except ValidationError as error:
        shown = str(error) + repr(error)
    else:
        shown = repr(settings) + str(settings.model_dump()) + settings.model_dump_json()
        shown += str(settings.address)
        assert settings.url_password.get_secret_value() == "tops3cret"
        assert settings.user == "ann"
    assert "tops3cret" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://broker", "mqtt://broker:1883"),
        ("mqtts://broker", "mqtts://broker:8883"),
        ("mqtts://ann:x@broker:443/", "mqtts://broker:443"),
        ("mqtt://[::1]", "mqtt://[::1]:1883"),
        ("mqtt://ann:a@b/c?d#e@broker:77", "mqtt://broker:77"),
    ],
)
def test_urls_that_are_understood(url: str, shown: str):
    """Default ports are the registered ones."""
    assert str(MqttSettings(url=url).address) == shown


NO_URLS = ["", "broker", "broker:1883", "tcp://broker", "mqtt://", "mqtt://:1883", "mqtt://a:0"]
NO_URLS += ["mqtt://a..b", "mqtt://a/topic", "mqtt://a?x=1", "mqtt://a b", "mqtt://a\x00b"]
NO_URLS += ["mqtt://[::1", f"mqtt://{'a' * 64}.de", "mqtt://a:65536", "mqtt://a:b"]


@pytest.mark.parametrize("url", NO_URLS)
def test_urls_that_are_not(url: str):
    """Each is refused with a line, and none reaches the network thread."""
    with pytest.raises(ValidationError):
        MqttSettings(url=url)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "mqtt://ann@h", "username": "bob"},
        {"url": "mqtt://h", "password_file": "p"},
        {"url": "mqtt://h", "alpn": "mqtt"},
        {"url": "mqtts://h", "cert_file": "c"},
        {"base_topic": "/genred"},
        {"base_topic": "genred/#"},
        {"discovery_prefix": ""},
    ],
)
def test_settings_that_contradict_each_other(settings: dict):
    """Refused together, not found out at run time."""
    with pytest.raises(ValidationError):
        MqttSettings(**settings)


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority of our own, a server's certificate and a client's."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, cwd=folder, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "other"):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2"]
        openssl("req", "-x509", *key, *files, "-subj", f"/CN=test authority {name}")
    signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    extensions = {
        "server": "subjectAltName=IP:127.0.0.1",
        "client": "extendedKeyUsage=clientAuth",
    }
    for name, extension in extensions.items():
        (folder / f"{name}.ext").write_text(extension)
        request = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
        openssl("req", *key, *request)
        signed = ["-extfile", f"{name}.ext", "-out", f"{name}.pem"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signer, *signed)
    openssl("ec", "-in", "client.key", "-aes128", "-passout", "pass:x", "-out", "locked.key")
    return folder


@pytest.fixture
def tls(make_mosquitto: Callable[..., Mosquitto], authority: Path) -> Mosquitto:
    lines = (f"cafile {authority}/ca.pem", f"certfile {authority}/server.pem")
    return make_mosquitto(*lines, f"keyfile {authority}/server.key").start()


def test_tls_with_an_authority_of_ones_own(
    tls: Mosquitto, publish: Callable[..., MqttPublisher], authority: Path
):
    """``mqtts://`` and ``ca_file`` are all it takes."""
    publisher = publish(f"mqtts://127.0.0.1:{tls.port}", ca_file=authority / "ca.pem")
    assert publisher.status() == f"mqtts://127.0.0.1:{tls.port} connected"


def test_a_client_certificate(
    make_mosquitto: Callable[..., Mosquitto],
    publish: Callable[..., MqttPublisher],
    authority: Path,
):
    """A broker that wants to know who comes is shown genred's own certificate."""
    lines = (f"cafile {authority}/ca.pem", f"certfile {authority}/server.pem")
    lines += (f"keyfile {authority}/server.key", "require_certificate true")
    broker = make_mosquitto(*lines, "use_identity_as_username true").start()
    url = f"mqtts://127.0.0.1:{broker.port}"
    files = {"cert_file": authority / "client.pem", "key_file": authority / "client.key"}
    publisher = publish(url, ca_file=authority / "ca.pem", **files)
    assert "connected" in publisher.status()
    without = publish(url, connected=False, ca_file=authority / "ca.pem", client_id="without")
    assert isinstance(without.wait_first(10), UnavailableError)


def test_a_certificate_of_somebody_else_is_not_accepted(
    tls: Mosquitto, publish: Callable[..., MqttPublisher], authority: Path
):
    """Neither one signed by an unknown authority, nor one for another name."""
    url = f"mqtts://127.0.0.1:{tls.port}"
    unknown = publish(url, connected=False, ca_file=authority / "other.pem").wait_first(10)
    assert isinstance(unknown, UnavailableError)
    assert "certificate not accepted" in unknown.message
    assert "ca_file" in unknown.hint
    named = publish(
        f"mqtts://localhost:{tls.port}", connected=False, ca_file=authority / "ca.pem"
    ).wait_first(10)
    assert "certificate not accepted: hostname mismatch" in named.message.lower()


def test_tls_to_a_plain_port_and_plain_to_a_tls_port(
    tls: Mosquitto, mosquitto: Mosquitto, publish: Callable[..., MqttPublisher], authority: Path
):
    """Both are told apart from a broker that is away."""
    upside = publish(
        f"mqtts://127.0.0.1:{mosquitto.port}", connected=False, ca_file=authority / "ca.pem"
    ).wait_first(10)
    assert isinstance(upside, UnavailableError)
    down = publish(f"mqtt://127.0.0.1:{tls.port}", connected=False).wait_first(10)
    assert isinstance(down, UnavailableError)


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({"ca_file": "missing.pem"}, InputError, "No such file"),
        ({"ca_file": "client.key"}, ConfigError, "not a usable PEM file"),
        ({"cert_file": "client.pem", "key_file": "other.key"}, ConfigError, "not a usable PEM"),
        ({"cert_file": "client.pem", "key_file": "missing"}, InputError, "No such file"),
        ({"cert_file": "client.pem", "key_file": "locked.key"}, ConfigError, "is encrypted"),
    ],
)
def test_certificates_that_are_none(authority: Path, files: dict, error: type, words: str):
    """Each is told when the publisher is made, and nobody is asked for a passphrase."""
    paths = {key: authority / name for key, name in files.items()}
    with pytest.raises(error, match=words):
        make_client(MqttSettings(url="mqtts://h", **paths), "x", {})


def test_alpn_is_offered(publish: Callable[..., MqttPublisher], authority: Path):
    """The protocol name reaches the server that shares its port."""
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    chosen: list[str | None] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as tls:
                chosen.append(tls.selected_alpn_protocol())

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"mqtts://127.0.0.1:{server.getsockname()[1]}"
        publish(url, connected=False, ca_file=authority / "ca.pem", alpn="x-amzn-mqtt-ca")
        thread.join(10)
    assert chosen == ["x-amzn-mqtt-ca"]
