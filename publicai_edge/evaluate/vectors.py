"""What quantizing an embedding model cost: how far its vectors turn, and whether it still finds the same texts.

For each language: the cosine between the unquantized and the quantized vector of every document, and the share of
documents whose nearest text is the same under both models. Nearest among the documents of the other languages, where
there are any (with parallel texts, a search across languages), else among the others of its own.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import atomic, child
from publicai_edge.corpus import Document
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate.result import Interval
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class VectorLoss:
    """What quantization cost an embedding model in one language.

    Attributes:
        language: BCP 47 tag.
        documents: documents embedded.
        mean_cosine: mean cosine between a document's two vectors.
        least_cosine: the lowest of them.
        same_neighbour: share of documents with the same nearest text under both models.
    """

    language: str
    documents: int
    mean_cosine: Interval
    least_cosine: float
    same_neighbour: Interval


def embed(
    model: Path, documents: Sequence[Document], *, work: Path, context: int = 512, progress: Progress
) -> "NDArray[np.float32]":
    """Embed documents in a child process.

    Args:
        model: a GGUF of an embedding model.
        documents: what is embedded.
        work: a folder for the passage of the vectors.
        context: most tokens of a document; the rest is left out.
        progress: shows documents.

    Returns:
        Unit vectors, float32, shape (documents, width).

    Raises:
        ModelError: the model cannot be loaded, or embeds nothing.
    """
    import numpy as np

    with atomic.temporary_folder(work) as folder:
        target = folder / "vectors.npy"
        payload = {
            "model": str(model),
            "documents": [asdict(document) for document in documents],
            "context": context,
            "target": str(target),
        }
        child.run(f"{__name__}:_embed", payload, what=f"embed texts with {model.name}", progress=progress)
        loaded: NDArray[np.float32] = np.load(target, allow_pickle=False)
    return loaded


def compare(
    reference: "NDArray[np.float32]",
    vectors: "NDArray[np.float32]",
    documents: Sequence[Document],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[VectorLoss, ...]:
    """Return each language's loss, in the order of the documents.

    Args:
        reference: the unquantized model's vectors, shape (documents, width).
        vectors: the quantized model's.
        documents: what was embedded.
        resamples: bootstrap resamples over documents.
        seed: of the bootstrap.

    Raises:
        ModelError: the vectors are of different width.
        RecipeError: there are fewer than two documents, so none has a neighbour.
    """
    import numpy as np

    from publicai_edge.evaluate.statistics import bootstrap_mean

    if len(documents) < 2:  # noqa: PLR2004 - a document and its neighbour
        raise RecipeError("One document has no neighbours to find.", hint="Give more evaluation texts.")
    if reference.shape != vectors.shape:
        raise ModelError(
            f"The models' vectors differ in shape: {reference.shape} and {vectors.shape}.",
            hint="Compare a model with the unquantized file it was made from.",
        )
    tags = np.array([document.language for document in documents])
    cosines = np.einsum("ij,ij->i", reference, vectors, dtype=np.float64)
    same = (_nearest(reference, tags) == _nearest(vectors, tags)).astype(np.float64)
    found = []
    for language in dict.fromkeys(tags.tolist()):
        chosen = tags == language
        found.append(
            VectorLoss(
                language=language,
                documents=int(chosen.sum()),
                mean_cosine=bootstrap_mean(cosines[chosen], resamples=resamples, seed=seed),
                least_cosine=float(cosines[chosen].min()),
                same_neighbour=bootstrap_mean(same[chosen], resamples=resamples, seed=seed),
            )
        )
    return tuple(found)


def _nearest(vectors: "NDArray[np.float32]", tags: "NDArray[Any]") -> "NDArray[np.int64]":
    import numpy as np

    likeness = vectors @ vectors.T
    parallel = len(set(tags.tolist())) > 1
    barred = tags[:, None] == tags[None, :] if parallel else np.eye(len(tags), dtype=bool)
    likeness[barred] = -np.inf
    return np.asarray(likeness.argmax(axis=1))


def _embed(payload: dict[str, Any], progress: Progress) -> None:
    """Embed in this process, a child made for it."""
    import numpy as np

    from publicai_edge.engine.vectors import Vectors
    from publicai_edge.host import physical_cores

    documents = [Document(**item) for item in payload["documents"]]
    model = Vectors(Path(payload["model"]), threads=physical_cores(), context=payload["context"])
    rows = []
    with progress.task(f"Embedding with {Path(payload['model']).name}", total=len(documents), unit="items") as task:
        for vector in model.embed([document.text for document in documents]):
            rows.append(vector)
            task.advance(1)
    model.close()
    np.save(payload["target"], np.stack(rows))
