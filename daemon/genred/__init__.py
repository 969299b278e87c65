"""genred, a radio ear: listens to audio and tells programs and people what is playing."""

import os

# Official builds of onnxruntime send usage data and an id of the device to their maker
# unless this is set before they are loaded. A radio ear talks to nobody it was not told to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def __getattr__(name: str) -> str:
    """``__version__``, looked up when somebody asks: nobody else waits for it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415

    return version("genred")
