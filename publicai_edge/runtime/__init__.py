"""The standalone program for a kiosk without Python: its platforms, its portable llama.cpp, how it is put together.

Laptop only. Nothing that a kiosk imports imports this.
"""
