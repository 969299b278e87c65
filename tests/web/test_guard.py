"""Who is answered, and what every answer carries."""

from __future__ import annotations

import socket

import pytest

from genred.errors import ConfigError, InputError, UnavailableError
from genred.settings.web import WebSettings
from genred.web.auth import COOKIE, Gate, read_token
from genred.web.guard import HEADERS
from genred.web.server import WebPublisher
from rigs.ports import free_port

TOKEN = "0123456789abcdef"


@pytest.fixture
def locked(serve):
    return serve(environ={"GENRED_WEB_TOKEN": TOKEN})


def bearer(token=TOKEN):
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "radio.example.org"])
def test_nobody_else_is_served_without_a_token(host):
    with pytest.raises(ConfigError, match="no token") as caught:
        read_token(WebSettings(host=host), {})
    assert caught.value.exit_code == 78


def test_the_token_comes_from_credential_then_variable_then_file(tmp_path):
    (tmp_path / "web-token").write_text("of-the-credential\n")
    (tmp_path / "file").write_text("of-the-file-itself\n")
    settings = WebSettings(host="0.0.0.0", token_file=tmp_path / "file")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "GENRED_WEB_TOKEN": "of-the-variable"}
    environ["GENRED_WEB_TOKEN"] += "-long-enough"
    assert read_token(settings, environ) == "of-the-credential"
    del environ["CREDENTIALS_DIRECTORY"]
    assert read_token(settings, environ) == "of-the-variable-long-enough"
    assert read_token(settings, {}) == "of-the-file-itself"
    with pytest.raises(ConfigError, match="16 printable"):
        read_token(settings, {"GENRED_WEB_TOKEN": "short"})
    with pytest.raises(InputError):
        read_token(WebSettings(token_file=tmp_path / "none"), {})


def test_a_port_that_is_taken_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = WebSettings(port=other.getsockname()[1])
        with pytest.raises(UnavailableError, match=r"web\.port"):
            WebPublisher(settings, None, None)


def test_no_secret_is_in_what_is_public(locked):
    assert locked.get("/").status_code == 200
    assert locked.get("/page/main.js").status_code == 200
    assert locked.get("/healthz").json() == {"status": "pass"}
    assert locked.get("/api/v1/session").json() == {"admitted": False, "open": False}
    described = locked.get("/api/v1/openapi.json").json()
    for path in ("/api/v1/feeds", "/metrics", "/api/v1/classify", "/api/v1/events"):
        assert next(iter(described["paths"][path].values()))["security"] == [{"token": []}]


@pytest.mark.parametrize(
    "path", ["/api/v1/feeds", "/api/v1/node", "/metrics", "/api/v1/events", "/nothing"]
)
def test_all_else_needs_the_token(locked, path):
    refused = locked.get(path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.headers["content-type"] == "application/problem+json"
    assert locked.get(path, headers=bearer("fedcba9876543210")).status_code == 401
    if path != "/api/v1/events":
        assert locked.get(path, headers=bearer()).status_code == (404 if "nothing" in path else 200)


def test_a_browser_shows_the_token_once(locked):
    wrong = locked.client.post("/api/v1/session", json={"token": "x" * 16})
    assert wrong.status_code == 403
    told = locked.client.post("/api/v1/session", json={"token": TOKEN})
    cookie = told.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert TOKEN not in cookie
    assert locked.get("/api/v1/feeds").status_code == 200
    assert locked.client.delete("/api/v1/session").status_code == 204
    assert locked.get("/api/v1/feeds").status_code == 401


def test_a_cookie_holds_over_a_restart_but_not_over_another_token():
    cookie = f"{COOKIE}={Gate(TOKEN).cookie()}"
    assert Gate(TOKEN).admits("", cookie)
    assert not Gate(TOKEN + "x").admits("", cookie)
    until, _, digest = cookie.partition("=")[2].partition(".")
    for forged in (
        f"{int(until) + 1}.{digest}",
        f"1.{Gate(TOKEN)._digest('1')}",  # rightly made, but over
        f"{'9' * 5000}.{digest}",
        f"².{digest}",
        "",
        ".",
        "é",
    ):
        assert not Gate(TOKEN).admits("", f"{COOKIE}={forged}"), forged


def test_a_name_that_somebody_else_has_pointed_here_is_not_answered(serve):
    """DNS rebinding: the browser believes it talks to the attacker's own host."""
    served = serve(name="radio.example.org")
    for host in ("evil.example:8480", "127.0.0.1.evil.example", "", "[::1", "a@127.0.0.1.x"):
        answer = served.get("/api/v1/feeds", headers={"host": host})
        assert answer.status_code == 421, host
        assert answer.headers["content-type"] == "application/problem+json"
    for host in ("localhost:1", "127.0.0.1", "[::1]:80", "radio.example.org", "LOCALHOST"):
        assert served.get("/api/v1/feeds", headers={"host": host}).status_code == 200, host


def test_pages_of_other_origins_can_do_nothing(serve):
    served = serve()
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
    ):
        answer = served.client.post("/api/v1/classify", content=b"x", headers=headers)
        assert answer.status_code == 403, headers
        shown = served.get("/api/v1/feeds", headers=headers)
        assert "access-control-allow-origin" not in shown.headers
        upgrade = headers | {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        assert served.get("/api/v1/live", headers=upgrade).status_code == 403
    own = served.client.post("/api/v1/session", json={"token": ""}, headers={"origin": served.url})
    assert own.status_code == 200


@pytest.mark.parametrize("path", ["/", "/page/style.css", "/api/v1/feeds", "/nothing", "/metrics"])
def test_every_answer_forbids_what_it_does_not_need(serve, path):
    answer = serve().get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "server" not in answer.headers
    assert answer.headers["cache-control"] in {"no-store", "no-cache"}


@pytest.mark.parametrize(
    "path", ["/page/../server.py", "/page/%2e%2e/server.py", "/page/..%2f..%2fclock.py", "/page/"]
)
def test_the_page_is_all_that_is_served_of_the_disk(serve, path):
    with socket.create_connection(("127.0.0.1", serve().publisher.port)) as line:
        line.sendall(
            f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
        )
        line.settimeout(5)
        answer = b""
        while data := line.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 404"), answer[:200]


def test_what_is_not_http_is_answered_too(serve):
    with socket.create_connection(("127.0.0.1", serve().publisher.port)) as line:
        line.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        line.settimeout(5)
        answer = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


def test_the_address_may_be_of_ip_version_6(serve):
    served = serve(host="::1")
    assert served.url.startswith("http://[::1]:")
    assert served.get("/healthz").status_code == 200


def test_a_missing_library_is_told_in_one_line(genred, tmp_path):
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError('gone', name='fastapi')\n")
    done = genred(
        "run", "--source", "station", PYTHONPATH=str(tmp_path), GENRED_WEB__ENABLED="true"
    )
    assert done.returncode == 78
    assert "fastapi is not installed" in done.stderr
    assert "genred[web]" in done.stderr
    assert "Traceback" not in done.stderr


def test_reachable_without_token_is_refused_by_the_command(genred):
    done = genred(
        "run",
        "--source",
        "station",
        GENRED_WEB__ENABLED="true",
        GENRED_WEB__HOST="0.0.0.0",
        GENRED_WEB__PORT=str(free_port()),
    )
    assert done.returncode == 78
    assert "there is no token" in done.stderr
