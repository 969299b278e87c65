"""HTTP from within the service's sandbox: the token of a credential, and a clip judged."""

from __future__ import annotations

import httpx
import pytest

from rigs.clips import style, write_wav
from rigs.ports import free_port, wait_until

TOKEN = "a token that only root may read"


@pytest.mark.slow
def test_it_is_served_and_judges_with_all_that_the_unit_forbids(make_machine, tmp_path):
    port = free_port()
    machine = make_machine(
        {
            "/etc/genred/genred.toml": f"[web]\nenabled = true\nport = {port}\nhost = '0.0.0.0'\n"
            "[[feeds]]\nid = 'radio'\nsource = 'station:3'\n",
            "/etc/credstore/genred.web-token": TOKEN + "\n",
        }
    )
    machine.wait("ActiveState", "active")
    machine.wait_for_line(f"HTTP is served on http://0.0.0.0:{port}")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, 30)
        assert client.get("/").status_code == 200
        assert client.get("/api/v1/feeds").status_code == 401
        client.headers["authorization"] = f"Bearer {TOKEN}"
        clip = write_wav(tmp_path / "clip.wav", style("speech", 6)).read_bytes()
        told = client.post("/api/v1/classify", content=clip)
        assert told.status_code == 200, told.text
        assert told.json()["label"] == "speech"
        history = client.get("/api/v1/feeds/radio/history")
        assert history.status_code in {200, 503}  # the file appears with the first event
        assert client.get("/metrics").status_code == 200
    assert TOKEN not in machine.run("journalctl", "--no-pager")
    assert machine.show("NRestarts") == "0"
