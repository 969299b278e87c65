"""HTTP as radio stations speak it: ICY answers, redirects, credentials, playlists, web pages.

Python's own client stands between server and FFmpeg, because the titles of a station are in the
bytes (:mod:`genred.sources.icy`), because a read can be broken off from another thread, and because
a redirect must lead to http or https and nowhere else.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from genred import __version__
from genred.errors import AccessError, GenredError, InputError, UnavailableError
from genred.masking import mask
from genred.sources.icy import IcyReader, interval, text_of
from genred.sources.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 10.0
"""Longest wait to connect, and between two reads: one that sends nothing for so long stalls."""
SNIFF_BYTES = 1024
"""Looked at to tell audio from a web page or a playlist."""
MOST_REDIRECTS = 5
"""A station's load balancer needs one or two."""

_REDIRECTS = {301, 302, 303, 307, 308}
_IN_URLS = "/%:=&?;+,@!$'()*~[]"
_WEB_PAGES = {"text/html", "application/xhtml+xml"}


class Station:
    """One answer of a server; once opened, a file that FFmpeg can read, titles taken out.

    ``on_title`` is called, while reading, with each title. :meth:`interrupt` ends opening and
    reading from another thread.
    """

    def __init__(self, url: str, on_title: Callable[[str | None], None]) -> None:
        self.url = url
        """Its address, after redirects."""
        self.content_type = ""
        self.name: str | None = None
        self.icy = False
        """Does it speak ICY: a radio station rather than a file on a web server."""
        self.length: str | None = None
        self._on_title = on_title
        self._shown = mask(url)
        self._sockets: list[socket.socket] = []
        self._interrupted = False
        self._response: Any = None
        self._stream: Any = None
        self._head = b""

    def open(self) -> None:
        """Connect, follow redirects, and look at how the answer begins.

        Raises :class:`UnavailableError`, :class:`AccessError` or :class:`InputError`.
        """
        self._response = self._open(self.url)
        headers = self._response.headers
        self.url = self._response.url
        self.content_type = headers.get_content_type() if "content-type" in headers else ""
        self.name = clean(text_of(headers.get("icy-name", "").encode("latin-1", "replace")))
        every = interval(headers.get("icy-metaint"))
        self.icy = every is not None or any(key.lower().startswith("icy-") for key in headers)
        self.length = headers.get("content-length")
        self._stream = self._response
        if every is not None:
            self._stream = IcyReader(self._response, every, self._on_title)
        self._head = self._read1(SNIFF_BYTES)

    @property
    def head(self) -> bytes:
        """The first bytes, before any has been read."""
        return self._head

    @property
    def is_web_page(self) -> bool:
        """Is this HTML, by what the server calls it or by how it begins."""
        start = self._head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return self.content_type in _WEB_PAGES or start.startswith((b"<!doctype html", b"<html"))

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes as soon as there are any; empty at the end.

        Raises :class:`UnavailableError` when nothing comes for :data:`TIMEOUT_S`.
        """
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._read1(size)

    def rest(self, limit: int) -> bytes:
        """Up to ``limit`` bytes, head included: for playlists."""
        parts = b""
        while len(parts) < limit and (data := self.read(limit - len(parts))):
            parts += data
        return parts

    def interrupt(self) -> None:
        """End a read that another thread sits in."""
        self._interrupted = True
        for each in self._sockets:
            with contextlib.suppress(OSError):
                # Not the method of an SSL socket, which tears down what the reader is using.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        if self._response is not None:
            self._response.close()

    def _read1(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read1(size)
        except TimeoutError:
            raise UnavailableError(
                f"{self._shown}: the stream has stalled, nothing for {TIMEOUT_S:.0f} s"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnavailableError(
                f"{self._shown}: the stream broke off: {reason(error)}"
            ) from None
        return data

    def _open(self, url: str) -> Any:
        for _ in range(MOST_REDIRECTS + 1):
            try:
                return self._ask(url)
            except urllib.error.HTTPError as error:
                # Closed unread: its body may be of any length.
                error.close()
                if error.code not in _REDIRECTS or not error.headers.get("location"):
                    raise _refused(self._shown, error) from None
                url = _redirected(url, error.headers["location"])
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise UnavailableError(
                    f"{self._shown}: cannot be reached: {reason(error)}",
                    "check the address and the network",
                ) from None
        raise UnavailableError(f"{self._shown}: redirects without end")

    def _connected(self, link: socket.socket) -> None:
        self._sockets.append(link)
        if self._interrupted:
            self.interrupt()

    def _ask(self, url: str) -> Any:
        plain, credentials = _split(url)
        request = urllib.request.Request(  # noqa: S310 - only http and https have a handler here
            plain, headers={"User-Agent": f"genred/{__version__}", "Icy-MetaData": "1"}
        )
        if credentials:
            request.add_unredirected_header("Authorization", f"Basic {credentials}")
        return _opener(self._connected).open(request, timeout=TIMEOUT_S)


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads: to http or https alone; credentials stay with their own server.

    Raises :class:`InputError` for anything else.
    """
    try:
        target = urlsplit(urljoin(url, location))
        web = target.scheme.lower() in {"http", "https"} and target.hostname
    except ValueError:
        web = None
    if not web:
        raise InputError(f"{mask(url)}: leads to {mask(location)[:200]!r}, which is not the web")
    before = urlsplit(url)
    host = target.netloc.rpartition("@")[2]
    login, at, own_host = before.netloc.rpartition("@")
    if (target.scheme, host) == (before.scheme, own_host):
        host = login + at + host
    return urlunsplit(target._replace(netloc=host))


def reason(error: BaseException) -> str:
    """Why a connection failed, in words and without a URL's secrets."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"no answer in {TIMEOUT_S:.0f} s"
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {inner.verify_message}"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return mask(str(inner)) or type(inner).__name__


def _refused(shown: str, error: urllib.error.HTTPError) -> GenredError:
    if error.code in {401, 403, 407}:
        return AccessError(
            f"{shown}: the server does not let us in (HTTP {error.code})",
            "credentials go into the URL: http://user:password@host/…",
        )
    if error.code in {404, 410}:
        return UnavailableError(
            f"{shown}: there is nothing at this address (HTTP {error.code})",
            "is the station off the air, or the address wrong?",
        )
    return UnavailableError(
        f"{shown}: the server refuses: HTTP {error.code} {clean(str(error.reason))}"
    )


def _split(url: str) -> tuple[str, str]:
    """The URL without its credentials, and those as HTTP Basic wants them.

    What may not stand in a request as it is (spaces, letters beyond ASCII) is escaped.
    """
    parts = urlsplit(url)
    parts = parts._replace(
        path=quote(parts.path, safe=_IN_URLS), query=quote(parts.query, safe=_IN_URLS), fragment=""
    )
    if "@" not in parts.netloc:
        return urlunsplit(parts), ""
    login, _, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    plain = urlunsplit(parts._replace(netloc=host))
    return plain, base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


class _IcyAnswer(io.RawIOBase):
    """An answer that begins with ``ICY 200 OK``, as SHOUTcast 1 sends, made to begin with HTTP."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        stream.read(len(b"ICY"))
        self._start = b"HTTP/1.0"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._start:
            count = min(len(buffer), len(self._start))
            buffer[:count], self._start = self._start[:count], self._start[count:]
            return count
        return self._stream.readinto1(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        stream: Any = self.fp
        if stream is not None and stream.peek(3)[:3] == b"ICY":
            self.fp = io.BufferedReader(_IcyAnswer(stream))
        super().begin()


def _opener(on_socket: Callable[[socket.socket], None]) -> urllib.request.OpenerDirector:
    """A client with no other protocols than http and https: no file, no ftp, no data."""

    class Connection(http.client.HTTPConnection):
        response_class = _Response

        def connect(self) -> None:
            super().connect()
            on_socket(self.sock)

    class SecureConnection(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            on_socket(self.sock)

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Connection, req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(SecureConnection, req, context=ssl.create_default_context())

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Http(),
        Https(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
