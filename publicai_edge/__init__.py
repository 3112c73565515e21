"""Build offline AI bundles from open models, and run them on a kiosk with the network unplugged."""

import os

__version__ = "0.1.0"

# ONNX Runtime from 1.29 on reports to its maker by default, and keeps a device identifier in the user's cache folder
# (microsoft/onnxruntime#27379). It reads this once, when it is loaded; child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
