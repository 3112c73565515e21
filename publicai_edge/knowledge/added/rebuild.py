"""The child's side of an index of additions: each document is read and turned into vectors once, ever.

What a reader made of a document, and the vectors of its passages, lie beside its file. An index for one document more
is then written from those in a second or two, however many there are. Both are only kept for speed: where they are
lost, damaged or of another search model (a new version of the bundle), they are made anew from the file.
"""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from publicai_edge import atomic
from publicai_edge.engine.embedder import Embedder, Kind, Vectors
from publicai_edge.errors import DocumentError
from publicai_edge.knowledge.added.shelf import ORIGINAL
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.extractor import Extractor, Limits
from publicai_edge.knowledge.index import Writer
from publicai_edge.knowledge.passages import cut
from publicai_edge.progress import Progress, Task

_READ = "read.json"
_KEY_BYTES = 16
_NICE = 10


def rebuild(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write an index of all the documents given.

    Args:
        payload: ``documents``: ``source``, ``name`` and ``folder`` of each; ``new``: the source that must not fail, or
            None; ``embedder``; ``out``; ``passage_words``; ``limits``.
        progress: a task for each document, by its source, counted in passages.

    Returns:
        ``skipped``: sources that could not be read any more.

    Raises:
        DocumentError: ``new`` cannot be read.
        ModelError: the embedding model is broken.
        HostError: the disk refuses.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICE)  # patrons come first
    out, words = Path(payload["out"]), payload["passage_words"]
    vectors = KeptVectors(Embedder.open(Path(payload["embedder"]), threads=1))
    skipped = []
    with atomic.host_errors("write the index to", out), atomic.replacing(out) as place:
        place.unlink(missing_ok=True)
        with Extractor(Limits(**payload["limits"])) as extractor, Writer(place, vectors) as writer:
            for document in payload["documents"]:
                folder = Path(document["folder"])
                try:
                    extracted = _read(folder, document["name"], extractor)
                except DocumentError:
                    if document["source"] == payload["new"]:
                        raise
                    skipped.append(document["source"])
                    continue
                with vectors.of(folder, _counting(progress, extracted, document["source"], words)):
                    writer.add(document["source"], extracted, words)
    return {"skipped": skipped}


def _counting(progress: Progress, extracted: Extracted, source: str, words: int) -> Task:
    return progress.task(source, total=sum(1 for _ in cut(extracted, extracted.title or "", words)))


def _read(folder: Path, name: str, extractor: Extractor) -> Extracted:
    place = folder / _READ
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        return Extracted.from_json(json.loads(place.read_bytes()))
    extracted = extractor.extract(folder / ORIGINAL, name)
    atomic.write_bytes(place, json.dumps(extracted.to_json(), ensure_ascii=False).encode("utf-8", "replace"))
    return extracted


class KeptVectors:
    """An embedding model that keeps the vectors of a document's passages in a file beside it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: dict[bytes, Vectors] = {}
        self._task = Task()
        self._lock = threading.Lock()
        self._made = 0

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._embedder.dim

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides a text's vector."""
        return self._embedder.fingerprint

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return one unit vector a text."""
        return np.concatenate([self._one(text, kind) for text in texts])

    def _one(self, text: str, kind: Kind) -> Vectors:
        key = hashlib.sha256(text.encode("utf-8", "replace")).digest()[:_KEY_BYTES]
        known = self._kept.get(key)
        vector = self._embedder.encode([text], kind) if known is None else known
        with self._lock:
            self._kept[key] = vector
            self._made += known is None
            self._task.advance(1)
        return vector

    @contextlib.contextmanager
    def of(self, folder: Path, task: Task) -> Iterator[None]:
        """Take and keep what is encoded meanwhile in ``folder``; each passage advances ``task``."""
        place = folder / f"vectors-{self.fingerprint[:16]}.npy"
        self._kept, self._made = self._load(place), 0
        with task as self._task:
            yield
        if self._made:
            with atomic.replacing(place) as beside, beside.open("wb") as stream:
                rows = np.concatenate(list(self._kept.values()))
                keys = np.frombuffer(b"".join(self._kept), dtype=np.uint8).reshape(len(rows), _KEY_BYTES)
                np.save(stream, np.concatenate([keys, rows.view(np.uint8)], axis=1), allow_pickle=False)
        for other in folder.glob("vectors-*.npy"):
            if other != place:
                other.unlink(missing_ok=True)
        self._kept = {}

    def _load(self, place: Path) -> dict[bytes, Vectors]:
        with contextlib.suppress(OSError, ValueError, EOFError):
            table = np.load(place, allow_pickle=False)
            if table.dtype == np.uint8 and table.shape[1:] == (_KEY_BYTES + 4 * self.dim,):
                rows = np.ascontiguousarray(table[:, _KEY_BYTES:]).view(np.float32)
                if np.isfinite(rows).all():
                    return {bytes(row[:_KEY_BYTES]): rows[at : at + 1] for at, row in enumerate(table)}
        return {}
