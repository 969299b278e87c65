"""The server within the test's process, around an engine whose views the test makes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from hearts import Heart

from genred.settings.judgement import JudgementSettings
from genred.settings.web import WebSettings
from genred.web.server import WebPublisher
from rigs.messages import info
from rigs.ports import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Served:
    """A server that runs, and a client that asks it."""

    def __init__(self, publisher: WebPublisher, heart: Heart) -> None:
        self.publisher = publisher
        self.heart = heart
        self.url = publisher.url
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def get(self, path: str, **how) -> httpx.Response:
        return self.client.get(path, **how)

    def tell(self, *messages) -> None:
        for message in messages:
            self.publisher.offer(message)


@contextmanager
def serving() -> Iterator[Callable[..., Served]]:
    """Makes servers that end with it."""
    made: list[Served] = []

    def make(heart: Heart | None = None, environ=None, history=None, **settings) -> Served:
        heart = heart or Heart()
        publisher = WebPublisher(
            WebSettings(**{"enabled": True, "port": 0} | settings),
            None,
            JudgementSettings(),
            history,
            environ=environ or {},
        )
        publisher.attach(heart)
        publisher.start(info(), ())
        served = Served(publisher, heart)
        made.append(served)
        wait_until(lambda: publisher._server and publisher._server.started, 10, "the server")
        return served

    yield make
    for each in made:
        each.client.close()
        each.publisher.stop()
        assert not each.publisher._thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Makes servers that end with the test."""
    with serving() as make:
        yield make


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    """One server for all tests of a module that leave it as it is."""
    with serving() as make:
        yield make(upload_mb=2)
