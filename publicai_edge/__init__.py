"""Build offline AI bundles from open models, and run them on a kiosk with the network unplugged."""

import os
from datetime import date

__version__ = "0.1.0"
RELEASED = date(2026, 11, 29)
"""When this version was made. No true clock is earlier: it is the floor under a kiosk's clock."""

# ONNX Runtime from 1.29 on reports to its maker by default, and keeps a device identifier in the user's cache folder
# (microsoft/onnxruntime#27379). It reads this once, when it is loaded; child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
