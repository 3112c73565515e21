"""Collect an importance matrix: which columns of each weight a model uses most on texts in the wanted languages.

The quantizer then spends its precision there. Every language brings about the same number of tokens
(:mod:`publicai_edge.corpus.balance`), so that none is served at the cost of another.

Invariants: the same model, texts, context, threads and processor give the same bytes; the file names the documents
that were picked, and no other; the model is loaded in a child process.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import atomic, child, gguf
from publicai_edge.errors import RecipeError
from publicai_edge.host import physical_cores
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    from publicai_edge.corpus import Corpus

CONTEXT = 512
_BETWEEN = "\n\n"


@dataclass(frozen=True)
class ImatrixReport:
    """What was collected.

    Attributes:
        entries: weights with statistics.
        chunks: pieces of text evaluated.
        context: most tokens in one.
        tokens: tokens evaluated, by language.
        documents: how many documents.
        partial: weights with experts that no token reached.
        notes: what a person should know of the choice of texts.
        peak_rss_bytes: of the child.
        seconds: wall time.
    """

    entries: int
    chunks: int
    context: int
    tokens: Mapping[str, int]
    documents: int
    partial: tuple[str, ...]
    notes: tuple[str, ...]
    peak_rss_bytes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def collect(
    model: Path,
    corpus: "Corpus",
    target: Path,
    *,
    context: int = CONTEXT,
    per_language: int | None = None,
    threads: int | None = None,
    progress: Progress,
) -> ImatrixReport:
    """Evaluate the texts and write what flowed into the weights to ``target``.

    Args:
        model: a GGUF file, best the unquantized one.
        corpus: calibration texts; must share nothing with the texts the result is judged by.
        target: the importance matrix, in llama.cpp's GGUF form; replaced if it exists.
        context: tokens evaluated together; no more than the model was trained on.
        per_language: tokens of each language; None: as many as the language with the fewest has.
        threads: None means the physical cores.
        progress: shows tokens.

    Raises:
        RecipeError: a language has no text, the context is no sensible number, or the target is the model.
        ModelError: the model is broken or of an unknown kind.
        EngineError: the evaluation failed, or gave numbers that are not finite.
        HostError: the file cannot be written.
    """
    atomic.check_target(target, model)
    header = gguf.read(model)
    trained = header.number("context_length") or context
    if not 32 <= context <= trained:  # noqa: PLR2004 - below, llama.cpp's batches are too small to count
        raise RecipeError(
            f"A context of {context} tokens cannot be used with {model.name}: expected 32 to {trained:,}.",
            hint=f"Leave it at {CONTEXT}.",
        )
    payload = {
        "model": str(model),
        "corpus": corpus.to_json(),
        "target": str(target),
        "context": context,
        "per_language": per_language,
        "threads": threads or physical_cores(),
    }
    what = f"collect an importance matrix with {model}"
    result = child.run(f"{__name__}:_run", payload, what=what, progress=progress)
    found = {**result.value, "partial": tuple(result.value["partial"]), "notes": tuple(result.value["notes"])}
    return ImatrixReport(**found, peak_rss_bytes=result.peak_rss_bytes, seconds=result.seconds)


def _run(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Collect in this process, a child made for it."""
    from functools import cache

    from publicai_edge.corpus import Corpus, balanced
    from publicai_edge.engine.observe import Observer
    from publicai_edge.quantize import layout

    observer = Observer(Path(payload["model"]), context=payload["context"], threads=payload["threads"])
    tokenizer = observer.model

    @cache
    def tokens_of(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.tokenize(text, special=False))

    corpus = Corpus.from_json(payload["corpus"])
    picked = balanced(corpus, lambda text: len(tokens_of(text)), payload["per_language"])
    chunks = layout.chunks(
        [(document.language, tokens_of(document.text)) for document in picked.corpus.documents],
        payload["context"],
        begin=tokenizer.bos if tokenizer.adds_bos else None,
        between=tokens_of(_BETWEEN),
        limit=picked.amount,
    )
    seen = dict.fromkeys(picked.corpus.languages, 0)
    total = sum(len(chunk.tokens) for chunk in chunks)
    with progress.task("Collecting an importance matrix", total=total, unit="tokens") as task:
        for chunk in chunks:
            observer.observe(chunk.tokens)
            seen[chunk.language] += len(chunk.tokens)
            task.advance(len(chunk.tokens))
    partial = _write(observer.statistics, picked.corpus, len(chunks), payload)
    observer.close()
    return {
        "entries": len(observer.statistics),
        "chunks": len(chunks),
        "context": payload["context"],
        "tokens": seen,
        "documents": len(picked.corpus.documents),
        "partial": partial,
        "notes": list(picked.notes),
    }


def _write(statistics: Mapping[str, Any], corpus: "Corpus", chunks: int, payload: dict[str, Any]) -> list[str]:
    """Write the file; return the weights with experts that no token reached."""
    import numpy as np

    from publicai_edge.quantize.imatrix_file import Entry, Imatrix, write

    entries = {
        name: Entry(found.sums.astype(np.float32), found.counts.astype(np.float32))
        for name, found in statistics.items()
    }
    imatrix = Imatrix(
        entries,
        datasets=tuple(source.name for source in corpus.sources),
        chunks=chunks,
        chunk_size=payload["context"],
        documents=tuple(sorted(document.sha256 for document in corpus.documents)),
        languages=corpus.languages,
    )
    write(Path(payload["target"]), imatrix)
    return sorted(name for name, entry in entries.items() if not entry.counts.all())
