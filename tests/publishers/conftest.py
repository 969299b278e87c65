"""Publishers for tests that end with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genred.publishers.mqtt import MqttPublisher
from genred.settings.mqtt import MqttSettings
from rigs.messages import FEED, info
from rigs.ports import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genred.messages import Message


@pytest.fixture
def publish() -> Iterator[Callable[..., MqttPublisher]]:
    """Makes started publishers that end with the test."""
    made: list[MqttPublisher] = []

    def make(
        url: str,
        *told: Message,
        connected: bool = True,
        feeds: tuple = (FEED,),
        birth: float = 0.0,
        environ: dict[str, str] | None = None,
        **how: Any,
    ) -> MqttPublisher:
        settings = MqttSettings(url=url, **how)
        publisher = MqttPublisher(
            settings, "studio", environ=environ or {}, birth_delay=lambda: birth
        )
        made.append(publisher)
        for message in told:
            publisher.offer(message)
        publisher.start(info(), feeds)
        if connected:
            assert publisher.wait_first(10) is None
            wait_until(lambda: "connected" in publisher.status())
        return publisher

    yield make
    for each in made:
        each.stop()
