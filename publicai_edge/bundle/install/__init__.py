"""Installing, updating, rolling back and removing bundles, so that there is always the old system or the new one.

Nothing here imports pydantic or an engine: what checks and tests a bundle is given as a function, so that the steps
themselves can be run by the hundred under injected faults.
"""
