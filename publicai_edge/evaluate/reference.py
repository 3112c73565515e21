"""What the unquantized model predicts for the evaluation texts, on disk: computed once, compared with many.

The file holds for every scored token what :mod:`publicai_edge.evaluate.likelihood` keeps of its row: the likely
tokens, a few drawn from the rest, and the log-probability of the token that came. That is some 600 bytes a token where
``llama-perplexity --save-all-logits`` takes two for every token of the vocabulary (98 kB for SmolLM2).

Layout: 8 bytes of magic with the version; entries (``likelihood.entry_type``); rows (``likelihood.ROW``); a header in
JSON; its length in 8 bytes; the magic again. The header comes last because its counts are known last.

Invariants: the file appears whole or not at all; what is read is checked against its header before use.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import atomic, child, digest, gguf
from publicai_edge.corpus import Document
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate.laying import Laying, digest_of, lay
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"PAEREF01"
_MAX_HEADER = 64 << 20


@dataclass(frozen=True)
class Header:
    """What a reference file is of.

    Attributes:
        model: file name of the model, for messages.
        sha256: its digest.
        vocabulary: tokens in its vocabulary.
        context: most tokens in a window.
        laying: how texts are laid into windows.
        documents: digest of the documents' ids, languages and texts, in order.
        windows: digest of the windows.
        tokens: tokens scored of each document.
        entries: entries in the file.
    """

    model: str
    sha256: str
    vocabulary: int
    context: int
    laying: Laying
    documents: str
    windows: str
    tokens: tuple[int, ...]
    entries: int


@dataclass(frozen=True)
class ReferenceFile:
    """An opened reference file; its arrays are mapped from it."""

    path: Path
    header: Header

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    @property
    def scored(self) -> int:
        """Tokens scored."""
        return sum(self.header.tokens)

    @cached_property
    def entries(self) -> "NDArray[Any]":
        """All entries, in the order of the rows."""
        from publicai_edge.evaluate.likelihood import entry_type

        return self._map(entry_type(self.header.vocabulary), len(MAGIC), self.header.entries)

    @cached_property
    def rows(self) -> "NDArray[Any]":
        """All rows, in the order of the documents."""
        from publicai_edge.evaluate.likelihood import ROW, entry_type

        start = len(MAGIC) + self.header.entries * entry_type(self.header.vocabulary).itemsize
        return self._map(ROW, start, self.scored)

    @cached_property
    def document_of(self) -> "NDArray[np.int64]":
        """The document of each row, by its place."""
        import numpy as np

        return np.repeat(np.arange(len(self.header.tokens)), self.header.tokens)

    def _map(self, kind: Any, offset: int, count: int) -> "NDArray[Any]":
        import numpy as np

        return np.memmap(self.path, kind, "r", offset, (count,)) if count else np.empty(0, kind)

    @classmethod
    def open(cls, path: Path) -> "ReferenceFile":
        """Open a file and check that it is whole.

        Raises:
            ModelError: it is damaged, or no reference file of this version.
        """
        with atomic.host_errors("read", path), path.open("rb") as stream:
            size = path.stat().st_size
            try:
                header = _read_header(stream, size)
            except (ValueError, TypeError, KeyError, struct.error) as error:
                raise _broken(path, str(error)) from error
        file = cls(path, header)
        if problem := _problem(file, size):
            raise _broken(path, problem)
        return file


def make_reference(
    target: Path,
    model: Path,
    documents: Sequence[Document],
    *,
    context: int = 512,
    laying: Laying = "documents",
    sha256: str | None = None,
    progress: Progress,
) -> ReferenceFile:
    """Let ``model`` predict ``documents`` and write what it said to ``target``.

    Args:
        target: the file; replaced if it exists.
        model: the unquantized model, a GGUF file of a causal language model.
        documents: the evaluation texts.
        context: most tokens in a window, 8 or more.
        laying: how texts are laid into windows.
        sha256: the model's digest, where it is known.
        progress: shows tokens.

    Raises:
        ModelError: the model cannot be loaded.
        RecipeError: there is nothing to score.
        HostError: no room for the file.
    """
    with atomic.temporary_folder(target.parent) as folder:
        temporary = folder / "reference"
        payload = {
            "model": str(model),
            "sha256": sha256 or digest.of_file(model),
            "documents": [asdict(document) for document in documents],
            "context": context,
            "laying": laying,
            "target": str(temporary),
        }
        child.run(f"{__name__}:_make", payload, what=f"let {model.name} predict the texts", progress=progress)
        with atomic.host_errors("write", target):
            atomic.fsync_path(temporary)
            temporary.chmod(0o644)
            temporary.replace(target)
            atomic.fsync_path(target.parent)
    return ReferenceFile.open(target)


def documents_digest(documents: Sequence[Document]) -> str:
    """Return the digest of documents' ids, languages and exact texts, in order."""
    return digest.of_json([[d.id, d.language, digest.of_bytes(d.text.encode())] for d in documents])


def _make(payload: dict[str, Any], progress: Progress) -> None:
    """Write a reference file in this process, a child made for it."""
    import numpy as np

    from publicai_edge.engine.llama import LlamaModel
    from publicai_edge.engine.scoring import Scorer
    from publicai_edge.evaluate import likelihood
    from publicai_edge.host import physical_cores, usable_cores

    documents = [Document(**item) for item in payload["documents"]]
    path = Path(payload["model"])
    _check_causal(path)
    model = LlamaModel(path)
    windows = lay(model, documents, context=payload["context"], laying=payload["laying"])
    tokens = [0] * len(documents)
    for window in windows:
        tokens[window.document] += window.rows
    if not windows:
        raise RecipeError(
            f"The {len(documents)} evaluation text(s) have nothing to score: each has fewer than two tokens.",
            hint="Give longer evaluation texts.",
        )
    scorer = Scorer(model, context=payload["context"], threads=physical_cores())
    workers = likelihood.Workers(usable_cores(), model.n_vocab)
    rows, entries = [], 0
    target = Path(payload["target"])
    with (
        progress.task(
            "Reading the texts with the unquantized model", total=scorer.work(windows), unit="tokens"
        ) as task,
        atomic.host_errors("write", target),
        target.open("wb") as stream,
    ):
        stream.write(MAGIC)
        for batch, found in enumerate(scorer.rows(windows)):
            of_batch, kept = likelihood.keep(workers, found.logits, found.targets, batch)
            rows.append(of_batch)
            entries += len(kept)
            stream.write(kept.tobytes())
            task.advance(found.evaluated)
        stream.write(np.concatenate(rows).tobytes())
        header = Header(
            model=path.name,
            sha256=payload["sha256"],
            vocabulary=model.n_vocab,
            context=payload["context"],
            laying=payload["laying"],
            documents=documents_digest(documents),
            windows=digest_of(windows),
            tokens=tuple(tokens),
            entries=entries,
        )
        data = json.dumps(asdict(header)).encode()
        stream.write(data + struct.pack("<Q", len(data)) + MAGIC)


def _check_causal(path: Path) -> None:
    """Refuse a model that predicts no next token.

    Raises:
        ModelError: the header says it does not attend causally, or it is not GGUF.
    """
    header = gguf.read(path)
    if header.metadata.get(f"{header.architecture}.attention.causal") is False:
        raise ModelError(
            f"{path} ({header.architecture}) is an encoder: it predicts no next token to compare.",
            hint="Its loss is measured on its vectors instead.",
            path=str(path),
        )


def _read_header(stream: Any, size: int) -> Header:
    frame = 2 * len(MAGIC) + 8
    if size < frame or stream.read(len(MAGIC)) != MAGIC:
        raise ValueError("it does not start as one of this version")
    stream.seek(size - len(MAGIC) - 8)
    length = struct.unpack("<Q", stream.read(8))[0]
    if stream.read(len(MAGIC)) != MAGIC or length > min(size - frame, _MAX_HEADER):
        raise ValueError("its end is missing")
    stream.seek(size - len(MAGIC) - 8 - length)
    value = json.loads(stream.read(length))
    return Header(**{**value, "tokens": tuple(value["tokens"])})


def _problem(file: ReferenceFile, size: int) -> str | None:
    """Return what is wrong with an opened file, or None."""
    import numpy as np

    from publicai_edge.evaluate.likelihood import ROW, entry_type

    header = file.header
    counts = [header.vocabulary, header.entries, *header.tokens]
    if not all(isinstance(count, int) and 0 <= count < 1 << 40 for count in counts):
        return "its counts are not counts"
    data = header.entries * entry_type(header.vocabulary).itemsize + file.scored * ROW.itemsize
    if not data < size - 2 * len(MAGIC) - 8:
        return f"it has {size:,} bytes, and its data alone {data:,}"
    rows, entries = file.rows, file.entries
    if int(rows["kept"].sum(dtype=np.int64) + rows["drawn"].sum(dtype=np.int64)) != header.entries:
        return "its rows and its entries do not belong together"
    tokens = (entries["id"].max(initial=0), rows["top"].max(initial=0))
    if max(tokens) >= header.vocabulary:
        return f"it names token {max(tokens)}, and the vocabulary has {header.vocabulary}"
    logs = (entries["logp"], rows["target"])
    if not all(np.isfinite(log).all() and log.max(initial=0) < 1e-3 for log in logs):  # noqa: PLR2004 - rounding
        return "it holds log-probabilities above nought or not finite"
    return None


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{path} is not a whole reference file: {why}.",
        hint="Delete it and run the same command again; it is made anew.",
        path=str(path),
    )
