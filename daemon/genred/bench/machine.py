"""What a measurement was made on: processor, cores, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from genred import __version__

GIT_S: Final = 5.0
"""git answers within milliseconds, or not at all (a network drive that is away)."""

CPUINFO: Final = Path("/proc/cpuinfo")
_PACKAGES: Final = ("numpy", "onnxruntime", "onnxruntime-gpu", "av")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and of what the figures are."""

    processor: str
    cores: int
    """Cores this process may use."""
    memory_gb: float
    system: str
    python: str
    packages: dict[str, str]
    version: str
    commit: str
    """Short hash of the source tree, ``+`` where it has changes; empty without a tree."""
    date: str
    load: float
    """Load average of the last minute at the start: well above 0, times are not to be trusted."""

    def words(self) -> str:
        """In a few words."""
        return f"{self.cores} cores of {self.processor}"


def machine() -> Machine:
    """The machine this runs on, now."""
    return Machine(
        processor=processor(),
        cores=len(cores()),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=_packages(),
        version=__version__,
        commit=commit(),
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        load=round(os.getloadavg()[0], 2),
    )


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def processor() -> str:
    """What the processor calls itself."""
    return cpuinfo("model name") or platform.processor() or platform.machine()


def cpuinfo(*names: str, path: Path = CPUINFO) -> str:
    """What ``/proc/cpuinfo`` first has by one of ``names``; empty where it has, or is, nothing."""
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return " ".join(value.split())
    except OSError:
        pass
    return ""


def commit() -> str:
    """The commit of the source tree this runs from; empty where there is none."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                ["git", "-C", str(here), *words],  # noqa: S607 - whichever git people use
                capture_output=True,
                text=True,
                timeout=GIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "--short=10", "HEAD")
    return head + "+" if head and git("status", "--porcelain", "-uno") else head


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
