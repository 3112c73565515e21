"""A language's voice and pronunciation together: text in, a WAV file out."""

import struct
from pathlib import Path

import numpy as np

from publicai_edge.engine.voice.normal import Reader
from publicai_edge.engine.voice.piper import Sound, Voice
from publicai_edge.engine.voice.pronunciation import Pronunciation

SAMPLE_BYTES = 2
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PLAIN, _CHANNELS = 1, 1
_LOUDEST = 0.9 * 0x7FFF


class Talker:
    """What speaks a language; ``folder`` holds the voice and its pronunciation as a bundle has them."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._pronunciation = Pronunciation(folder)
        self._reader = Reader(self._pronunciation)
        self.voice = Voice.open(folder, threads)

    def phonemes(self, text: str) -> str:
        """Return what a text sounds like; it ends with a pause."""
        tokens = self._reader.tokens(text)
        return self._pronunciation.phonemes([*tokens, "."])

    def speak(self, text: str) -> bytearray:
        """Return a text as a WAV file: 16-bit samples, one channel, at the voice's rate.

        Raises:
            EngineError: the voice does not run.
        """
        sound = self.voice.speak(self.phonemes(text))
        try:
            return wave(sound, self.voice.folder.rate)
        finally:
            sound.fill(0)


def wave(sound: Sound, rate: int) -> bytearray:
    """Return samples from -1 to 1 as a WAV file (RIFF, PCM)."""
    samples = (np.clip(np.nan_to_num(sound), -1, 1) * _LOUDEST).astype("<i2")
    size, per_second = SAMPLE_BYTES * len(samples), SAMPLE_BYTES * rate
    head = _HEADER.pack(
        b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, _PLAIN, _CHANNELS, rate, per_second, SAMPLE_BYTES, 16, b"data", size
    )
    file = bytearray(head) + samples.tobytes()
    samples.fill(0)
    return file
