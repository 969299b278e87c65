"""A record in words and tables: for the terminal, and for ``docs/performance.md``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from genred.bench.capacity import LATE_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GOAL_CPU_MS: Final = 0.3
GOAL_FEEDS: Final = 3000
GOAL_CORE: Final = 0.005
GOAL_START_S: Final = 1.0
GOAL_MB: Final = 90.0
GOAL_FEED_KB: Final = 100.0
GOAL_TAG: Final = 2000.0
GOAL_LOADER: Final = 5.0

CHRONICLE: Final = (
    "when",
    "commit",
    "machine",
    "load",
    "ms, one feed",
    "ms, each of many",
    "feeds per core",
    "start",
    "one feed",
    "MB",
    "kB a feed",
    "`tag`",
)
"""The columns of the history."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None
    """None where there is no goal."""


def rows(record: dict[str, Any]) -> list[Row]:
    """The figures of a survey, and the goals they are held against."""
    out: list[Row] = []
    for each in record.get("rates", ()):
        out += _rate(each)
    out += _capacity(record)
    start, feed = record["start"], record["one_feed"]
    out.append(
        _below(
            "cold start to the first decision, beyond the window",
            f"{start['beyond_window_s']:.2f} s (slowest of {start['runs']} "
            f"{start['beyond_window_s'] + start['slowest_s'] - start['first_decision_s']:.2f} s)",
            start["beyond_window_s"],
            GOAL_START_S,
            "s",
        )
    )
    out.append(
        _below(
            "one feed as a daemon, capture at 48 kHz included",
            f"{feed['core']:.2%} of a core",
            feed["core"] * 100,
            GOAL_CORE * 100,
            "%",
        )
    )
    out.append(
        _below(
            "resident memory of that daemon",
            f"{feed['resident_mb']:.0f} MB",
            feed["resident_mb"],
            GOAL_MB,
            "MB",
        )
    )
    out += _memory(record["memory"])
    tag = record["tag"]
    out.append(
        Row(
            f"`tag`, decoding ({tag['codec']}), one core",
            f"{tag['decoding']:,.0f} times real time",
        )
    )
    out.append(
        Row(
            "`tag`, all beyond decoding, one core",
            f"{tag['scoring']:,.0f} times real time",
            f"at least {GOAL_TAG:,.0f}",
            tag["scoring"] >= GOAL_TAG,
        )
    )
    if "training" in record:
        out += _training(record["training"])
    if "instructions" in record:
        found = record["instructions"]
        out.append(
            Row(
                f"instructions for each second of audio, {found['feeds']} feeds at once",
                f"{found['per_audio_second'] / 1e6:.2f} million ({found['by']})",
            )
        )
    return out


def _below(what: str, shown: str, value: float, goal: float, unit: str) -> Row:
    return Row(what, shown, f"at most {goal:g} {unit}", value <= goal)


def _rate(each: dict[str, Any]) -> list[Row]:
    named = f"{each['rate']:g} decision{'' if each['rate'] == 1 else 's'} a second"
    if "error" in each:
        return [Row(f"CPU, {named}", f"does not fit: {each['error']}")]
    untrained = "" if each["own"] else ", network exported for it"
    one, many, together = each["one"], each["many"], each["all"]
    mean = sum(load["cpu_ms"] for load in together) / len(together)
    found = [
        Row(
            f"CPU for each second of audio, {named}, one feed{untrained}",
            f"{one['cpu_ms']:.3f} ms",
        )
    ]
    what = f"the same, each of {many['feeds']} feeds on one core"
    shown = f"{many['cpu_ms']:.3f} ms"
    if each["own"]:
        found.append(_below(what, shown, many["cpu_ms"], GOAL_CPU_MS, "ms"))
    else:
        found.append(Row(what, shown))
    found.append(Row(f"the same, on all {len(together)} cores at once", f"{mean:.3f} ms"))
    return found


def _capacity(record: dict[str, Any]) -> list[Row]:
    found = record["capacity"]
    one, aligned, together = found["one"], found["aligned"], found["all"]
    worst = max(load["delay_p99_ms"] for load in together)
    late = (
        f", with {one['too_many']:,} it is {one['too_late_ms']:.0f} ms" if one["too_many"] else ""
    )
    return [
        Row(
            f"feeds per core before the 99th percentile passes {LATE_MS:.0f} ms",
            f"{one['feeds']:,} ({one['delay_p99_ms']:.0f} ms, core {one['busy']:.0%} busy{late})",
            f"at least {GOAL_FEEDS:,}",
            one["feeds"] >= GOAL_FEEDS,
        ),
        Row(
            f"so many on each of {len(together)} cores at once",
            f"{one['feeds'] * len(together):,} feeds, 99th percentile {worst:.0f} ms",
        ),
        Row(
            "so many on one core, all windows ending at the same moment",
            f"99th percentile {aligned['delay_p99_ms']:.0f} ms",
        ),
    ]


def _memory(found: Sequence[dict[str, Any]]) -> list[Row]:
    first, last = found[0], found[-1]
    out = [
        Row(f"resident memory, {each['feeds']:,} feeds", f"{each['mb']:.0f} MB") for each in found
    ]
    if len(found) > 1:
        each = (last["mb"] - first["mb"]) * 1024 / (last["feeds"] - first["feeds"])
        shown = f"{each:.0f} kB"
        out.append(_below("memory for each further feed", shown, each, GOAL_FEED_KB, "kB"))
    return out


def _training(found: dict[str, Any]) -> list[Row]:
    return [
        Row(
            "training: clips a second prepared, one core",
            f"{found['clips_per_second']:,.0f}; one clip at a time "
            f"{found['naive_clips_per_second']:,.0f}; {found['ratio']:.1f} times "
            f"({found['low']:.1f} to {found['high']:.1f})",
            f"at least {GOAL_LOADER:g} times",
            found["ratio"] >= GOAL_LOADER,
        ),
        Row(
            "training: clips a second the network learns from, one core",
            f"{found['network_clips_per_second']:,.0f}",
            "at most as many as are prepared",
            found["network_clips_per_second"] <= found["clips_per_second"],
        ),
    ]


def against(duel: dict[str, Any]) -> list[Row]:
    """Daemon and peers, measured in alternation."""
    out = [_side(duel["genred"]), _side(duel["single"])]
    out += [_side(each) for each in duel["peers"]]
    for kind, ratios in (
        (f"genred with {duel['feeds']} feeds", duel["ratios"]),
        ("genred with one feed", duel["single_ratios"]),
    ):
        for each in ratios:
            goal = each["goal"] if ratios is duel["ratios"] else None
            out.append(
                Row(
                    f"{each['name']}: times dearer than {kind}",
                    f"{each['median']:.1f} ({each['low']:.1f} to {each['high']:.1f})",
                    f"at least {goal:g}" if goal else "",
                    each["median"] >= goal if goal else None,
                )
            )
    return out + [Row("not measured", each) for each in duel["missing"]]


def _side(side: dict[str, Any]) -> Row:
    return Row(side["name"], f"{side['cpu_ms']:.3f} ms ({side['low']:.3f} to {side['high']:.3f})")


def batches(found: Sequence[dict[str, Any]]) -> list[Row]:
    """Steps of the model alone, from memory to label."""
    return [
        Row(
            f"{each['provider']}, {each['feeds']:,} feeds at once",
            f"{each['ms']:.3f} ms a step, {each['us_per_feed']:.2f} µs a feed",
        )
        for each in found
    ]


def measured_on(record: dict[str, Any]) -> str:
    """Where and when, in one line."""
    on, model = record["machine"], record["model"]
    packages = ", ".join(f"{name} {number}" for name, number in on["packages"].items())
    words = (
        f"{on['cores']} cores of {on['processor']}, {on['memory_gb']:g} GB; {on['system']}, "
        f"Python {on['python']}, {packages}; genred {on['version']} "
        f"{on['commit'] or 'without a commit'}, model {model['name']} ({model['sha256']}, "
        f"{model['parameters']:,} parameters); {on['date']}, load {on['load']:g}"
    )
    return words + ("; QUICK, its figures are worth nothing" if record["quick"] else "")


def markdown(found: Iterable[Row]) -> str:
    """A table for a page."""
    lines = ["| figure | measured | goal | |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.measured} | {row.goal} | {verdict(row)} |" for row in found]
    return "\n".join(lines) + "\n"


def verdict(row: Row) -> str:
    """Whether a goal was met."""
    return {None: "", True: "met", False: "not met"}[row.met]


def chronicle(records: Iterable[dict[str, Any]]) -> str:
    """All records, a line each, the newest first."""
    lines = [
        "| " + " | ".join(CHRONICLE) + " |",
        "|" + len(CHRONICLE) * "---|",
    ]
    lines += [_line(each) for each in reversed(list(records))]
    return "\n".join(lines) + "\n"


def _line(record: dict[str, Any]) -> str:
    own = next(each for each in record["rates"] if each["own"])
    memory, on = record["memory"], record["machine"]
    further = (
        (memory[-1]["mb"] - memory[0]["mb"]) * 1024 / (memory[-1]["feeds"] - memory[0]["feeds"])
    )
    values = (
        on["date"][:16].replace("T", " "),
        on["commit"],
        f"{on['cores']} cores of {on['processor']}",
        f"{on['load']:g}",
        f"{own['one']['cpu_ms']:.3f}",
        f"{own['many']['cpu_ms']:.3f}",
        f"{record['capacity']['one']['feeds']:,}",
        f"{record['start']['beyond_window_s']:.2f} s",
        f"{record['one_feed']['core']:.2%}",
        f"{record['one_feed']['resident_mb']:.0f}",
        f"{further:.0f}",
        f"{record['tag']['scoring']:,.0f}",
    )
    return "| " + " | ".join(values) + " |"
