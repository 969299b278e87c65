"""All settings together."""

from __future__ import annotations

from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from genred.settings.broker import BrokerSettings
from genred.settings.dashboard import DashboardSettings
from genred.settings.feeds import FeedSettings
from genred.settings.history import HistorySettings
from genred.settings.judgement import JudgementSettings
from genred.settings.logging import LoggingSettings
from genred.settings.model import ModelSettings
from genred.settings.mqtt import MqttSettings
from genred.settings.node import NodeSettings
from genred.settings.section import Section
from genred.settings.web import WebSettings

STDIN = "-"
"""The source that is standard input."""


class Settings(Section):
    """genred's configuration."""

    node: NodeSettings = Field(default_factory=NodeSettings)
    """What this daemon is called."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    """What listens, and on what it runs."""

    judgement: JudgementSettings = Field(default_factory=JudgementSettings)
    """From scores to what is said."""

    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    """The broker, the topics, and Home Assistant's discovery."""

    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    """The embedded MQTT broker."""

    web: WebSettings = Field(default_factory=WebSettings)
    """The HTTP API, metrics and the live page; needs the extra ``web``."""

    dashboard: DashboardSettings = Field(default_factory=DashboardSettings)
    """The display in the terminal."""

    history: HistorySettings = Field(default_factory=HistorySettings)
    """What is kept on disk of what was heard: segments, dead air and events, never sound."""

    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    """What goes to standard error."""

    feeds: tuple[FeedSettings, ...] = ()
    """What is listened to, each thing under a ``[[feeds]]`` of its own."""

    def judgement_for(self, feed: FeedSettings) -> JudgementSettings:
        """``[judgement]``, with the keys that the feed has of its own."""
        return feed.judgement.over(self.judgement)

    @model_validator(mode="after")
    def _feeds_go_together(self) -> Self:
        errors: list[InitErrorDetails] = []

        def wrong(index: int, key: str, message: str) -> None:
            what = PydanticCustomError("feeds", "{message}", {"message": message})
            errors.append(InitErrorDetails(type=what, loc=("feeds", index, key), input=None))

        first: dict[str, int] = {}
        for index, feed in enumerate(self.feeds):
            same = first.setdefault(feed.id, index)
            if same != index:
                wrong(index, "id", f"feed {same + 1} is called {feed.id!r} already")
            if feed.source == STDIN and any(each.source == STDIN for each in self.feeds[:index]):
                wrong(index, "source", "only one feed can read standard input")
            try:
                self.judgement_for(feed)
            except ValidationError as error:
                for each in error.errors():
                    message = each["msg"].removeprefix("Value error, ")
                    wrong(index, "judgement", f"{message} (together with [judgement])")
        if errors:
            raise ValidationError.from_exception_data(type(self).__name__, errors)
        return self
