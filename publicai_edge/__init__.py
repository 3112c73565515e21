"""Build signed offline AI bundles from open models, and run them on a kiosk with the network unplugged."""

__version__ = "0.1.0"
