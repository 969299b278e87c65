"""A terminal that can be looked at: tmux."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

ENOUGH_S = 60.0
"""Far more than anything here takes, on a laden machine too."""


class Tmux:
    """One terminal, 110 by 34, in which a command runs."""

    def __init__(self, folder, arguments, **environ):
        self._tmux = ["tmux", "-S", str(folder / f"tmux{time.monotonic_ns()}"), "-f", "/dev/null"]
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("GENRED_") and key not in ("NO_COLOR", "TMUX", "COLUMNS")
        }
        command = [sys.executable, "-m", "genred", *map(str, arguments)]
        said = folder / "said"
        script = f'"$@" 2>"{said}"; echo "ended with $?"; sleep 600'
        size = ("-x", "110", "-y", "34")
        subprocess.run(
            [*self._tmux, "new-session", "-d", *size, "sh", "-c", script, "sh", *command],
            env={**inherited, "TERM": "xterm-256color", "XDG_CONFIG_HOME": str(folder), **environ},
            check=True,
        )

    def screen(self):
        done = subprocess.run(
            [*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True
        )
        return done.stdout

    def type(self, keys):
        subprocess.run([*self._tmux, "send-keys", keys], check=True)

    def wait_for(self, *texts, without=(), seconds=ENOUGH_S):
        """The screen as soon as it holds all of ``texts`` and nothing of ``without``."""
        until = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if all(text in screen for text in texts) and not any(
                text in screen for text in without
            ):
                return screen
            assert time.monotonic() < until, f"{texts} without {without} not on\n{screen}"
            time.sleep(0.1)

    def close(self):
        subprocess.run([*self._tmux, "kill-server"], check=False)


@pytest.fixture
def watch(tmp_path):
    """Starts ``genred watch`` in terminals, and ends them."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    made = []

    def start(*arguments, **environ):
        made.append(Tmux(tmp_path, ["watch", *arguments], **environ))
        return made[-1]

    yield start
    for each in made:
        each.close()
