"""Searching 100,000 passages: how long a question takes, and whether it finds what comparing everything finds.

    python benchmarks/search_scale.py [--quick] [--real N] [--json FILE]

The passages are real text (`benchmarks/large_library.py` says of what kind), with the vectors of the demo's embedding
model; making those takes half an hour of two cores the first time, and they are kept. With `--real N` only so many are
made; each other passage gets the vector of one of those, moved by the difference of two others, which costs a search as
much, but is only like real ones in what it finds. Questions are the 128 of `benchmarks/questions/`, as people put them,
and 128 more of the form "What is HEADING?" about passages taken at even distances. Each is searched as before, with
FTS5 and float32 vectors in sqlite-vec (`benchmarks/search_before.py`), and as now, by turns, with the question's vector
given; making that is a row of its own.

recall@10 is the part of the first ten of an exact search that are among the first ten here: by meaning, of the cosines
in float32; for both together, of the same score from float32 cosines and FTS5's BM25 of all passages.
"""

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import large_library, material, rows
from benchmarks.rows import Row
from benchmarks.search_before import Before, build
from publicai_edge.engine.embedder import Embedder, Kind, Vectors
from publicai_edge.knowledge.blocks import Extracted
from publicai_edge.knowledge.index import Writer
from publicai_edge.knowledge.passages import TRAIL_SEPARATOR
from publicai_edge.search.base import KnowledgeBase
from tests.convert import minilm

QUESTIONS = Path(__file__).parent / "questions"
BOUND_MS, RECALL = 30, 0.95
TOP, RELEVANCE, FIRST = 3, 0.3, 10
MADE = 128
WORDS = 120


def main() -> int:
    """Build both indexes, search, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10,000 passages")
    parser.add_argument("--real", type=int, metavar="N", help="make only N passages' own vectors (those kept count)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    chosen = parser.parse_args()
    documents = large_library.documents()
    if documents is None:
        return rows.report([rows.missing("search of 100,000 passages", "apt has not all of the packages")], chosen.json)
    count = large_library.PASSAGES // (10 if chosen.quick else 1)
    embedder = Kept(Embedder.open(minilm.converted_model()), _kept() / "passages", chosen.real)
    with tempfile.TemporaryDirectory(dir=_kept()) as name:
        index, before = Path(name) / "index.sqlite", Path(name) / "before.sqlite"
        seconds = _index(documents, embedder, index, count)
        vectors = embedder.of_passages(index)
        build(index, vectors, embedder.dim, before)
        found = _floor(vectors) + _sizes(index, before, seconds, embedder)
        found += _searched(index, before, vectors, embedder)
    if embedder.likenesses:
        print(f"{embedder.likenesses:,} passages have vectors that are only like real ones (--real).")
    return rows.report(found, chosen.json)


def _kept() -> Path:
    folder = material.store().root / "made" / "search-scale"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Kept:
    """An embedding model that keeps the vectors of passages in a file, and of questions in memory."""

    def __init__(self, model: Embedder, place: Path, real: int | None = None) -> None:
        self.dim, self.fingerprint = model.dim, model.fingerprint
        self.seconds: list[float] = []
        self._model = model
        self._lock = threading.Lock()
        self._questions: dict[str, Vectors] = {}
        self._names, self._vectors = (
            place.with_suffix(f".{self.fingerprint[:12]}.{kind}") for kind in ("names", "vectors")
        )
        self._passages = self._read()
        self._real = real
        self._own: Vectors | None = None
        self.likenesses = 0

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return the vectors of texts as the model does."""
        keep = self._passage if kind == "passage" else self._question
        return np.stack([keep(text) for text in texts])

    def of_passages(self, index: Path) -> Vectors:
        """Return the vectors of all passages of an index, in the order of their numbers."""
        connection = apsw.Connection(str(index), flags=apsw.SQLITE_OPEN_READONLY)
        texts = connection.execute(
            "SELECT title, heading, text FROM passages JOIN documents ON documents.id = document ORDER BY passages.id"
        )
        found = np.stack([self._passages[_name("\n".join(filter(None, parts)))] for parts in texts])
        connection.close()
        return found

    def _read(self) -> dict[bytes, Vectors]:
        """Return what is kept; a run that was ended may have left one file longer than the other."""
        self._names.touch()
        self._vectors.touch()
        count = min(self._names.stat().st_size // 16, self._vectors.stat().st_size // (4 * self.dim))
        os.truncate(self._names, 16 * count)
        os.truncate(self._vectors, 4 * self.dim * count)
        names = self._names.read_bytes()
        vectors = np.fromfile(self._vectors, np.float32).reshape(-1, self.dim)
        return {names[16 * row : 16 * row + 16]: vector for row, vector in enumerate(vectors)}

    def _passage(self, text: str) -> Vectors:
        name = _name(text)
        vector = self._passages.get(name)
        if vector is None and self._real is not None and len(self._passages) - self.likenesses >= self._real:
            with self._lock:
                vector = self._passages[name] = self._likeness(name)
                self.likenesses += 1
        if vector is None:
            vector = self._model.encode([text], "passage")[0]
            with self._lock, self._names.open("ab") as names, self._vectors.open("ab") as vectors:
                vectors.write(vector.tobytes())
                names.write(name)
                self._passages[name] = vector
        return vector

    def _likeness(self, name: bytes) -> Vectors:
        if self._own is None:
            self._own = np.stack(list(self._passages.values()))
        one, other, third = self._own[np.random.default_rng(list(name)).integers(0, len(self._own), 3)]
        moved = one + np.float32(0.4) * (other - third)
        likeness: Vectors = moved / np.linalg.norm(moved)
        return likeness

    def _question(self, text: str) -> Vectors:
        if text not in self._questions:
            started = time.perf_counter()
            self._questions[text] = self._model.encode([text], "query")[0]
            self.seconds.append(time.perf_counter() - started)
        return self._questions[text]


def _name(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def _index(documents: Iterable[tuple[str, Extracted]], embedder: Kept, index: Path, count: int) -> float:
    started = time.perf_counter()
    with Writer(index, embedder) as writer:  # type: ignore[arg-type]
        for name, document in documents:
            writer.add(name, document, WORDS)
            if writer.passages >= count:
                break
            print(f"\r{writer.passages:,} passages", end="", file=sys.stderr)
    print(file=sys.stderr)
    return time.perf_counter() - started


def _floor(vectors: Vectors) -> list[Row]:
    """Measure how long reading takes what must be read at least, once in float32 and once as signs."""
    signs = np.zeros(len(vectors) * -(-vectors.shape[1] // 64), np.uint64)
    whole, small = (
        [_milliseconds(lambda data=data: data.sum()) for _ in range(15)]
        for data in (vectors.reshape(-1).view(np.uint64), signs)
    )
    rate = [vectors.nbytes / value / 1e6 for value in whole]
    return [
        rows.beside("memory read by one core", "GB/s", rate, None, ()),
        rows.beside(f"floor: {signs.nbytes / 1e6:.1f} MB of signs read once", "ms", small, "float32", whole),
    ]


def _sizes(index: Path, before: Path, seconds: float, embedder: Kept) -> list[Row]:
    ours, theirs = (path.stat().st_size / 1e6 for path in (index, before))
    opened: list[KnowledgeBase] = []
    opening = _milliseconds(lambda: opened.append(KnowledgeBase.open(index, embedder)))  # type: ignore[arg-type]
    (base,) = opened
    count = len(base)
    base.close()
    connection = apsw.Connection(str(index), flags=apsw.SQLITE_OPEN_READONLY)
    ((held,),) = connection.execute("SELECT sum(length(data)) FROM arrays")
    connection.close()
    return [
        rows.beside(f"index of {count:,} passages", "MB", [ours], "format 1", [theirs]),
        rows.beside("kept in memory while it is open", "MB", [held / 1e6], None, ()),
        rows.beside("opening the index", "ms", [opening], None, ()),
        rows.beside("building the index, vectors that are kept not counted", "s", [seconds], None, ()),
    ]


def _searched(index: Path, before: Path, vectors: Vectors, embedder: Kept) -> list[Row]:
    base, old = KnowledgeBase.open(index, embedder), Before(before)  # type: ignore[arg-type]
    people, made, common = _people(), _made(base), _common(index)
    rows_found: list[Row] = []
    embedder.seconds.clear()
    for question in (*people, *made, *common):
        embedder.encode([question], "query")
    embedding = [1000 * value for value in embedder.seconds]
    rows_found += _two("question to vector", embedding, None)
    for what, questions in (("as people ask", people), ("about headings", made), ("48 commonest words", common)):
        ours, theirs = _by_turns(base, old, questions, embedder)
        rows_found += _two(f"search, {len(questions)} {what}", ours, theirs)
        if questions is not common:
            rows_found += _recall(what, base, old, questions, vectors, embedder)
    rows_found += _together(base, [*people, *made])
    base.close()
    return rows_found


def _by_turns(
    base: KnowledgeBase, old: Before, questions: Sequence[str], embedder: Kept
) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    for number, question in enumerate(questions):
        vector = embedder.encode([question], "query")[0]
        turns: list[tuple[list[float], Callable[[], object]]] = [
            (ours, lambda: base.search(question, top=TOP, min_relevance=RELEVANCE, language="en")),
            (theirs, lambda: old.search(question, vector, TOP, RELEVANCE)),
        ]
        for times, search in turns if number % 2 else reversed(turns):
            times.append(_milliseconds(search))
    return ours, theirs


def _two(figure: str, ours: list[float], theirs: list[float] | None) -> list[Row]:
    """Return rows for the median and for the 95th of 100."""
    found = [rows.beside(f"{figure}, p50", "ms", ours, "format 1" if theirs else None, theirs or ())]
    ours_95 = [float(np.percentile(ours, 95))]
    if theirs is None:
        return [*found, rows.beside(f"{figure}, p95", "ms", ours_95, None, ())]
    row = rows.at_most(f"{figure}, p95", "ms", ours_95, BOUND_MS)
    peer = rows.beside("", "ms", ours_95, "format 1", [float(np.percentile(theirs, 95))])
    return [*found, rows.joined(row, peer)]


def _recall(
    what: str, base: KnowledgeBase, old: Before, questions: Sequence[str], vectors: Vectors, embedder: Kept
) -> list[Row]:
    meaning, both, was = [], [], []
    for question in questions:
        vector = embedder.encode([question], "query")[0]
        cosines = vectors @ vector
        nearest = np.argsort(-cosines, kind="stable")[:FIRST] + 1
        found, exact = base.candidates(question), old.exact(question, vector)
        first = list(exact.scores())[:FIRST]
        meaning.append(_share(found.nearest, nearest.tolist()))
        both.append(_share(list(found.scores()), first))
        was.append(_share(old.ranked(question, vector), first))
    return [
        rows.at_least(f"recall@{FIRST} by meaning, {what}", "", [statistics.mean(meaning)], RECALL),
        rows.joined(
            rows.at_least(f"recall@{FIRST} of both, {what}", "", [statistics.mean(both)], RECALL),
            rows.beside("", "", [statistics.mean(both)], "format 1", [statistics.mean(was)]),
        ),
    ]


def _share(found: Sequence[int], right: Sequence[int]) -> float:
    return len(set(found[:FIRST]) & set(right)) / len(right)


def _together(base: KnowledgeBase, questions: Sequence[str]) -> list[Row]:
    """Search from two threads at once."""
    with ThreadPoolExecutor(2) as pool:
        times = list(
            pool.map(
                lambda question: _milliseconds(
                    lambda: base.search(question, top=TOP, min_relevance=RELEVANCE, language="en")
                ),
                questions,
            )
        )
    return [rows.at_most("search, two threads at once, p95", "ms", [float(np.percentile(times, 95))], BOUND_MS)]


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def _people() -> list[str]:
    found = []
    for name, languages in (("debian-faq", ("en",)), ("udhr", large_library.LANGUAGES)):
        data = tomllib.loads((QUESTIONS / f"{name}.toml").read_text("utf-8"))
        found += [question for language in languages for question in data[language].values()]
    return found


def _made(base: KnowledgeBase) -> list[str]:
    """Ask about the headings of passages at even distances."""
    passages = (base.passage(1 + place * (len(base) - 1) // MADE) for place in range(MADE))
    return [f"What is {passage.heading.rpartition(TRAIL_SEPARATOR)[2] or passage.document}?" for passage in passages]


def _common(index: Path) -> list[str]:
    """Ask with the commonest terms that still count: the most that one question can make a search read."""
    connection = apsw.Connection(str(index), flags=apsw.SQLITE_OPEN_READONLY)
    query = "SELECT term FROM terms WHERE held * 2 <= (SELECT count(*) FROM passages) ORDER BY held DESC, term LIMIT 48"
    common = [term for (term,) in connection.execute(query)]
    connection.close()
    return [" ".join(common[turn:] + common[:turn]) for turn in range(20)]


if __name__ == "__main__":
    sys.exit(main())
