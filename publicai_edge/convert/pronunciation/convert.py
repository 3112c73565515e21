"""gruut's folder ``espeak/`` for a language, turned into the files of :mod:`publicai_edge.engine.voice.pronunciation`.

In a child process and within bounds of time, since SQLite reads strangers' files there. The same folder gives
the same bytes.
"""

import base64
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from publicai_edge import child
from publicai_edge.convert.pronunciation import crf, number_words
from publicai_edge.engine.voice import guesser, lines, pronunciation
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Progress

LEXICON, MODEL = "lexicon.db", "g2p/model.crf"
SOURCE_FILES = (LEXICON, MODEL)
_SECONDS, _MOST_WORDS = 600.0, 1 << 22
_LONGEST = 64  # letters of a word, and signs of what it sounds like
_NOTHING, _JOIN = "_", "|"
_QUERY = f"SELECT word, phonemes FROM word_phonemes ORDER BY word, role, pron_order, id LIMIT {_MOST_WORDS}"  # noqa: S608
_HINT = "Name the folder espeak/ of one of gruut's language packages, such as sdist:gruut-lang-en==2.0.1/."


def convert(source: Path, target: Path, language: str, name: str, progress: Progress) -> dict[str, Any]:
    """Write the pronunciation of a language into ``target``; return how many words it has, and what it cannot say.

    Args:
        source: the folder ``espeak/``.
        target: an empty folder.
        language: a BCP 47 tag; whose numbers and signs are written.
        name: what messages call the source.
        progress: where it is shown.

    Raises:
        ModelError: the folder is another one, or damaged.
    """
    payload = {"source": str(source), "target": str(target), "language": language, "name": name}
    try:
        found = child.run(
            f"{__name__}:_convert", payload, what=f"convert {name}", progress=progress, limit_seconds=_SECONDS
        )
    except EngineError as error:
        raise ModelError(f"{name} cannot be read: {error.message}", hint=_HINT) from error
    return dict(found.value)


def _convert(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    source, target, language = Path(payload["source"]), Path(payload["target"]), payload["language"]
    with progress.task(f"Converting {payload['name']}"):
        words = _lexicon(source / LEXICON)
        if language.partition("-")[0] == "en":
            words = {word: _alone(word, said) for word, said in words.items()}
        lines.write(target / pronunciation.LEXICON, words)
        _write_guesser(crf.read(source / MODEL), target)
        said = number_words.table(language)
        lines.write(target / pronunciation.WORDS, said)
    return {"words": len(words), "numbers": number_words.counts(language)}


def _lexicon(path: Path) -> dict[str, str]:
    """Return what each word sounds like; of several ways, the one that needs no knowledge of its part of speech."""
    import apsw

    if not path.is_file():
        raise ModelError(f"{path} is not there.", hint=_HINT)
    found: dict[str, str] = {}
    try:
        with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as database:
            for word, phonemes in database.execute(_QUERY):
                key = unicodedata.normalize("NFC", str(word)).lower()
                said = "".join(str(phonemes).split())
                if (
                    key.strip()
                    and said
                    and "\t" not in key
                    and "\n" not in key
                    and max(len(key), len(said)) <= _LONGEST
                ):
                    found.setdefault(key, said)
    except apsw.Error as error:
        raise ModelError(f"{path} is not a lexicon of gruut: {error}.", hint=_HINT) from error
    if not found:
        raise ModelError(f"{path} holds no words.", hint=_HINT)
    return found


def _alone(word: str, said: str) -> str:
    """Return how an English word ends where no vowel follows.

    gruut had whole sentences said, so its lexicon has "at" as it sounds in "at all", "under" as in "under an arch", and
    "can" as in "can go". Before other words that is a mistake; the end that spelling tells is wrong nowhere.
    """
    if said.endswith("ɾ"):
        return said[:-1] + ("d" if word.endswith(("d", "de")) else "t")
    if said.endswith("ɚɹ"):
        return said[:-1]
    return f"{said[:-1]}n" if said.endswith("ŋ") and word.endswith(("n", "ne")) else said


def _write_guesser(field: crf.Field, target: Path) -> None:
    rows = {name: number for number, name in enumerate(field.attributes)}
    letters: dict[int, dict[str, int]] = {reach: {} for reach in range(-guesser.REACH, guesser.REACH + 1)}
    for name, row in rows.items():
        kind, colon, letter = name.partition(":")
        if colon:
            letters[int(kind.removeprefix("grapheme") or 0)][_decoded(letter)] = row
    facts = {
        "labels": [_phonemes(label) for label in field.labels],
        "letters": letters,
        **{name: rows.get(name) for name in ("bias", "begin", "end")},
    }
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, indent=0)
    (target / guesser.FACTS).write_text(text + "\n", "utf-8")
    np.save(target / guesser.STATES, field.states.astype(np.float32))
    np.save(target / guesser.TRANSITIONS, field.transitions.astype(np.float32))


def _phonemes(label: str) -> str:
    return "".join(part for part in _decoded(label).split(_JOIN) if part != _NOTHING)


def _decoded(text: str) -> str:
    """Return what gruut hides from CRFsuite, which takes ASCII only."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise ModelError(f"The guesser has a name that is no text: {text[:40]!r}.", hint=_HINT) from error
