"""From the words of the configuration to the right source, or to a clear line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from genred.clock import SystemClock
from genred.errors import InputError, UsageError
from genred.settings.feeds import FeedSettings
from genred.sources.opening import open_source


def opened(source, **options):
    return open_source(FeedSettings(id="x", source=source, **options), SystemClock())


def test_every_form(tmp_path):
    """What the documentation of `source` promises."""
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF")
    fifo = tmp_path / "b.fifo"
    os.mkfifo(fifo)
    expected = {
        "device:USB Audio": ("DeviceSource", "sound device 'USB Audio'", True),
        "device:3": ("DeviceSource", "sound device '3'", True),
        "default": ("DeviceSource", "sound device 'default'", True),
        str(file): ("FileSource", f"file {file}", False),
        str(tmp_path): ("FileSource", f"folder {tmp_path}", False),
        str(fifo): ("FifoSource", f"pipe {fifo} (s16le, 48000 Hz, 1 ch)", True),
        "http://a:b@host/x": ("StreamSource", "http://***@host/x", True),
        "HTTPS://host/x": ("StreamSource", "HTTPS://host/x", True),
        "rtsp://host/x": ("StreamSource", "rtsp://host/x", True),
        "station": ("StationSource", "synthesised station (seed 7)", True),
        "station:42": ("StationSource", "synthesised station (seed 42)", True),
    }
    for words, (kind, description, live) in expected.items():
        source = opened(words)
        assert (type(source).__name__, source.description, source.live) == (kind, description, live)
        assert source.synthetic == (kind == "StationSource")


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        ("gone.mp3", InputError, "no such file or folder"),
        ("/dev/null/x", InputError, "Not a directory"),
        ("a\0b", InputError, "null"),
        ("x" * 5000, InputError, "too long"),
        ("ftp://host/x", UsageError, "not listened to"),
        ("file:///etc/passwd", UsageError, "not listened to"),
        ("http://anna:geheim@", UsageError, "not a stream"),
        ("device:", UsageError, "needs a name"),
        ("station:blue", UsageError, "whole number"),
        ("station:", UsageError, "whole number"),
        ("station:-1", UsageError, "whole number"),
    ],
)
def test_what_is_none_of_them(words, kind, says):
    with pytest.raises(kind) as caught:
        opened(words)
    assert says in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_importing_one_source_does_not_import_the_others():
    """Neither PortAudio nor FFmpeg is loaded for the station's sake."""
    code = (
        "import sys\n"
        "from genred.sources.opening import open_source\n"
        "from genred.settings.feeds import FeedSettings\n"
        "from genred.clock import SystemClock\n"
        "open_source(FeedSettings(id='x', source='station'), SystemClock())\n"
        "print([m for m in ('av', 'sounddevice', 'http.client', 'torch') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
