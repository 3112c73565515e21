"""What the routes share: the bundle, the engine, the documents, the sessions, and the wish to close."""

import asyncio
from dataclasses import dataclass, field

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.protocol import Engine
from publicai_edge.kiosk.library import Library
from publicai_edge.kiosk.sessions import Sessions


@dataclass(frozen=True)
class Kiosk:
    """A running kiosk."""

    bundle: Bundle
    engine: Engine
    library: Library | None
    sessions: Sessions
    words: dict[str, dict[str, str]]
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def end_streams(self) -> None:
        """End every answer under way and every session."""
        self.closing.set()
        self.sessions.end_all()
