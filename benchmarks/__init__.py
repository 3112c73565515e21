"""Benchmarks: each a script that runs both sides in one run and prints a table."""
