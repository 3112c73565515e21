"""The kiosk's side of reading aloud: the voices in a process that starts with a sentence, and ends by itself.

Its invariants are those of :mod:`publicai_edge.engine.ondemand.client`.
"""

from collections.abc import Mapping
from pathlib import Path

from publicai_edge.engine.ondemand.client import Limits, OnDemand, threads


class Speaker(OnDemand):
    """Voices by language, each in a folder of its own, in one process; several threads may ask, one is answered."""

    def __init__(self, folders: Mapping[str, Path], limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        settings = {"folders": {language: str(path) for language, path in folders.items()}, "threads": threads()}
        super().__init__("publicai_edge.engine.voice.worker", settings, "reads aloud", limits)

    def speak(self, text: str, language: str) -> bytes:
        """Return a text as a WAV file: 16-bit samples, one channel.

        Args:
            text: at most :data:`publicai_edge.engine.voice.MOST_LETTERS` letters.
            language: one of those that there are folders for.

        Raises:
            EngineError: the process cannot start, died, took too long, or was stopped.
        """
        return self.ask({"language": language}, text.encode())[1]
