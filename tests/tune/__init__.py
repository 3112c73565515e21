"""Tuning: the points, the search, and what is measured."""
