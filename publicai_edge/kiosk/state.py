"""What the routes share: the bundle, the engine, the documents, the sessions, and the wish to close."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.protocol import Engine
from publicai_edge.kiosk.dictation import Dictation
from publicai_edge.kiosk.embedding import Embeddings
from publicai_edge.kiosk.library import Library
from publicai_edge.kiosk.reading_ahead import ReadingAhead
from publicai_edge.kiosk.sessions import Sessions
from publicai_edge.kiosk.slips import Slips
from publicai_edge.kiosk.staff_desk import Desk
from publicai_edge.kiosk.voices import Voices


@dataclass(frozen=True)
class Kiosk:
    """A running kiosk.

    ``key`` is drawn when it starts, for the names that callers have in the line; ``started`` is in monotonic seconds.
    """

    bundle: Bundle
    engine: Engine
    library: Library | None
    sessions: Sessions
    words: dict[str, dict[str, str]]
    embeddings: Embeddings | None = None
    slips: Slips | None = None
    started: float = field(default_factory=time.monotonic)
    staff: Desk | None = None
    printing: bool = True
    dictation: Dictation | None = None
    voices: Voices | None = None
    ahead: ReadingAhead = field(default_factory=ReadingAhead)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def end_streams(self) -> None:
        """End every answer under way and every session."""
        self.closing.set()
        self.sessions.end_all()
