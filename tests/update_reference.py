"""Fills the tables of docs/reference.md from the code: ``make reference``.

A table is what stands between ``<!-- NAME -->`` and ``<!-- end -->``; :data:`TABLES` says how each
is made. What a table says of a thing is what the code says of it: the docstring of the field, the
help of the option. Nothing that is there can be left out.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from genred import errors, messages
from genred.commands import build_parser
from genred.messages import FEED_MESSAGES, MESSAGES, EventType, Message, SourceStatus
from genred.publishers.base import FeedInfo
from genred.publishers.discovery import describe
from genred.publishers.topics import Topics
from genred.settings.document import default_of, plain
from genred.settings.fields import allowed, is_array, section_of
from genred.settings.root import Settings
from genred.settings.values import to_toml
from rigs.messages import info

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference.md"
BLOCK = re.compile(r"(?<=<!-- )((?!end )[a-z ]+)( -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)

SHARED = 4
"""Arguments of so many commands are told once."""

VARIABLES = {
    "GENRED_CONFIG": "the configuration file, where `--config` names none",
    "GENRED_MQTT_PASSWORD": "the broker's password, where systemd hands over no credential "
    "`mqtt-password`",
    "GENRED_WEB_TOKEN": "the token of the HTTP API, where systemd hands over no credential "
    "`web-token`",
}
"""Variables that are no keys; a test knows if the code reads another one."""

OTHER_VARIABLES = {
    "CREDENTIALS_DIRECTORY": "where systemd puts credentials",
    "NOTIFY_SOCKET": "where systemd is told of readiness and progress",
    "XDG_CONFIG_HOME": "where `genred/genred.toml` is looked for; `~/.config` if not set",
    "NO_COLOR": "if set, nothing is coloured",
}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown; cells are escaped."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |\n"
        for line in lines
    )


def code(text: object) -> str:
    return f"`{text}`"


def sentence(text: str) -> str:
    """A docstring as it stands in a cell."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", plain(text)).rstrip(".")


def docs_of(module: object) -> dict[str, dict[str, str]]:
    """The docstrings of a module's attributes, by class and name."""
    found: dict[str, dict[str, str]] = {}
    for each in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(each, ast.ClassDef):
            continue
        for before, after in zip(each.body, each.body[1:], strict=False):
            if isinstance(before, ast.AnnAssign):
                name = before.target
            elif isinstance(before, ast.Assign):
                name = before.targets[0]
            else:
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found.setdefault(each.name, {})[name.id] = sentence(after.value.value)
    return found


DOCS = docs_of(messages)
MESSAGE = {name: DOCS["Message"][name] for name in Message.__dataclass_fields__}
"""What all messages share."""


def settings() -> str:
    """One table a section."""
    parts = []
    for name, field in Settings.model_fields.items():
        section = section_of(field)
        header = f"[[{name}]]" if is_array(field) else f"[{name}]"
        rows = [
            [code(key), sentence(each.description or ""), allowed(each), default(each)]
            for key, each in section.model_fields.items()
            if section_of(each) is None
        ]
        inner = [key for key, each in section.model_fields.items() if section_of(each)]
        parts.append(f"### `{header}`\n\n{sentence(field.description or '')}.\n\n")
        parts.append(table(["key", "what", "may be", "default"], rows))
        parts += [
            f"\n`[{name}.{key}]` may follow: the keys of `[{key}]`, for this feed alone.\n"
            for key in inner
        ]
        parts.append("\n")
    return "".join(parts)


def default(field: Any) -> str:
    value = default_of(field)
    if value is not None:
        return code(to_toml(value))
    return "needed" if field.is_required() else "not set"


def environment() -> str:
    """The variables that are no keys."""
    rows = (VARIABLES | OTHER_VARIABLES).items()
    return table(["variable", "what"], [[code(name), what] for name, what in rows])


TOPICS = Topics("<base>", "<node>")
STATUS = "`online` or `offline`; the last will says `offline`"
"""What both status topics say."""


def topic_of(kind: type[Message]) -> str:
    parts = ["<base>", "<node>", *(["<feed>"] if kind in FEED_MESSAGES else []), kind.topic]
    return "/".join(parts)


HOW = {
    "info": ("yes", "1", "on each connection, and when it changes"),
    "state": ("yes", "1", "on every change, and every `mqtt.heartbeat_s`"),
    "event": ("no", "1", "as it happens"),
    "scores": ("no", "0", "with each decision, where `mqtt.scores` is on"),
    "health": ("yes", "1", "when the source's state changes, and every `mqtt.heartbeat_s`"),
}
"""How each message is sent: retained, quality of service, when."""


def topics() -> str:
    """Every topic, how it is sent and what stands on it."""
    rows = [
        ["`<base>/<node>/status`", "yes", "1", "on each connection and at the end", STATUS],
        ["`<base>/<node>/<feed>/status`", "yes", "1", "on change", "the same: is audio arriving"],
    ]
    rows += [
        [code(topic_of(kind)), *HOW[kind.topic], sentence(kind.__doc__.split("\n\n")[0])]
        for kind in MESSAGES
    ]
    return table(["topic", "retained", "QoS", "when", "what"], rows)


def fields() -> str:
    """The fields of each message."""
    parts = [table(["field", "what"], ([code(k), v] for k, v in MESSAGE.items()))]
    for kind in MESSAGES:
        own = [name for name in kind.__dataclass_fields__ if name not in MESSAGE]
        rows = [[code(name), DOCS[kind.__name__][name]] for name in own]
        parts.append(f"\n`…/{kind.topic}`\n\n" + table(["field", "what"], rows))
    return "".join(parts)


def events() -> str:
    """What can happen."""
    return table(["event", "what"], [[code(e.value), DOCS["EventType"][e.name]] for e in EventType])


def states() -> str:
    """What a source can be doing."""
    rows = [
        [code(each.value), DOCS["SourceStatus"][each.name], "yes" if each.online else "no"]
        for each in SourceStatus
    ]
    return table(["state", "what", "online"], rows)


def entities() -> str:
    """All that Home Assistant is told of."""
    node, feed = describe(TOPICS, info(), [FeedInfo("<feed>", "")], 30.0)
    rows = []
    for device, words in ((node, "node"), (feed, "feed")):
        for each in device.entities:
            config = each.config
            kind = config.get("device_class") or config.get("state_class") or ""
            shown = "a diagnostic" if "entity_category" in config else ""
            if not config.get("enabled_by_default", True):
                shown += ", off at first"
            name = config["name"] or "(the feed itself)"
            unit = config.get("unit_of_measurement", "")
            rows.append([words, name, each.platform, kind, unit, shown])
    return table(["of the", "name", "platform", "class", "unit", ""], rows)


def http() -> str:
    """Every path of the HTTP API."""
    from genred.web.app import build

    app = build(*[_Anything() for _ in range(9)])
    described = next(each for each in vars(app).values() if hasattr(each, "openapi")).openapi()
    rows = [
        [code(f"{method.upper()} {path}"), sentence(operation.get("description", ""))]
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    return table(["request", "what"], rows)


class _Anything:
    """Stands for what routes use once they are called, which they are not here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _Anything()


def metrics() -> str:
    """Every metric's name as it is scraped."""
    from dashboard import fakeviews
    from genred.web.metrics import Metrics

    view = fakeviews.node(fakeviews.feed())
    hub = SimpleNamespace(events=Counter(), listeners=0, cut_off=0)
    made = Metrics(SimpleNamespace(node=lambda: view), hub)
    made.dropped = lambda: {"mqtt": 0}
    made.count("GET", "/metrics", 200, 0.01)
    made.uploads.labels("judged").inc()
    rows = []
    for family in made.registry.collect():
        if family.name.startswith("process_"):
            continue
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append(
            [code(name), family.type, ", ".join(sorted(labels)), sentence(family.documentation)]
        )
    return table(["metric", "type", "labels", "what"], sorted(rows))


def exit_codes() -> str:
    """Every code with what it means."""
    rows = {0: "fine"}
    classes = [errors.GenredError]
    for each in classes:
        classes += each.__subclasses__()
        if each is not errors.GenredError and each.__module__ == "genred.errors":
            rows.setdefault(each.exit_code, sentence(each.__doc__))
    return table(["code", "what"], ([str(number), what] for number, what in sorted(rows.items())))


def commands() -> str:
    """Every command with its arguments; what many have is told once."""
    parsers = dict(_subparsers(build_parser()))
    every = Counter(row for each in parsers.values() for row in _arguments(each))
    shared = {row: None for row, count in every.items() if count >= SHARED}
    text = "Arguments of many commands:\n\n" + table(["argument", "what"], shared) + "\n"
    return text + "".join(_command(name, each, shared) for name, each in parsers.items())


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _arguments(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Each argument as it is written, and its help."""
    rows = []
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        if not parser.add_help:
            continue  # handed on to the lab, which has a page of its own
        words = action.option_strings or [action.metavar or action.dest]
        value = action.metavar or action.dest.upper()
        if action.choices is not None:
            value = "{" + ",".join(map(str, action.choices)) + "}"
        takes = action.option_strings and action.nargs != 0
        shown = ", ".join(f"`{word} {value}`" if takes else f"`{word}`" for word in words)
        rows.append((shown, sentence(_help(action, parser))))
    return rows


def _command(
    name: str, parser: argparse.ArgumentParser, shared: Container[tuple[str, str]] = ()
) -> str:
    arguments = _arguments(parser)
    rows = [row for row in arguments if row not in shared]
    also = [row[0].split()[0].strip("`") for row in arguments if row in shared]
    described = " ".join((parser.description or "").split())
    text = f"### `genred {name}`\n\n{described}\n\n"
    if rows:
        text += table(["argument", "what"], rows) + "\n"
    if also:
        text += "And of those above: " + ", ".join(map(code, also)) + ".\n\n"
    if not parser.add_help:
        text += "Its arguments: [train/README.md](../train/README.md).\n\n"
    return text + "".join(_command(f"{name} {inner}", p) for inner, p in _subparsers(parser))


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """An option's help with what argparse puts into it."""
    values = {**vars(action), "prog": parser.prog}
    return (action.help or "") % values


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "environment": environment,
    "topics": topics,
    "fields": fields,
    "events": events,
    "states": states,
    "entities": entities,
    "http": http,
    "metrics": metrics,
    "exit codes": exit_codes,
    "commands": commands,
}


def filled(text: str) -> str:
    """The page with all tables as they must be."""
    return BLOCK.sub(lambda match: f"{match[1]}{match[2]}{TABLES[match[1]]()}", text)


def main() -> None:
    """Fill the page."""
    REFERENCE.write_text(filled(REFERENCE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
