"""Texts to calibrate with and texts to evaluate on, kept apart.

Invariant: a :class:`Split` holds no document, no translation of a document and no long passage on both sides, however
it was made: an evaluation on what a model was calibrated on tells nothing about its loss.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from publicai_edge import digest
from publicai_edge.corpus import near
from publicai_edge.corpus.documents import PART, Corpus, Document
from publicai_edge.errors import RecipeError

_NEXT = "Leave one of the two out, or give both in the same set: calibration or evaluation."


@dataclass(frozen=True)
class Split:
    """The two sets of texts.

    Raises:
        RecipeError: they share an id, a text, or a long passage; the message names both documents.
    """

    calibration: Corpus
    evaluation: Corpus

    def __post_init__(self) -> None:
        ids = {document.id: document for document in self.calibration.documents}
        for document in self.evaluation.documents:
            if other := ids.get(document.id):
                raise _refused(other, document, "is both calibrated with and evaluated on")
        texts = {document.sha256: document for document in self.calibration.documents}
        for document in self.evaluation.documents:
            if other := texts.get(document.sha256):
                raise _refused(other, document, "has the same text as")
        if shared := near.shared_between(self.calibration.documents, self.evaluation.documents):
            raise _refused(shared.first, shared.second, "shares a long passage with", shared.passage)


def check_disjoint(calibration_digests: Iterable[str], evaluation: Corpus) -> None:
    """Check the evaluation texts against the texts a model says it was calibrated with.

    Args:
        calibration_digests: :attr:`Document.sha256` of each calibration document, as its importance matrix records.
        evaluation: the texts to evaluate on.

    Raises:
        RecipeError: they share a text; the message names the documents.
    """
    known = {digest.check(value) for value in calibration_digests}
    if found := [document for document in evaluation.documents if document.sha256 in known]:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise RecipeError(
            f"The model was calibrated with {found[0]}{more}, which the evaluation would measure it on.",
            hint="Evaluate on other texts, or calibrate again without these.",
            documents=[str(document) for document in found],
        )


def split(corpus: Corpus, calibration_share: float = 0.5, *, calibrated: bool = True) -> Split:
    """Share out a corpus, by document, in the same way every time.

    All translations of a document go to one side, and so do documents that share a long passage. Documents are dealt
    in the order of their ids' digests, so that both sides hold beginnings, middles and ends. What is shared out is half
    the number of documents and half their length. Each group of languages is dealt by itself, so that none comes off
    badly.

    Args:
        corpus: the documents.
        calibration_share: of the documents in every language, more than 0 and less than 1.
        calibrated: something will be calibrated. If not, a language with too few documents for both sides is no error:
            then the whole corpus is for evaluation.

    Raises:
        RecipeError: the share is out of range, or a language has too few documents to be on both sides.
    """
    if not 0 < calibration_share < 1:
        raise RecipeError(
            f"The share of the texts to calibrate with is {calibration_share:g}; expected more than 0 and less than 1.",
            hint="0.5 gives calibration and evaluation half of the texts each.",
        )
    chosen = set(_dealt(_strata(corpus), _weights(corpus), calibration_share))
    sides = (
        corpus.where(document for document in corpus.documents if document.id in chosen),
        corpus.where(document for document in corpus.documents if document.id not in chosen),
    )
    for language in corpus.languages:
        if not all(side.of(language) for side in sides):
            if not calibrated:
                return Split(corpus.where(()), corpus)
            raise _too_few(language, corpus)
    return Split(*sides)


def _dealt(units: list[list[str]], weights: Mapping[str, float], share: float) -> Iterator[str]:
    """Yield the ids of the units that go to calibration: whenever it lacks half a unit, or more, of its share."""
    seen = taken = 0.0
    for unit in units:
        weight = sum(weights[name] for name in unit)
        seen += weight
        if taken + weight / 2 <= seen * share:
            taken += weight
            yield from unit


def _weights(corpus: Corpus) -> dict[str, float]:
    """Return what each id counts: its share of the documents, and its mean share of the characters of a language."""
    characters = {language: sum(len(d.text) for d in corpus.of(language)) for language in corpus.languages}
    names = {document.id for document in corpus.documents}
    weights = dict.fromkeys(names, 1 / len(names))
    for document in corpus.documents:
        weights[document.id] += len(document.text) / characters[document.language] / len(characters)
    return weights


def _strata(corpus: Corpus) -> list[list[str]]:
    """Return units of ids that stay together: one group of languages after the other, each in the order of digests."""
    languages: dict[str, list[str]] = {}
    for document in corpus.documents:
        languages.setdefault(document.id, []).append(document.language)
    strata: dict[tuple[str, ...], list[list[str]]] = {}
    for unit in _units(corpus):
        within = {language for name in unit for language in languages[name]}
        strata.setdefault(tuple(sorted(within)), []).append(unit)
    return [unit for _, units in sorted(strata.items()) for unit in sorted(units, key=_rank)]


def _rank(unit: list[str]) -> str:
    return digest.of_bytes(unit[0].encode())


def _units(corpus: Corpus) -> list[list[str]]:
    """Return the ids, sorted, in sets that have to be on one side."""
    parent = {document.id: document.id for document in corpus.documents}

    def top(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for one, two in _bonds(corpus):
        parent[max(top(one), top(two))] = min(top(one), top(two))
    units: dict[str, list[str]] = {}
    for name in sorted(parent):
        units.setdefault(top(name), []).append(name)
    return list(units.values())


def _bonds(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Yield pairs of ids that have to be on one side."""
    for one, two in near.links(corpus.documents):
        yield corpus.documents[one].id, corpus.documents[two].id
    same: dict[str, str] = {}
    for document in corpus.documents:
        yield same.setdefault(document.sha256, document.id), document.id
    # Parts of a text and of its translation need not begin at the same sentence: such a text stays whole.
    texts: dict[str, list[Document]] = {}
    for document in corpus.documents:
        texts.setdefault(document.id.partition(PART)[0], []).append(document)
    for parts in texts.values():
        if len({part.language for part in parts}) > 1:
            yield from ((parts[0].id, part.id) for part in parts)


def _refused(one: Document, two: Document, how: str, passage: str = "") -> RecipeError:
    if one.id == two.id:
        both = one.language if one.language == two.language else f"{one.language} and {two.language}"
        message = f"The text {one.id} {how} ({both})."
    else:
        message = f"The calibration text {one} {how} the evaluation text {two}."
    if passage:
        message += f" It begins: {passage!r}."
    return RecipeError(message, hint=_NEXT, calibration=str(one), evaluation=str(two), origins=[one.origin, two.origin])


def _too_few(language: str, corpus: Corpus) -> RecipeError:
    count = len(corpus.of(language))
    units = sum(1 for unit in _units(corpus.where(corpus.of(language))))
    if units > 1:
        why = f"its {count} documents all came to one side"
    else:
        why = "there is one document" if count == 1 else f"its {count} documents share long passages and stay together"
        why += ", and at least two are needed, one for each"
    return RecipeError(
        f"The texts in {language} cannot serve both calibration and evaluation: {why}.",
        hint=f"Give more texts in {language}, or do without calibration, so that all of them measure: --no-imatrix "
        "with evaluate, imatrix = false under [quantize] in a recipe.",
        language=language,
    )
