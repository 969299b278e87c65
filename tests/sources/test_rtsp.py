"""RTSP, as cameras and intercoms speak it."""

from __future__ import annotations

import av
import numpy as np
import pytest

from genred.clock import SystemClock
from genred.errors import UnavailableError
from genred.sources.stream import StreamSource
from rigs.ports import free_port
from sources.listener import Ear, loudest_hz, tone, write_audio
from sources.rtsp_server import RtspServer


def mulaw(hz, path):
    write_audio(path, tone(hz, 1.02, 8000), 8000, "pcm_mulaw")
    with av.open(str(path)) as file:
        return b"".join(bytes(packet) for packet in file.demux(audio=0))


def test_rtsp(tmp_path):
    """What a camera's microphone hears, in real time."""
    with RtspServer(mulaw(500, tmp_path / "a.wav")) as server:
        with Ear(StreamSource(server.url, SystemClock())) as ear:
            heard = ear.hear(8, seconds=20)
        assert ear.runner.error is None
    assert loudest_hz(heard) == pytest.approx(500, abs=5)
    assert np.std(heard) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_nobody_there():
    url = f"rtsp://anna:geheim@127.0.0.1:{free_port()}/camera"
    with Ear(StreamSource(url, SystemClock())) as ear:
        ear.listen()
    assert isinstance(ear.runner.error, UnavailableError)
    assert "refused" in ear.runner.error.message
    assert "geheim" not in str(ear.runner.error)
