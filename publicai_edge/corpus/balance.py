"""Calibration texts in which every language has the same weight.

Left as they are, the language with the longest texts would decide which weights count as important. Here each brings
about the same number of tokens, none of them twice, and the languages alternate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from publicai_edge import digest
from publicai_edge.corpus.documents import Corpus, Document
from publicai_edge.errors import RecipeError

_SHORT = 0.9  # a language that brings less than this of the wanted amount is told


@dataclass(frozen=True)
class Balanced:
    """What was picked.

    Attributes:
        corpus: the documents, languages alternating.
        tokens: tokens by language.
        amount: tokens each language should have brought.
        left_out: documents that were not picked, by language.
        notes: one sentence for each thing to know.
    """

    corpus: Corpus
    tokens: Mapping[str, int]
    amount: int
    left_out: Mapping[str, int]
    notes: tuple[str, ...]


def balanced(corpus: Corpus, tokens_of: Callable[[str], int], per_language: int | None = None) -> Balanced:
    """Pick documents so that each language brings about equally many tokens.

    Documents are tried in the order of their ids' digests, the same in every language, so that translations of one
    text are picked together where they fit. A document is taken whole or not at all; no text is repeated. A language
    whose every document is longer than the amount brings its shortest one.

    Args:
        corpus: the texts; a document without tokens is left out.
        tokens_of: counts a text's tokens.
        per_language: tokens of each language; None: as many as the language with the fewest has.

    Raises:
        RecipeError: there is no text, or the limit is less than one.
    """
    if per_language is not None and per_language < 1:
        raise RecipeError(f"Calibration tokens per language: expected at least 1, found {per_language}.")
    counts = {
        language: {document: tokens_of(document.text) for document in corpus.of(language)}
        for language in corpus.languages
    }
    totals = {language: sum(found.values()) for language, found in counts.items()}
    if not totals or not min(totals.values()):
        empty = ", ".join(language for language, total in totals.items() if not total) or "any language"
        raise RecipeError(
            f"There is no calibration text in {empty}.", hint="Name texts in every language the recipe lists."
        )
    amount = per_language or min(totals.values())
    picked = {language: _picked(found, amount) for language, found in counts.items()}
    tokens = {language: sum(found.values()) for language, found in picked.items()}
    left_out = {language: len(counts[language]) - len(picked[language]) for language in counts}
    chosen = corpus.where(_alternating(picked))
    return Balanced(chosen, tokens, amount, left_out, _notes(tokens, totals, left_out, amount, per_language))


def _picked(counts: Mapping[Document, int], amount: int) -> dict[Document, int]:
    picked: dict[Document, int] = {}
    room = amount
    seen: set[str] = set()
    order = sorted(counts.items(), key=lambda item: digest.of_bytes(item[0].id.encode()))
    for document, count in order:
        if 0 < count <= room and document.sha256 not in seen:
            picked[document] = count
            seen.add(document.sha256)
            room -= count
    if not picked:
        document, count = min((item for item in order if item[1]), key=lambda item: item[1])
        picked[document] = count
    return picked


def _alternating(picked: Mapping[str, Mapping[Document, int]]) -> list[Document]:
    """Return the documents so that at any point each language has brought about the same share of its tokens."""
    places: list[tuple[float, int, Document]] = []
    for number, found in enumerate(picked.values()):
        total, before = sum(found.values()), 0
        for document, count in found.items():
            places.append(((before + count / 2) / total, number, document))
            before += count
    return [document for _, _, document in sorted(places, key=lambda place: place[:2])]


def _notes(
    tokens: Mapping[str, int],
    totals: Mapping[str, int],
    left_out: Mapping[str, int],
    amount: int,
    per_language: int | None,
) -> tuple[str, ...]:
    notes = []
    smallest = min(totals, key=lambda language: totals[language])
    if per_language is None and len(totals) > 1:
        notes.append(f"{smallest} has the fewest tokens, {amount:,}; so many are taken of every language.")
    for language, count in tokens.items():
        if count < _SHORT * amount:
            reason = "its texts hold no more" if not left_out[language] else "no other whole text fits"
            notes.append(f"{language} brings {count:,} of {amount:,} tokens: {reason}.")
        elif left_out[language]:
            notes.append(f"{left_out[language]} texts in {language} are left out.")
    return tuple(notes)
