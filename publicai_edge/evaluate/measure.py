"""How far a quantized model is from the unquantized one, in every language of the evaluation texts.

The model predicts the same windows of the same tokens as the reference did; each row is compared with what the
reference file kept of it. A model is never judged by texts it was calibrated on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import child, gguf
from publicai_edge.corpus import Corpus, Document, check_disjoint
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate import result
from publicai_edge.evaluate.laying import digest_of, lay
from publicai_edge.evaluate.reference import ReferenceFile, documents_digest
from publicai_edge.evaluate.result import LanguageLoss
from publicai_edge.progress import Progress
from publicai_edge.tuning import KvType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from publicai_edge.engine.llama import LlamaModel

RESAMPLES = 1000


@dataclass(frozen=True)
class Measurement:
    """What a measurement found: the languages in the order of the texts, notes for the reader, and what it took."""

    languages: tuple[LanguageLoss, ...]
    notes: tuple[str, ...]
    seconds: float
    peak_rss_bytes: int


def measure(
    reference: ReferenceFile,
    model: Path,
    documents: Sequence[Document],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    kv_type: KvType = "f16",
    progress: Progress,
) -> Measurement:
    """Measure what ``model`` lost, in a child process.

    Args:
        reference: what the unquantized model said of ``documents``.
        model: a quantized GGUF of the same model.
        documents: the texts the reference was made with, in the same order.
        resamples: bootstrap resamples, 1,000 or more for figures to publish.
        seed: of the bootstrap.
        kv_type: type of the model's KV cache; the reference's was F16.
        progress: shows tokens.

    Raises:
        RecipeError: the texts are not the reference's, or the model was calibrated on one of them.
        ModelError: the model cannot be loaded, or has another vocabulary.
    """
    if documents_digest(documents) != reference.header.documents:
        raise RecipeError(
            f"{reference.path} was made with other texts, or in another order, than the {len(documents)} given.",
            hint="Make the reference again with these texts.",
        )
    check_disjoint(gguf.strings(model, gguf.CALIBRATION_DOCUMENTS), Corpus(tuple(documents), ()))
    payload = {
        "reference": str(reference.path),
        "model": str(model),
        "documents": [asdict(document) for document in documents],
        "resamples": resamples,
        "seed": seed,
        "kv_type": kv_type,
    }
    ran = child.run(f"{__name__}:_measure", payload, what=f"measure {model.name}", progress=progress)
    languages = tuple(result.loss_from_json(item) for item in ran.value["languages"])
    return Measurement(languages, tuple(ran.value["notes"]), ran.seconds, ran.peak_rss_bytes)


def token_losses(
    reference: ReferenceFile,
    model: "LlamaModel",
    documents: Sequence[Document],
    progress: Progress,
    kv_type: KvType = "f16",
) -> "NDArray[Any]":
    """Compare a loaded model with the reference, token by token, in this process.

    Returns:
        :data:`publicai_edge.evaluate.likelihood.LOSS` of each scored token, in the order of ``reference.document_of``.

    Raises:
        ModelError: the model makes other tokens of the texts than the reference did.
    """
    import numpy as np

    from publicai_edge.engine.scoring import Scorer
    from publicai_edge.evaluate import likelihood
    from publicai_edge.host import physical_cores, usable_cores

    header = reference.header
    if model.n_vocab != header.vocabulary:
        raise _foreign(reference, model, f"{model.n_vocab:,} tokens, not {header.vocabulary:,}")
    windows = lay(model, documents, context=header.context, laying=header.laying)
    if digest_of(windows) != header.windows:
        raise _foreign(reference, model, "other tokens for the same texts")
    scorer = Scorer(model, context=header.context, threads=physical_cores(), kv_type=kv_type)
    workers = likelihood.Workers(usable_cores(), model.n_vocab)
    bounds = np.concatenate([[0], np.cumsum(reference.rows["kept"].astype(np.int64) + reference.rows["drawn"])])
    losses = np.empty(reference.scored, likelihood.LOSS)
    at = 0
    try:
        with progress.task(f"Measuring {model.path.name}", total=scorer.work(windows), unit="tokens") as task:
            for found in scorer.rows(windows):
                end = at + len(found.targets)
                rows, entries = reference.rows[at:end], reference.entries[bounds[at] : bounds[end]]
                losses[at:end] = likelihood.compare(workers, found.logits, found.targets, rows, entries)
                at = end
                task.advance(found.evaluated)
    finally:
        workers.close()
        scorer.close()
    if not np.isfinite(losses["kl"]).all():
        raise ModelError(
            f"{model.path} predicts what is not a number for {int((~np.isfinite(losses['kl'])).sum()):,} tokens.",
            hint="Its weights are damaged: quantize it again, with another type if it happens again.",
            path=str(model.path),
        )
    return losses


def _measure(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Measure in this process, a child made for it."""
    import numpy as np

    from publicai_edge.engine.llama import LlamaModel
    from publicai_edge.evaluate import statistics

    reference = ReferenceFile.open(Path(payload["reference"]))
    documents = [Document(**item) for item in payload["documents"]]
    model = LlamaModel(Path(payload["model"]))
    losses = token_losses(reference, model, documents, progress, payload["kv_type"])
    languages, notes = [], []
    tags = np.array([document.language for document in documents])
    for language in dict.fromkeys(tags.tolist()):
        chosen = (tags == language)[reference.document_of]
        if not chosen.any():
            notes.append(f"{language} has no text long enough to measure.")
            continue
        loss = statistics.summarise(
            language,
            losses[chosen],
            reference.document_of[chosen],
            resamples=payload["resamples"],
            seed=payload["seed"],
        )
        languages.append(asdict(loss))
        notes += [text] if (text := statistics.note(loss)) else []
    return {"languages": languages, "notes": notes}


def _foreign(reference: ReferenceFile, model: "LlamaModel", what: str) -> ModelError:
    return ModelError(
        f"{model.path.name} has another vocabulary than the reference {reference.header.model}: {what}.",
        hint="Compare a model with the unquantized file it was made from.",
        path=str(model.path),
    )
