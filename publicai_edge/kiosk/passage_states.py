"""What the model has computed of passages, as the documents' side of the kiosk sees it: by the passages' digests."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge.engine.chat import passage_digest
from publicai_edge.engine.passages import store
from publicai_edge.errors import HostError
from publicai_edge.kiosk.answering import passage_run
from publicai_edge.kiosk.staff_place import PASSAGES

if TYPE_CHECKING:
    from publicai_edge.search import Passage

_LOG = logging.getLogger("publicai_edge.kiosk")


def digest_of(passage: "Passage") -> str:
    """Return by which digest the model's states of a passage are known."""
    return passage_digest(passage_run(passage))


def forget(place: Path, passages: Sequence[str]) -> None:
    """Remove the states of passages, by their digests; another document that says the same is read again.

    Args:
        place: the kiosk's own folder.
        passages: the digests.
    """
    try:
        store.remove(place / PASSAGES, passages)
    except HostError as error:  # the filler tries again
        _LOG.warning("What was computed of a removed document stays for now: %s", error.message)
