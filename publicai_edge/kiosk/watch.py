"""Tells the operator's terminal what the page tells the patrons: that the model or the documents are not well.

Invariant: nothing a patron typed is in it; the sentences come from loading, not from answering.
"""

import asyncio
import logging

from publicai_edge.kiosk.state import Kiosk

_LOG = logging.getLogger("publicai_edge.kiosk")
_LOOK_SECONDS = 0.25


async def watch(kiosk: Kiosk) -> None:
    """Log each trouble once when it comes up, until cancelled."""
    told: frozenset[str] = frozenset()
    while True:
        found = troubles(kiosk)
        for sentence in sorted(found - told):
            _LOG.warning("Warning: %s", sentence)
        told = found
        await asyncio.sleep(_LOOK_SECONDS)


def troubles(kiosk: Kiosk) -> frozenset[str]:
    """Return a sentence for everything that keeps the kiosk from answering."""
    found = set()
    engine = kiosk.engine.status
    if engine.state == "failed":
        found.add(f"The model cannot be used, so questions get passages and no answer. {engine.detail or ''}".strip())
    elif engine.state == "restarting":
        found.add("The engine stopped and is being restarted; searching goes on.")
    if kiosk.library and kiosk.library.failure:
        found.add(f"The documents cannot be searched. {kiosk.library.failure}")
    return frozenset(found)
