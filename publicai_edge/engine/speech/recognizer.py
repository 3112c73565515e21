"""The kiosk's side of dictation: the speech model in a process that starts with a recording, and ends by itself.

Its invariants are those of :mod:`publicai_edge.engine.ondemand.client`.
"""

from pathlib import Path

from publicai_edge.engine.ondemand.client import Limits, OnDemand, threads


class Recognizer(OnDemand):
    """The speech model in ``folder``, in a process of its own; several threads may ask, one is answered at a time."""

    def __init__(self, folder: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        settings = {"folder": str(folder), "threads": threads()}
        super().__init__("publicai_edge.engine.speech.worker", settings, "writes down what is said", limits)

    def write_down(self, recording: bytes, language: str) -> str:
        """Return what is said in a recording, "" where nobody speaks.

        Args:
            recording: samples as :mod:`publicai_edge.engine.speech` has them, at most 30 seconds.
            language: a BCP 47 tag.

        Raises:
            EngineError: the process cannot start, died, took too long, or was stopped.
        """
        answer, _ = self.ask({"language": language}, recording)
        return str(answer["text"])
