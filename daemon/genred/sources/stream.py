"""A stream by URL: Icecast, SHOUTcast and plain HTTP, HLS, RTSP."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av
from av.error import FFmpegError

from genred.errors import InputError, UnavailableError, UsageError
from genred.masking import mask
from genred.resample import Channel, Resampler
from genred.sources.base import StreamInfo
from genred.sources.decoder import Decoder, refuse
from genred.sources.http import TIMEOUT_S, Station
from genred.sources.pace import AHEAD, Pacer
from genred.sources.playlist import LONGEST_BYTES, first_stream, is_hls, is_playlist
from genred.sources.text import clean

if TYPE_CHECKING:
    from av.container import InputContainer

    from genred.clock import Clock
    from genred.sources.base import Intake

SCHEMES = ("http", "https", "rtsp", "rtsps")
"""What a URL may begin with."""
PROTOCOLS = "http,https,tls,tcp,udp,rtp,crypto,httpproxy"
"""What FFmpeg may open when it follows a playlist or RTSP: the network, and never ``file:``,
``concat:`` or ``subfile:``, with which a playlist could read this machine's disk."""
FORMAT_BYTES = 16_384
"""How much FFmpeg reads to tell the format: a second of radio at 128 kbit/s. MP3 entered in
midstream would by default be looked at for 130 kB, which is 8 s; at 8 kB AAC was mistaken."""
PROBE_BYTES = 65_536
"""How much it reads in all before it begins, of a plain stream."""
ANALYSE_US = 500_000
"""How much sound (microseconds) it looks through for that."""
SEGMENTS_PROBE_BYTES = 1_000_000
"""The same for HLS, RTSP and files on web servers, where headers can be long and come fast."""
SEGMENTS_ANALYSE_US = 2_000_000
SEGMENTS_TIMEOUT_S = 30.0
"""Longest wait between two reads of those: the next segment of HLS can be 10 s away."""
READ_BYTES = 4096
"""At most so much a read: a title comes at most a quarter of a second too early."""
GATHER_S = 0.1
"""What is decoded is resampled in pieces of this length; the burst at a stream's beginning is far
longer."""
NO_AUDIO_S = 20.0
"""Bytes but no audio for so long means that something else is being sent: the stream is opened
again and looked at anew."""
MOST_PLAYLISTS = 3
"""A playlist that leads to a playlist is followed so far."""
NO_AUDIO_BYTES = 32 * 2**20
"""So many bytes without audio are given up sooner: FFmpeg keeps what it takes for a title or a
picture, and a tag may claim 256 MB."""


class StreamSource:
    """What plays at ``url``; live, in real time however the server portions it out.

    A server's initial burst stays in the connection and serves as a buffer.
    """

    live = True
    synthetic = False

    def __init__(self, url: str, clock: Clock, *, channel: Channel = "mix") -> None:
        self.description = mask(url)
        self._url = url
        self._clock = clock
        self._channel: Channel = channel
        self._station: Station | None = None
        self._name: str | None = None
        self._title: str | None = None
        self._heard_at = 0.0
        self._unheard_bytes = 0
        try:
            parts = urlsplit(url)
            sound = parts.scheme.lower() in SCHEMES and parts.hostname and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise UsageError(
                f"{self.description} is not a stream's URL", "http, https, rtsp or rtsps: //host/…"
            )

    def interrupt(self) -> None:
        """End a read over HTTP at once; HLS and RTSP end theirs within the timeout."""
        station = self._station
        if station is not None:
            station.interrupt()

    def run(self, intake: Intake) -> None:
        """Play until told to stop.

        Raises :class:`UnavailableError` when the server cannot be reached, refuses, stalls or
        hangs up, :class:`AccessError` when it wants other credentials and :class:`InputError`
        when it sends something other than audio.
        """
        self._name, self._title = None, None
        try:
            if self._url.lower().startswith("http"):
                self._run_http(intake)
            else:
                with self._open_url(self._url) as container:
                    self._play(container, intake)
        except FFmpegError as error:
            refuse(self.description, error, remote=True)
        finally:
            self._station = None

    def _run_http(self, intake: Intake) -> None:
        url = self._url
        for _ in range(MOST_PLAYLISTS + 1):
            station = Station(url, self._set_title)
            with closing(station):
                self._station = station
                if intake.stopping.is_set():
                    return
                station.open()
                if station.is_web_page:
                    raise InputError(
                        f"{self.description}: this is a web page, not audio",
                        "the stream's own address is needed, often found in the page's player",
                    )
                if not is_playlist(station.content_type, urlsplit(url).path, station.head):
                    self._run_station(station, intake)
                    return
                text = station.rest(LONGEST_BYTES).decode("utf-8", "replace")
            if is_hls(text):
                with self._open_url(url) as container:
                    self._play(container, intake, ahead=0.0)
                return
            following = first_stream(text, station.url)
            if following is None:
                raise InputError(f"{self.description}: this playlist names no stream")
            url = following
        raise InputError(f"{self.description}: playlists that lead to playlists without end")

    def _run_station(self, station: Station, intake: Intake) -> None:
        self._name = station.name
        self._heard_at = time.monotonic()
        self._unheard_bytes = 0
        if station.length and not station.icy:
            # A file on a web server: FFmpeg may need to seek in it.
            with self._open_url(station.url) as container:
                self._play(container, intake, ahead=0.0)
            return
        with av.open(
            _Watched(self, station),
            mode="r",
            container_options={
                "formatprobesize": str(FORMAT_BYTES),
                "probesize": str(PROBE_BYTES),
                "analyzeduration": str(ANALYSE_US),
            },
            metadata_errors="replace",
            buffer_size=READ_BYTES,
        ) as container:
            self._play(container, intake)

    def _open_url(self, url: str) -> InputContainer:
        return av.open(
            url,
            container_options={
                "probesize": str(SEGMENTS_PROBE_BYTES),
                "analyzeduration": str(SEGMENTS_ANALYSE_US),
                "protocol_whitelist": PROTOCOLS,
                "rtsp_flags": "prefer_tcp",
            },
            metadata_errors="replace",
            timeout=(TIMEOUT_S, SEGMENTS_TIMEOUT_S),
        )

    def _play(self, container: InputContainer, intake: Intake, *, ahead: float = AHEAD) -> None:
        decoder = Decoder(container, self.description)
        # A playlist's segments come in bursts: ahead of them there is nothing to hear yet.
        pacer = Pacer(intake, self._clock, ahead=ahead)
        resampler = Resampler(intake.rate, self._channel, GATHER_S)
        tags = {key.lower(): value for key, value in decoder.tags.items()}
        name = self._name or clean(tags.get("icy-name", "")) or urlsplit(self._url).hostname
        told: StreamInfo | None = None
        intake.listening()
        for block, rate in decoder.blocks():
            info = StreamInfo(station=name, title=self._title or decoder.title)
            if info != told:
                intake.info(info)
                told = info
            if not pacer.put(resampler.push(block, rate)):
                return
            self._heard_at = time.monotonic()
            self._unheard_bytes = 0
        if told is None and not intake.stopping.is_set():
            raise UnavailableError(f"{self.description}: the stream ended before any audio came")
        pacer.finish()

    def _set_title(self, title: str | None) -> None:
        self._title = title

    def check_audio_flows(self, count: int) -> None:
        """Raise :class:`UnavailableError` where bytes come but have not become sound for long.

        ``count`` more of them have come.
        """
        self._unheard_bytes += count
        if self._unheard_bytes > NO_AUDIO_BYTES:
            raise UnavailableError(
                f"{self.description}: {NO_AUDIO_BYTES / 2**20:.0f} MB of data without audio in it"
            )
        if time.monotonic() - self._heard_at > NO_AUDIO_S:
            raise UnavailableError(
                f"{self.description}: {NO_AUDIO_S:.0f} s of data without audio in it"
            )


class _Watched:
    """The station's bytes for FFmpeg: no seeking, and a look at whether audio comes of them."""

    name = "stream"

    def __init__(self, source: StreamSource, station: Station) -> None:
        self._source = source
        self._station = station

    def read(self, size: int) -> bytes:
        data = self._station.read(size)
        self._source.check_audio_flows(len(data))
        return data
