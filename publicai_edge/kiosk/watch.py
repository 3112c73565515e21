"""Tells the operator's log how the kiosk is: ready and with what, hindered by what, and how far it has read ahead.

Invariant: nothing a patron typed is in it; the sentences come from loading, not from answering.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from publicai_edge.kiosk.state import Kiosk

_LOG = logging.getLogger("publicai_edge.kiosk")
_LOOK_SECONDS = 0.25


async def watch(kiosk: Kiosk) -> None:
    """Log each trouble once when it comes up, and each start of the engine, until cancelled."""
    told: frozenset[str] = frozenset()
    worker = note = None
    while True:
        status = kiosk.engine.status
        found = troubles(kiosk)
        for sentence in sorted(found - told):
            _LOG.warning("%s", sentence)
        told = found
        if status.state == "ready" and status.facts.get("pid") != worker:
            for sentence in readiness(status.facts, again=kiosk.engine.metrics.restarts > 0):
                _LOG.info("%s", sentence)
            worker = status.facts.get("pid")
        if kiosk.ahead.note != note and (note := kiosk.ahead.note):
            _LOG.info("%s", note)
        await asyncio.sleep(_LOOK_SECONDS)


def troubles(kiosk: Kiosk) -> frozenset[str]:
    """Return a sentence for everything that keeps the kiosk from answering."""
    found = set()
    engine = kiosk.engine.status
    if engine.state == "failed":
        found.add(f"The model cannot be used, so questions get passages and no answer. {engine.detail or ''}".strip())
    elif engine.state == "restarting":
        found.add(f"{engine.detail or 'The engine stopped.'} Meanwhile questions wait, and searching goes on.")
    if kiosk.library and kiosk.library.failure:
        found.add(f"The documents cannot be searched. {kiosk.library.failure}")
    return frozenset(found)


def readiness(facts: Mapping[str, Any], *, again: bool) -> list[str]:
    """Return sentences about an engine that has become ready.

    Args:
        facts: what its worker tells.
        again: whether there was a worker before it.
    """
    slots, threads = facts.get("slots", 1), facts.get("threads", 1)
    patrons = f"{slots} patrons at a time" if slots > 1 else "one patron at a time"
    at_most = f"{threads} threads" if threads > 1 else "one thread"
    said = [
        f"The model is ready{' again' if again else ''} after {facts.get('load_seconds', 0):.1f} s: "
        f"{patrons}, {at_most} at most."
    ]
    if note := facts.get("slots_note"):
        said.append(f"Memory allows {note}")
    how = str(facts.get("passages") or "exact")
    if why := how.partition(": ")[2]:
        said.append(f"Every passage is read for every question: {why}.")
    elif how != "exact":
        said.append(f"Passages are read once, while nobody asks, and put together for a question ({how}).")
    rebuilt: Mapping[str, str] = facts.get("states_rebuilt") or {}
    reused = facts.get("states_reused", 0)
    if reused or rebuilt:
        said.append(f"Service prompts: {reused} stored states reused, {len(rebuilt)} rebuilt.")
    said += [
        f"  {name} {why}, so the prompt is read again; the first answers wait for it." for name, why in rebuilt.items()
    ]
    return said
