"""Fills the README's blocks with what the commands really print: ``make readme``.

A block is what follows a comment ``<!-- NAME: COMMAND -->`` up to the next blank line or the end of
its fence. Nothing in them is written by hand.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
GENRED = [sys.executable, "-m", "genred"]
WATCH_S = 40
"""Long enough for the demo's first label and a heartbeat."""


def block(text: str, name: str) -> str:
    """What stands in the block ``name`` of the README's ``text``, without its fence."""
    found = re.search(pattern(name), text, re.DOTALL)
    assert found, f"the README has no block {name!r}"
    return found["fenced"] if found["fenced"] is not None else found["plain"]


def pattern(name: str) -> str:
    """Matches the comment of a block and its content."""
    return (
        rf"(?P<head><!-- {name}: [^\n]*-->\n)"
        r"(?:```text\n(?P<fenced>.*?)```\n|(?P<plain>(?:\|[^\n]*\n)+))"
    )


def fill(text: str, name: str, content: str) -> str:
    """The README's ``text`` with the block ``name`` replaced."""

    def replaced(match: re.Match[str]) -> str:
        body = f"```text\n{content}```\n" if match["fenced"] is not None else content
        return match["head"] + body

    assert re.search(pattern(name), text, re.DOTALL), f"the README has no block {name!r}"
    return re.sub(pattern(name), replaced, text, count=1, flags=re.DOTALL)


def output(*arguments: str) -> str:
    """What a command prints."""
    return subprocess.run(
        [*GENRED, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def demo_and_subscriber() -> tuple[str, str]:
    """The demo's own plain lines, and the same minute as ``mosquitto_sub`` shows it."""
    demo = subprocess.Popen(
        [*GENRED, "demo", "--plain", "--node", "studio"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    line = next(line for line in demo.stderr if "mosquitto_sub" in line)
    watch = line.partition(": ")[2].replace("'", "").split()
    subscriber = subprocess.Popen(watch, stdout=subprocess.PIPE, text=True)
    time.sleep(WATCH_S)
    subscriber.terminate()
    demo.terminate()
    seen, _ = subscriber.communicate(timeout=10)
    said, _ = demo.communicate(timeout=10)
    return said, seen


def told(seen: str) -> str:
    """One message of each topic, and every event, as a subscriber sees them; long ones cut."""
    lines, topics = [], set()
    for line in seen.splitlines():
        topic, _, payload = line.partition(" ")
        known = '"label":"unknown"' not in payload
        if (topic not in topics or topic.endswith("/event")) and known:
            topics.add(topic)
            lines.append(line if len(line) <= 400 else line[:397] + "...")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fill all blocks."""
    said, seen = demo_and_subscriber()
    text = README.read_text()
    text = fill(text, "picture", output("picture", "--text"))
    text = fill(text, "subscriber", told(seen))
    text = fill(text, "plain", said)
    text = fill(text, "figures", output("measure", "--format", "markdown"))
    README.write_text(text)


if __name__ == "__main__":
    main()
