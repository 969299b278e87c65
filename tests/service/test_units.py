"""The shipped units: right in systemd's eyes, and exposed as little as promised."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
NAMES = ("genred.service", "genred@.service")

EXPOSURE_MAX = 2.0
"""By the reckoning of `systemd-analyze security`, 0 (all closed) to 10 (wide open)."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*arguments):
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def copies(tmp_path):
    """The units, with a command that exists here."""
    command = tmp_path / "genred"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    for name in NAMES:
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/genred/bin/genred", str(command)))
    return tmp_path


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_no_fault(copies, name, gpu):
    if gpu:
        drop_in = copies / f"{name}.d"
        drop_in.mkdir()
        shutil.copy(UNITS / "genred-gpu.conf", drop_in / "gpu.conf")
    result = analyze("verify", str(copies / name))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_systemd_would_find_a_fault(copies):
    unit = copies / "genred.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=sometimes"))
    assert "sometimes" in analyze("verify", str(unit)).stderr


@pytest.mark.parametrize("name", NAMES)
def test_exposure(copies, name):
    result = analyze("security", "--offline=yes", "--no-pager", str(copies / name))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    assert float(found[1]) <= EXPOSURE_MAX


def settings(name):
    text = (UNITS / name).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_template_differs_in_names_alone():
    one, many = settings("genred.service"), settings("genred@.service")
    many.remove("Environment=GENRED_NODE__NAME=%l-%i")
    assert len(one) == len(many)
    for plain, templated in zip(one, many, strict=True):
        if plain != templated:
            assert "%i" in templated
            assert plain.split("=")[0] == templated.split("=")[0]


def test_sound_files_and_network_are_left_open():
    lines = settings("genred.service")
    assert "DeviceAllow=char-alsa rw" in lines
    assert "SupplementaryGroups=audio" in lines
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK" in lines
    assert not any(line.startswith(("PrivateNetwork=yes", "PrivateDevices=yes")) for line in lines)


def test_wrong_usage_and_configuration_are_not_tried_again():
    from genred.errors import ConfigError, ModelError, UsageError

    assert "RestartPreventExitStatus=64 78" in settings("genred.service")
    assert {each.exit_code for each in (UsageError, ConfigError, ModelError)} == {64, 78}


def test_the_group_of_sound_devices_is_made_where_it_is_missing():
    assert "g audio - -" in (UNITS / "genred.sysusers").read_text().splitlines()
