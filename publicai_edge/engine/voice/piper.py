"""A Piper voice on ONNX Runtime: phonemes in, sound out. Needs onnxruntime and numpy.

VITS draws noise for the length of each sound and for its colour. Here it draws none: the same text then sounds the same
each time, on the page as in the build's check, and nothing is heard that was not checked.

Text is spoken in pieces, since memory grows with the length of what is spoken at once. onnxruntime is told to hold no
memory in reserve, and the arrays of a call are let go when it returns.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.engine.ondemand.session import open_session
from publicai_edge.engine.voice.folder import VoiceFolder
from publicai_edge.errors import EngineError, ModelError

Sound = npt.NDArray[np.float32]

_HINT = "Copy the bundle again, or build it with another voice."
_INPUTS = {"input", "input_lengths", "scales"}
_SPEAKER = "sid"
_NO_NOISE = 0.0
_LONG, _LONGEST = 120, 240  # signs of a piece, from where on it ends at a pause, and at a blank
_PAUSES = ".,;:!?"
_PAUSE_SECONDS = 0.12
_QUIETEST = 0.01  # what is not louder is silence, and not made louder


class Voice:
    """An opened voice."""

    def __init__(self, folder: VoiceFolder, session: Any) -> None:
        self.folder = folder
        self._session = session
        self._asks_speaker = any(item.name == _SPEAKER for item in session.get_inputs())

    @staticmethod
    def open(path: Path, threads: int = 1) -> "Voice":
        """Load the voice in the folder ``path``.

        Raises:
            ModelError: a file is missing, or none of a Piper voice.
        """
        folder = VoiceFolder.open(path)
        session = open_session(folder.graph, threads, _HINT)
        asked = {item.name for item in session.get_inputs()}
        if asked - {_SPEAKER} != _INPUTS or len(session.get_outputs()) != 1:
            raise ModelError(f"{folder.graph} is a graph of another kind than Piper's.", hint=_HINT)
        return Voice(folder, session)

    def speak(self, phonemes: str) -> Sound:
        """Return the sound of phonemes: samples from -1 to 1 at the voice's rate, a short silence where there are none.

        Raises:
            EngineError: the voice does not run.
        """
        pause = np.zeros(int(_PAUSE_SECONDS * self.folder.rate), np.float32)
        sounds: list[Sound] = []
        for piece in pieces(phonemes):
            sounds.append(self._run(self.folder.numbers(piece)))
            if piece[-1] in _PAUSES:
                sounds.append(pause)
        return _loud(np.concatenate(sounds or [pause]))

    def _run(self, numbers: list[int]) -> Sound:
        feeds = {
            "input": np.array([numbers], np.int64),
            "input_lengths": np.array([len(numbers)], np.int64),
            "scales": np.array([_NO_NOISE, self.folder.slowness, _NO_NOISE], np.float32),
        }
        if self._asks_speaker:
            feeds[_SPEAKER] = np.zeros(1, np.int64)
        try:
            (sound,) = self._session.run(None, feeds)
        except Exception as error:  # onnxruntime's errors share no base class; none of them quotes what is said
            raise EngineError(f"The voice failed ({type(error).__name__}).", hint=_HINT) from error
        samples: Sound = np.asarray(sound, np.float32).reshape(-1)
        return samples


def pieces(phonemes: str) -> list[str]:
    """Return phonemes in pieces that are spoken one by one; the last sign of a piece tells whether a pause follows."""
    found, piece = [], ""
    for word in phonemes.split():
        piece = f"{piece} {word}" if piece else word
        if (len(piece) > _LONG and word[-1] in _PAUSES) or len(piece) > _LONGEST:
            found.append(piece)
            piece = ""
    return [*found, piece] if piece else found


def _loud(sound: Sound) -> Sound:
    """Return sound whose loudest sample is as loud as can be, since voices differ a lot."""
    loudest = float(np.abs(sound).max(initial=0.0))
    return sound / np.float32(loudest) if _QUIETEST < loudest < float("inf") else sound
