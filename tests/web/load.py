"""HTTP under load, and what it does to the daemon's decisions.

``python tests/web/load.py`` starts a daemon that plays the synthesised station and measures how
late its decisions reach a reader of its standard output: first left alone, then with 200 listeners
on the event stream, one that does not read, ten that vanish, and 1,000 uploads. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rigs.clips import style, write_wav
from rigs.command import Genred
from rigs.ports import free_port

POLITE = 15
"""Niceness of whoever makes the load: its own work is not what is measured."""

AT_ONCE = 12
"""Uploads at once: more than the daemon takes, so that some are told to come again."""


class Daemon:
    """The daemon, and how late each of its decisions was read, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "genred.toml"
        config.write_text(
            f"[web]\nenabled = true\nport = {self.port}\n"
            "[broker]\nembedded = 'off'\n[mqtt]\nscores = true\nheartbeat_s = 2\n"
            "[[feeds]]\nid = 'on_air'\nsource = 'station'\n"
            "[[feeds]]\nid = 'kitchen'\nsource = 'station:4'\n"
        )
        environ = Genred(folder)._environ({})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genred", "run", "--json", "--config", config],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        self.late: list[float] = []
        self.heard = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            now = time.time()
            message = json.loads(line)
            if message["message"] == "scores":
                self.late.append(now - datetime.fromisoformat(message["ts"]).timestamp())
                self.heard.set()

    def taken(self) -> np.ndarray:
        """The delays since the last call, milliseconds."""
        taken, self.late = self.late, []
        return 1000 * np.array(taken)

    def memory_mb(self) -> float:
        """What is resident."""
        text = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return int(text.split("VmRSS:")[1].split()[0]) / 1000

    def end(self) -> int:
        """Stop it; the exit code."""
        self.process.terminate()
        code = self.process.wait(10)
        self._reader.join(5)
        self.process.stdout.close()
        return code


async def listen(port: int, until: asyncio.Event) -> int:
    """One listener; returns how many messages it heard, -1 if it was cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    heard, rest = 0, b""

    async def read() -> None:
        nonlocal heard, rest
        while data := await reader.read(65536):
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            heard += sum(line.startswith(b"event:") for line in lines)

    reading = asyncio.create_task(read())
    await until.wait()
    ended = reading.done()  # it should go on for ever
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    writer.close()
    return -1 if ended else heard


async def vanish(port: int) -> None:
    """Ask, and be gone without a word."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()


async def stall(port: int, until: asyncio.Event) -> None:
    """Listen to everything, and read nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    reader._transport.pause_reading()
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await until.wait()
    writer.transport.abort()


async def upload(client: httpx.AsyncClient, clip: bytes) -> int:
    """One clip, until it is judged; returns how often it was told to come again."""
    again = 0
    while True:
        answer = await client.post("/api/v1/classify", content=clip)
        if answer.status_code == 200:
            assert answer.json()["scores"]
            return again
        assert answer.status_code == 503, answer.text
        again += 1
        await asyncio.sleep(0.05)


async def load(port: int, listeners: int, uploads: int) -> dict[str, float]:
    """All of it at once; what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        clip = write_wav(Path(folder) / "clip.wav", style("jazz", 2)).read_bytes()
    until = asyncio.Event()
    listening = [asyncio.create_task(listen(port, until)) for _ in range(listeners)]
    stalling = asyncio.create_task(stall(port, until))
    await asyncio.gather(*(vanish(port) for _ in range(10)))
    began = time.monotonic()
    turns = asyncio.Semaphore(AT_ONCE)
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:

        async def one() -> int:
            async with turns:
                return await upload(client, clip)

        again = await asyncio.gather(*(one() for _ in range(uploads)))
    seconds = time.monotonic() - began
    await asyncio.sleep(max(0.0, 4 - seconds))
    until.set()
    heard = await asyncio.gather(*listening)
    await stalling
    return {
        "uploads": uploads,
        "seconds": seconds,
        "again": sum(again),
        "heard_least": min(heard, default=0),
        "heard_most": max(heard, default=0),
    }


def measure(listeners: int, uploads: int, quiet_s: float) -> dict[str, object]:
    """Delays left alone and under load, and what came of the load."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        try:
            assert daemon.heard.wait(60)
            httpx.post(f"{daemon.url}/api/v1/classify", content=b"x", timeout=60)  # the worker
            time.sleep(1)
            daemon.taken()
            time.sleep(quiet_s)
            quiet = daemon.taken()
            before = daemon.memory_mb()
            maker = subprocess.run(
                [
                    *(sys.executable, __file__, "--make", str(daemon.port)),
                    *("--listeners", str(listeners), "--uploads", str(uploads)),
                ],
                stdout=subprocess.PIPE,
                check=True,
                timeout=600,
            )
            loaded = daemon.taken()
            metrics = httpx.get(f"{daemon.url}/metrics", timeout=10).text
        finally:
            code = daemon.end()
    return {
        "quiet": quiet,
        "loaded": loaded,
        "memory": (before, daemon_memory(metrics)),
        "exit": code,
        **json.loads(maker.stdout),
    }


def daemon_memory(metrics: str) -> float:
    """What was resident after it, by the daemon's own word, MB."""
    line = next(
        each for each in metrics.splitlines() if each.startswith("process_resident_memory_bytes")
    )
    return float(line.split()[1]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--quiet-s", type=float, default=30)
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        os.nice(POLITE)
        print(json.dumps(asyncio.run(load(args.make, args.listeners, args.uploads))))
        return
    found = measure(args.listeners, args.uploads, args.quiet_s)
    print("| decisions | median | 90 % | 99 % | worst |\n|---|---|---|---|---|")
    for name, each in (("left alone", found["quiet"]), ("under load", found["loaded"])):
        row = [f"{value:.0f} ms" for value in (*np.percentile(each, (50, 90, 99)), each.max())]
        print(f"| {name} ({len(each)}) | {' | '.join(row)} |")
    print(
        f"\n{args.listeners} listeners heard {found['heard_least']} to {found['heard_most']} "
        f"messages each; {args.uploads} clips of 2 s were judged in {found['seconds']:.0f} s, "
        f"{found['again']} times one was told to come again; memory "
        f"{found['memory'][0]:.0f} to {found['memory'][1]:.0f} MB."
    )


if __name__ == "__main__":
    main()
