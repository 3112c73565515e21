"""Passages that the model has read already: their states, computed behind a service's prompt, kept, and put together.

:mod:`.packing` writes a state in fewer bytes, :mod:`.store` keeps them on the disk, :mod:`.composer` makes them and
puts them together, :mod:`.settings` says whether and how.
"""
