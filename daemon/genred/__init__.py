"""genred, a radio ear: listens to audio and tells programs and people what is playing."""

import os
from importlib.metadata import version

# Official builds of onnxruntime send usage data and an id of the device to their maker
# unless this is set before they are loaded. A radio ear talks to nobody it was not told to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = version("genred")
