"""The bundle's voices for patrons: loaded when somebody listens; no error says what was read."""

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.voice.speaker import Speaker
from publicai_edge.kiosk.serial import Serial


class Voices(Serial):
    """Reads aloud to patrons.

    Args:
        speaker: asks the voices.
        languages: those that there is a voice for.
    """

    def __init__(self, speaker: Speaker, languages: tuple[str, ...]) -> None:
        super().__init__(speaker, "voices")
        self._speaker = speaker
        self.languages = languages

    @staticmethod
    def of(bundle: Bundle) -> "Voices | None":
        """Return those of a bundle, or None where it has none; nothing is loaded yet."""
        folders = bundle.voice_paths
        return Voices(Speaker(folders), tuple(folders)) if folders else None

    async def speak(self, text: str, language: str) -> bytes:
        """Return a text as a WAV file; cancel it to end the work.

        Raises:
            OverloadedError: too many texts wait.
            EngineError: the voice cannot be loaded, or fails.
        """
        return await self.do(self._speaker.speak, text, language)
