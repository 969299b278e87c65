"""Coverage-guided fuzzing of all that reads what strangers send: ``make fuzz``.

Hypothesis (``tests/faults/test_hostile.py``) draws from what its strategies describe; this follows
the branches of the code, as libFuzzer does, and so finds what nobody has thought of describing. It
ends with the first input that breaks a promise, and writes it to ``build/fuzz``; such an input
becomes an example of a test. Options are libFuzzer's: ``-max_total_time=600``, or a file to run
again.
"""

from __future__ import annotations

import io
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["genred"]):
    from genred.clock import FakeClock
    from genred.errors import GenredError
    from genred.masking import mask
    from genred.model.metadata import ModelMetadata
    from genred.settings.feeds import FeedSettings
    from genred.settings.load import load
    from genred.sources import icy, playlist
    from genred.sources.opening import open_source

from pydantic import ValidationError

FOUND = Path(__file__).parents[1] / "build" / "fuzz"
CONFIG = Path(tempfile.mkdtemp(prefix="genred-fuzz-")) / "genred.toml"


class Stream:
    """Bytes as a socket gives them."""

    def __init__(self, content: bytes) -> None:
        self._bytes = io.BytesIO(content)

    def read1(self, size: int = -1) -> bytes:
        return self._bytes.read(size)


def titles(data: atheris.FuzzedDataProvider) -> None:
    """A stream with titles ends, and each is one short line."""
    told: list[str | None] = []
    every = data.ConsumeIntInRange(1, 64)
    reader = icy.IcyReader(Stream(data.ConsumeBytes(5000)), every, told.append)
    while reader.read1(100):
        pass
    for title in told:
        assert title is None or (len(title) <= 200 and title.isprintable()), title


def playlists(data: atheris.FuzzedDataProvider) -> None:
    """A playlist leads to the web, or nowhere."""
    text = data.ConsumeUnicode(2000)
    playlist.is_playlist("text/plain", text[:20], text.encode("utf-8", "replace"))
    found = playlist.first_stream(text, "http://radio.example/list")
    assert found is None or found.lower().startswith(("http://", "https://")), found


def secrets(data: atheris.FuzzedDataProvider) -> None:
    """Whatever stands around it: masked once, nothing is left to be masked."""
    text = data.ConsumeUnicodeNoSurrogates(300)
    assert mask(mask(text)) == mask(text)


def configurations(data: atheris.FuzzedDataProvider) -> None:
    """A configuration is understood, or refused in a line."""
    CONFIG.write_bytes(data.ConsumeBytes(3000))
    with suppress(GenredError):
        load(CONFIG, {})


def metadata(data: atheris.FuzzedDataProvider) -> None:
    """So is what a model file says of itself."""
    with suppress(GenredError, ValidationError):
        ModelMetadata.from_json(data.ConsumeUnicode(3000))


def sources(data: atheris.FuzzedDataProvider) -> None:
    """And so are the words for a source."""
    words = data.ConsumeUnicodeNoSurrogates(200) or "-"
    with suppress(GenredError):
        open_source(FeedSettings.model_construct(id="x", source=words), FakeClock(), io.StringIO())


TARGETS = (titles, playlists, secrets, configurations, metadata, sources)


def one(content: bytes) -> None:
    """The first byte says which."""
    data = atheris.FuzzedDataProvider(content)
    TARGETS[data.ConsumeIntInRange(0, len(TARGETS) - 1)](data)


if __name__ == "__main__":
    FOUND.mkdir(parents=True, exist_ok=True)
    atheris.Setup([*sys.argv, f"-artifact_prefix={FOUND}/"], one)
    atheris.Fuzz()
