"""How long a recording takes to be written down, in how much memory, and how many of its words come out wrong.

    python benchmarks/dictation.py [--json FILE] [--misses]

Whisper tiny in int8, in the kiosk's own process for it; ten sentences each in four languages, as a patron might ask
them, spoken by espeak-ng. That is a synthesizer of formants: people, whom the model was trained on, are easier. The
word error rate is the number of words to put in, take out or exchange, over the number of words said; case and marks
aside. Seconds are of recordings of five seconds, the first of which waits for the process to start.
"""

import argparse
import statistics
import sys
import tempfile
import time
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import rows
from benchmarks.rows import Row
from publicai_edge.engine.ondemand.client import threads
from publicai_edge.engine.speech import SAMPLE_BYTES, SAMPLE_RATE
from publicai_edge.engine.speech.recognizer import Recognizer
from tests import spoken
from tests.conftest import downloads

SENTENCES = Path(__file__).parent / "questions" / "spoken.toml"
FIVE_SECONDS = 5 * SAMPLE_RATE * SAMPLE_BYTES
RUNS = 5


def main() -> int:
    """Speak, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--misses", action="store_true", help="also tell each sentence that did not come out whole")
    chosen = parser.parse_args()
    sentences = tomllib.loads(SENTENCES.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as name:
        recognizer = Recognizer(spoken.folder(downloads(), Path(name) / "model"))
        found = _timed(recognizer, sentences["en"]["said"])
        for language, table in sentences.items():
            found.append(_wrong(recognizer, language, table["said"], tell_misses=chosen.misses))
        peak = _peak(recognizer)
        recognizer.close()
    found.append(rows.beside("peak memory of the process", "MB", [peak / 1e6], None, ()))
    return rows.report(found, chosen.json)


def _timed(recognizer: Recognizer, said: list[str]) -> list[Row]:
    recording = b"".join(spoken.pcm(spoken.say(text)) for text in said)
    pieces = [recording[at * FIVE_SECONDS : (at + 1) * FIVE_SECONDS] for at in range(RUNS + 1)]
    seconds = []
    for piece in pieces:
        began = time.monotonic()
        recognizer.write_down(piece, "en")
        seconds.append(time.monotonic() - began)
    what = f"five seconds of speech, {threads()} thread(s)"
    return [
        rows.beside(f"{what}, the first", "s", seconds[:1], None, ()),
        rows.beside(f"{what}, the next", "s", seconds[1:], None, ()),
    ]


def _wrong(recognizer: Recognizer, language: str, said: list[str], *, tell_misses: bool) -> Row:
    wrong, words = [], 0
    for text in said:
        written = recognizer.write_down(spoken.pcm(spoken.say(text, language)), language)
        expected = spoken.words(text)
        wrong.append(spoken.wrong_words(expected, spoken.words(written)))
        words += len(expected)
        if tell_misses and wrong[-1]:
            print(f"  {language}: {text!r}: {written!r} ({wrong[-1]} of {len(expected)})", file=sys.stderr)
    whole = sum(not count for count in wrong)
    figure = f"word error rate, {language}: {len(said)} sentences, {words} words, {whole} without an error"
    return rows.beside(figure, "", [statistics.fmean(wrong) * len(said) / words], None, ())


def _peak(recognizer: Recognizer) -> int:
    status = Path(f"/proc/{recognizer.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())
