"""The smallest RTSP server (RFC 2326) that a player can listen to: G.711 over interleaved TCP."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Camera\r\nt=0 0\r\n"
    "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:audio\r\n"
)
PACKET = 160  # samples, 20 ms


class RtspServer:
    """Sends ``mulaw`` (8 kHz) again and again to each who plays it, in real time."""

    def __init__(self, mulaw: bytes) -> None:
        self._mulaw = mulaw
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/camera"

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(link,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, link):
        with link, contextlib.suppress(OSError), link.makefile("rb") as lines:
            while method := self._request(lines):
                sequence, url = method[1], method[2]
                extra, body = "", ""
                if method[0] == "DESCRIBE":
                    body = SDP
                    extra = f"Content-Type: application/sdp\r\nContent-Base: {url}/\r\n"
                elif method[0] == "SETUP":
                    extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                elif method[0] == "OPTIONS":
                    extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                link.sendall(
                    f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1\r\n{extra}"
                    f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
                )
                if method[0] == "PLAY":
                    self._play(link)
                    return

    @staticmethod
    def _request(lines):
        """Method, sequence number and URL of the next request; None at the end."""
        first = lines.readline().decode().split()
        if len(first) < 2:
            return None
        sequence = "0"
        while (line := lines.readline().decode().strip()) != "":
            if line.lower().startswith("cseq:"):
                sequence = line.split(":")[1].strip()
        return first[0], sequence, first[1]

    def _play(self, link):
        began = time.monotonic()
        number = 0
        while not self._closing.wait(max(0, began + number * 0.02 - time.monotonic())):
            at = number * PACKET % (len(self._mulaw) - PACKET)
            rtp = struct.pack(">BBHII", 0x80, 0, number & 0xFFFF, number * PACKET, 7)
            packet = rtp + self._mulaw[at : at + PACKET]
            link.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            number += 1
