"""An internet radio: a private Icecast server, and ffmpeg as the station that feeds it."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rigs.ports import bound, free_port, listens, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONFIG = """<icecast>
<limits><sources>4</sources><burst-size>{burst}</burst-size><source-timeout>5</source-timeout></limits>
<authentication><source-password>hackme</source-password>
<admin-user>admin</admin-user><admin-password>admin</admin-password></authentication>
<hostname>127.0.0.1</hostname>
<listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
<mount type="normal"><mount-name>/private</mount-name>
<authentication type="htpasswd"><option name="filename" value="{folder}/users"/></authentication>
</mount>
<paths><logdir>{folder}</logdir><webroot>/usr/share/icecast2/web</webroot>
<adminroot>/usr/share/icecast2/admin</adminroot></paths>
<logging><errorlog>error.log</errorlog><loglevel>2</loglevel></logging>
<security><chroot>0</chroot>{owner}</security>
</icecast>
"""
ON_AIR_S = 20.0
"""ffmpeg is on the air within a second; on a laden machine it may take a while."""
TRIES = 10
"""It ends at once where the server is not quite there yet."""
AGAIN_S = 1.0
"""Between two of them: a server that has just begun to listen may not serve yet."""
SETTLED_S = 0.5
"""Icecast 2.4 crashes when somebody connects while it starts, as any listener that waits for it
does. So it is left alone for a moment, and started again where it has crashed all the same."""

_ENCODERS = {
    "mp3": (["-c:a", "libmp3lame", "-b:a", "128k", "-f", "mp3"], "audio/mpeg"),
    "aac": (["-c:a", "aac", "-b:a", "96k", "-f", "adts"], "audio/aac"),
    "vorbis": (["-c:a", "libvorbis", "-f", "ogg"], "application/ogg"),
    "opus": (["-c:a", "libopus", "-f", "ogg"], "application/ogg"),
}


class IcecastRig:
    """Icecast on a loopback port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._server: subprocess.Popen[bytes] | None = None
        self._stations: list[subprocess.Popen[bytes]] = []

    def url(self, mount: str = "live") -> str:
        """Where a station is heard."""
        return f"http://127.0.0.1:{self.port}/{mount}"

    def start(self, burst: int = 65535) -> None:
        """Start the server and wait until it answers."""
        owner = ""
        if os.geteuid() == 0:  # it refuses to run as root
            owner = "<changeowner><user>nobody</user><group>nogroup</group></changeowner>"
        config = self.folder / "icecast.xml"
        config.write_text(
            _CONFIG.format(port=self.port, folder=self.folder, owner=owner, burst=burst)
        )
        for _ in range(TRIES):
            self._server = subprocess.Popen(
                ["icecast2", "-c", str(config)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            wait_until(lambda: bound(self.port) or self._server.poll() is not None, what="Icecast")
            time.sleep(SETTLED_S)
            if self._server.poll() is None and listens(self.port):
                return
            self.kill()
        raise AssertionError("Icecast does not start")

    def kill(self) -> None:
        """End the server at once."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(10)
            self._server = None

    def freeze(self) -> None:
        """Keep the connections and send nothing."""
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._server.send_signal(signal.SIGCONT)

    def broadcast(
        self,
        path: Path,
        mount: str = "live",
        codec: str = "mp3",
        name: str = "Radio Example",
        more: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Play a file endlessly as a station; returns once it is on the air."""
        for _ in range(TRIES):
            station = self._broadcast(path, mount, codec, name, more)
            wait_until(
                lambda s=station: s.poll() is not None or self._on_air(mount),
                ON_AIR_S,
                "the station",
            )
            if station.poll() is None:
                return station
            time.sleep(AGAIN_S)
            if self._server is not None and self._server.poll() is not None:
                self.start()
        said = (self.folder / "ffmpeg").read_text(errors="replace")
        logged = (self.folder / "error.log").read_text(errors="replace")
        raise AssertionError(f"ffmpeg does not get on the air:\n{said}\nIcecast:\n{logged}")

    def _broadcast(
        self, path: Path, mount: str, codec: str, name: str, more: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        options, content_type = _ENCODERS[codec]
        with (self.folder / "ffmpeg").open("ab") as said:
            station = subprocess.Popen(
                [
                    *("ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1"),
                    *(
                        "-i",
                        path,
                        *more,
                        *options,
                        "-content_type",
                        content_type,
                        "-ice_name",
                        name,
                    ),
                    f"icecast://source:hackme@127.0.0.1:{self.port}/{mount}",
                ],
                stderr=said,
            )
        self._stations.append(station)
        return station

    def title(self, title: str, mount: str = "live") -> None:
        """Announce another song on an MP3 or AAC mount."""
        query = urllib.parse.urlencode({"mount": f"/{mount}", "mode": "updinfo", "song": title})
        self._admin(f"admin/metadata?{query}&charset=UTF-8")

    def stop_station(self, station: subprocess.Popen[bytes]) -> None:
        """Take a station off the air."""
        station.kill()
        station.wait(10)

    def stop(self) -> None:
        """End everything."""
        for station in self._stations:
            self.stop_station(station)
        self.kill()

    def _on_air(self, mount: str) -> bool:
        try:
            return f"/{mount}".encode() in self._admin("admin/listmounts")
        except (OSError, http.client.HTTPException):  # busy with the station that just comes
            return False

    def _admin(self, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}")
        secret = base64.b64encode(b"admin:admin").decode()
        request.add_header("Authorization", f"Basic {secret}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


@pytest.fixture
def icecast() -> Iterator[IcecastRig]:
    """A running internet radio server of the test's own."""
    for program in ("icecast2", "ffmpeg"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="genred-icecast-"))
    folder.chmod(0o777)  # the server writes its logs as another user
    rig = IcecastRig(folder, free_port())
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
        shutil.rmtree(folder, ignore_errors=True)
