"""The bundle's speech model for patrons: loaded when somebody speaks; no error says what was said."""

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.speech import SAMPLE_BYTES, SAMPLE_RATE
from publicai_edge.engine.speech.recognizer import Recognizer
from publicai_edge.kiosk.serial import Serial


class Dictation(Serial):
    """Writes down what patrons say.

    Args:
        recognizer: asks the speech model.
        languages: those of the bundle's languages that it knows.
        seconds: longest recording.
    """

    def __init__(self, recognizer: Recognizer, languages: tuple[str, ...], seconds: int) -> None:
        super().__init__(recognizer, "dictation")
        self._recognizer = recognizer
        self.languages = languages
        self.seconds = seconds

    @staticmethod
    def of(bundle: Bundle) -> "Dictation | None":
        """Return that of a bundle, or None where it has none; nothing is loaded yet."""
        info, folder = bundle.manifest.dictation, bundle.dictation_path
        return Dictation(Recognizer(folder), info.languages, info.max_seconds) if info and folder else None

    @property
    def most_bytes(self) -> int:
        """Bytes of the longest recording."""
        return self.seconds * SAMPLE_RATE * SAMPLE_BYTES

    async def write_down(self, recording: bytes, language: str) -> str:
        """Return what is said in a recording, "" where nobody speaks; cancel it to end the work.

        Raises:
            OverloadedError: too many recordings wait.
            EngineError: the model cannot be loaded, or fails.
        """
        return await self.do(self._recognizer.write_down, recording, language)
