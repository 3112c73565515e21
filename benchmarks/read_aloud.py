"""What reading aloud costs, how well our phonemes agree with espeak-ng's, and what is understood of what is said.

    python benchmarks/read_aloud.py [--json FILE] [--piper PYTHON] [--misses]

The voice is Joe (American English), the one that a package registry has. Three parts:

- processor seconds for each second of speech, with one thread, over ten questions; beside them piper-tts, of whichever
  Python ``--piper`` names (``python -m venv P && P/bin/pip install piper-tts``; GPL-3, so it is no dependency here);
- phonemes to put in, take out or exchange to make espeak-ng's of ours, over the number of espeak-ng's, for the English
  documents of the demo and the Universal Declaration of Human Rights, sentence by sentence; stress, blanks and pauses
  aside, and only sentences without digits and signs, which both say in their own words;
- words that Whisper tiny gets wrong of the ten questions: with our phonemes, with espeak-ng's, and with ours and the
  noise that the voice's publisher recommends. Whisper's own mistakes are in all three.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks import material, rows
from benchmarks.rows import Row
from publicai_edge.engine.speech.whisper import Whisper
from publicai_edge.engine.voice import MOST_LETTERS
from publicai_edge.engine.voice.folder import CONFIG_FILE, GRAPH_FILE
from publicai_edge.engine.voice.piper import Sound, pieces
from publicai_edge.engine.voice.pronunciation import MARKS
from publicai_edge.engine.voice.speaker import Speaker
from publicai_edge.engine.voice.talker import Talker
from publicai_edge.knowledge.sentences import split_sentences
from tests import spoken, voiced
from tests.conftest import downloads

RUNS = 5
SENTENCES = Path(__file__).parent / "questions" / "spoken.toml"
DOCUMENTS = Path(__file__).parent.parent / "recipes" / "documents" / "demo"
STRESS = "ˈˌ"
PEER = """
import json, sys, time
from piper import PiperVoice
voice = PiperVoice.load(sys.argv[1], config_path=sys.argv[2])
said = json.loads(sys.argv[3])
for text in said[:1]:
    list(voice.synthesize(text))
began, seconds = time.process_time(), 0.0
for text in said:
    for chunk in voice.synthesize(text):
        seconds += len(chunk.audio_float_array) / chunk.sample_rate
print((time.process_time() - began) / seconds)
"""
_PLAIN = re.compile(r"[^\W\d_](?:[^\W\d_]|[ ',.;:()\u2019-])+[.?!]?")
_NOISES = (0.667, 0.8)  # of the sounds' colour and of their lengths


def main() -> int:
    """Speak, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--piper", type=Path, help="a Python that has piper-tts")
    parser.add_argument("--misses", action="store_true", help="also tell each sentence that did not come out whole")
    chosen = parser.parse_args()
    said = tomllib.loads(SENTENCES.read_text("utf-8"))["en"]["said"]
    with tempfile.TemporaryDirectory() as name:
        folder = voiced.folder(downloads(), Path(name))
        talker = Talker(folder)
        found = [_cost(talker, folder, said, chosen.piper), *_process(folder, said)]
        found += [_agreement(talker, what, texts) for what, texts in _texts().items()]
        found += _understood(talker, Path(name), said, tell_misses=chosen.misses)
    return rows.report(found, chosen.json)


# --- the cost ----------------------------------------------------------------------------------------------------


def _cost(talker: Talker, folder: Path, said: list[str], piper: Path | None) -> Row:
    figure = "processor seconds for a second of speech, one thread"
    talker.speak(said[0])
    ours = [_once(talker, said) for _ in range(RUNS)]
    if piper is None:
        return rows.missing(figure, "piper-tts (--piper)", "", ours)
    command = [str(piper), "-c", PEER, str(folder / GRAPH_FILE), str(folder / CONFIG_FILE), json.dumps(said)]
    peers = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(RUNS)]
    return rows.beside(figure, "", ours, "piper-tts, its own number of threads", [float(peer) for peer in peers])


def _once(talker: Talker, said: list[str]) -> float:
    began = time.process_time()
    sounds = [len(talker.voice.speak(talker.phonemes(text))) for text in said]
    return (time.process_time() - began) / (sum(sounds) / talker.voice.folder.rate)


def _process(folder: Path, said: list[str]) -> list[Row]:
    starts, nexts = [], []
    for _ in range(RUNS):
        speaker = Speaker({"en": folder})
        for seconds in (starts, nexts):
            began = time.monotonic()
            speaker.speak(said[0], "en")
            seconds.append(time.monotonic() - began)
        speaker.close()
    speaker = Speaker({"en": folder})
    text = " ".join(said * 3)[:MOST_LETTERS]
    speaker.speak(text, "en")
    status = Path(f"/proc/{speaker.pid}/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    speaker.close()
    return [
        rows.beside("a question of 39 letters, when the process has to start", "s", starts, None, ()),
        rows.beside("the same, the next time", "s", nexts, None, ()),
        rows.beside(f"peak memory of the process, over {len(text)} letters", "MB", [peak / 1e6], None, ()),
    ]


# --- the phonemes ------------------------------------------------------------------------------------------------


def _texts() -> dict[str, list[str]]:
    demo = [
        path.read_text("utf-8").replace("#", " ")
        for path in sorted(DOCUMENTS.iterdir())
        if path.suffix in {".md", ".txt"} and not path.name.startswith(("horarios", "ordenadores"))
    ]
    rights = [document.text for document in material.declaration(["en"]).documents]
    return {"the demo's documents": demo, "the Declaration of Human Rights": rights}


def _sentences(texts: list[str]) -> Iterator[str]:
    for text in texts:
        for paragraph in text.split("\n\n"):
            yield from filter(_PLAIN.fullmatch, split_sentences(" ".join(paragraph.split())))


def _agreement(talker: Talker, what: str, texts: list[str]) -> Row:
    wrong, count, sentences = 0, 0, 0
    for text in _sentences(texts):
        theirs, ours = _plain(_espeak(text)), _plain(talker.phonemes(text))
        wrong, count, sentences = wrong + spoken.wrong_words(theirs, ours), count + len(theirs), sentences + 1
    figure = f"phoneme error rate against espeak-ng, {what}: {sentences} sentences, {count} phonemes"
    return rows.beside(figure, "", [wrong / count], None, ())


def _plain(phonemes: str) -> list[str]:
    return [sign for sign in phonemes if sign not in MARKS + STRESS and not sign.isspace()]


def _espeak(text: str) -> str:
    command = ["espeak-ng", "-v", "en-us", "-q", "--ipa", "--stdin"]
    said = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60).stdout
    return " ".join(said.split())


# --- what is understood ------------------------------------------------------------------------------------------


def _understood(talker: Talker, work: Path, said: list[str], *, tell_misses: bool) -> list[Row]:
    whisper = Whisper.open(spoken.folder(downloads(), work / "whisper"), threads=2)
    ways = {
        "our phonemes": lambda text: talker.voice.speak(talker.phonemes(text)),
        "espeak-ng's phonemes": lambda text: talker.voice.speak(f"{_espeak(text)}."),
        "our phonemes, with noise": lambda text: _noisy(talker, talker.phonemes(text)),
    }
    found = []
    for what, speak in ways.items():
        wrong, words = 0, 0
        for text in said:
            sound = np.pad(spoken.at_rate(speak(text), talker.voice.folder.rate), spoken.SAMPLE_RATE // 2)
            expected, heard = spoken.words(text), spoken.words(whisper.write_down(sound.astype(np.float32), "en"))
            misses = spoken.wrong_words(expected, heard)
            wrong, words = wrong + misses, words + len(expected)
            if tell_misses and misses:
                print(f"  {what}: {text!r}: {' '.join(heard)!r} ({misses} of {len(expected)})", file=sys.stderr)
        figure = f"word error rate of Whisper tiny, {what}: {len(said)} questions, {words} words"
        found.append(rows.beside(figure, "", [wrong / words], None, ()))
    return found


def _noisy(talker: Talker, phonemes: str) -> Sound:
    colour, lengths = _NOISES
    sounds = []
    for piece in pieces(phonemes):
        numbers = talker.voice.folder.numbers(piece)
        feeds = {
            "input": np.array([numbers], np.int64),
            "input_lengths": np.array([len(numbers)], np.int64),
            "scales": np.array([colour, talker.voice.folder.slowness, lengths], np.float32),
        }
        (sound,) = talker.voice._session.run(None, feeds)
        sounds.append(np.asarray(sound, np.float32).reshape(-1))
    whole: Sound = np.concatenate(sounds)
    return whole


if __name__ == "__main__":
    sys.exit(main())
