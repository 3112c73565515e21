"""In which language a text is written, guessed from its letters by py3langid, a naive Bayes classifier.

Source: M. Lui and T. Baldwin, "langid.py: An Off-the-shelf Language Identification Tool", ACL 2012; A. Barbaresi's
continuation of it. Nothing that a file says of its language is asked: templates and converters leave it wrong as often
as right.

A guess counts only where it is certain enough, since what is unknown harms nobody: it is read aloud, and preferred, as
if it were in the patron's language. Where the classifier is not, as in the standalone program, all is unknown. A
passage is taken to be in its document's language unless its own words all but rule that out, as in a leaflet that says
everything twice.
"""

import importlib.util
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from publicai_edge.knowledge.blocks import Extracted

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNKNOWN = ""
CERTAIN = 0.8
RULED_OUT = 0.001
MOST_LETTERS = 20_000
_NO_LANGUAGE = "zxx"


def of_document(document: Extracted) -> str:
    """Return the language that most of a document is in (a primary language subtag, as "sw"), or :data:`UNKNOWN`."""
    return _guess(_beginning(block.text for block in document.blocks), UNKNOWN)


def of_passage(text: str, document: str) -> str:
    """Return the language of a passage, in a document in the language ``document``."""
    return _guess(text, document)


def _guess(text: str, otherwise: str) -> str:
    identifier = _identifier()
    if identifier is None:
        return otherwise
    found: list[tuple[str, float]] = identifier.rank(text[:MOST_LETTERS])
    language, probability = found[0]
    sure = probability >= CERTAIN and language != _NO_LANGUAGE
    if otherwise != UNKNOWN:
        sure = sure and dict(found).get(otherwise, 0) < RULED_OUT
    return language if sure else otherwise


def _beginning(texts: Iterable[str]) -> str:
    found: list[str] = []
    letters = 0
    for text in texts:
        found.append(text)
        letters += len(text)
        if letters >= MOST_LETTERS:
            break
    return "\n".join(found)


@cache
def _identifier() -> "LanguageIdentifier | None":
    """Return the classifier, which takes half a second and 100 MB for a moment to open; None where it is not."""
    if importlib.util.find_spec("py3langid") is None:
        return None
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
