"""What `make install-units` puts where, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(target, *variables):
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", "-s", "-C", str(ROOT), target, *variables],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
        timeout=60,
    )


def test_all_is_put_in_its_place_and_a_configuration_is_kept(tmp_path):
    result = make("install-units", f"DESTDIR={tmp_path}", "PREFIX=/srv/ear")
    assert result.returncode == 0, result.stderr
    unit = (tmp_path / "etc/systemd/system/genred.service").read_text()
    assert "ExecStart=/srv/ear/bin/genred run" in unit
    assert "/opt/genred" not in unit
    for path in (
        "etc/systemd/system/genred@.service",
        "usr/lib/sysusers.d/genred.conf",
        "srv/ear/share/doc/genred/operations.md",
        "srv/ear/share/doc/genred/security.md",
        "srv/ear/share/doc/genred/genred-gpu.conf",
    ):
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o644, path
    config = tmp_path / "etc/genred/genred.toml"
    assert config.read_text() == (ROOT / "configs/genred.toml").read_text()
    config.write_text("# mine\n")
    assert make("install-units", f"DESTDIR={tmp_path}").returncode == 0
    assert config.read_text() == "# mine\n"


def test_a_python_that_the_service_could_not_see_is_refused(tmp_path):
    python = tmp_path / "python3.11"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    result = make("install-service", f"PYTHON={python}", f"PREFIX={tmp_path / 'opt'}")
    assert result.returncode != 0
    said = "outside of all homes" if os.geteuid() == 0 else "needs root"
    assert said in result.stdout
    assert not (tmp_path / "opt").exists()
