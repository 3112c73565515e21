"""Answers from passages that were read before: how soon they begin, what they lose, what they take.

    python benchmarks/passages.py [--quick] [--json FILE] [--answers FILE]

First tokens: a question over two passages of about 300 tokens, states on the disk and out of its cache, beside the same
engine that reads all of it, and beside llama-server with its prompt cache and `--cache-reuse`. The service's prompt is
in memory everywhere, each question has other passages in another order, and sides take turns.

What is lost: 62 questions in three languages over the Debian FAQ and the demo's documents, each with the passage that
answers it behind the best other one that the search finds; `benchmarks/questions/passage-facts.toml` says what an
answer must hold. `--answers` writes all answers side by side. `--quick` measures SmolLM2 alone, and fewer of
everything.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, passage_peers, passage_questions, rows
from benchmarks.rows import Row
from publicai_edge.engine.chat import ChatFormat, Prompt
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.lookup import LONGEST
from publicai_edge.engine.passages.composer import Composer
from publicai_edge.engine.passages.context import PassageContext
from publicai_edge.engine.passages.settings import RECOMPUTED_TOKENS, Composition, PassageSettings
from publicai_edge.engine.passages.store import StateStore, files
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Event, Sampling, Started
from publicai_edge.engine.scheduler import Scheduler
from publicai_edge.errors import PublicAIError
from publicai_edge.evaluate import reading
from publicai_edge.evaluate.questions import Question
from publicai_edge.evaluate.reading_bench import compare
from publicai_edge.host import physical_cores
from publicai_edge.kiosk.answering import Inquiry, compose
from publicai_edge.progress import Silent
from publicai_edge.tuning import Tuning
from tests.kiosk.conftest import manifest

PASSAGE_TOKENS, ANSWER, CONTEXT, DISK = 300, 48, 2048, 1 << 40
FINGERPRINT = "0" * 64
QUESTION = "What is said here about the rights of a family?"
COMPOSITIONS = (PassageSettings("shifted"), PassageSettings("recomputed"))


@dataclass(frozen=True)
class Subject:
    """A model, and the bounds on its first token: against reading all of it, and in seconds."""

    name: str
    path: Path
    share: float
    seconds: float | None


class Kiosk:
    """The engine of a kiosk in this process, with and without what was computed of passages."""

    def __init__(self, path: Path, folder: Path, *, compress: bool = True) -> None:
        self.model = LlamaModel(path)
        self.chat = ChatFormat(self.model)
        threads, tuning = physical_cores(), Tuning()
        self.context = LlamaContext(self.model, n_ctx=CONTEXT, n_seq=2, threads=threads, outputs=2 + LONGEST)
        self._passages = PassageContext(self.model, n_ctx=CONTEXT, threads=threads, tuning=tuning)
        self.folder = folder
        store = StateStore(folder, FINGERPRINT, DISK, compress=compress)
        self._composers = {how.composition: Composer(self._passages, store, how) for how in COMPOSITIONS}
        self.composer = self._composers["shifted"]
        self._began = 0.0
        system = self.request((" ",)).messages[0].content
        self._prefixes = Prefixes(self.context, [self.chat.shared_prefix(system)])
        while self._prefixes.missing:
            self._prefixes.read_piece(0, sequence=0)

    def request(self, texts: Sequence[str], question: str = QUESTION) -> ChatRequest:
        """Return a question over passages, as the kiosk puts it."""
        service = next(service for service in manifest().services if service.search)
        numbered = [f"[{number}]{text}" for number, text in enumerate(texts, 1)]
        asked = compose(Inquiry(service, "en", question, labels={}), numbered)
        return ChatRequest(asked.messages, Sampling(max_tokens=1))

    def keep(self, text: str) -> None:
        """Compute a passage's state."""
        self.composer.keep(self.chat.encode_request(self.request((text,))))
        while self.composer.read_piece() is None:
            pass

    def first_token(self, texts: Sequence[str], how: Composition = "shifted") -> float:
        """Return the seconds from a question to the first token of its answer."""
        scheduler = Scheduler(
            self.context, self.chat, self._prefixes, slots=2, limit=CONTEXT, send=self._hear, drafts=False,
            composer=self._composers.get(how),
        )  # fmt: skip
        drop_cache(self.folder)
        started = time.perf_counter()
        scheduler.admit(0, self.request(texts))
        while scheduler.busy:
            scheduler.step()
        return self._began - started

    def _hear(self, _number: int, event: Event | PublicAIError) -> None:
        if isinstance(event, PublicAIError):
            raise event
        if isinstance(event, Started):
            self._began = time.perf_counter()

    def prompt(self, texts: Sequence[str]) -> Prompt:
        """Return a question's tokens."""
        return self.chat.encode_request(self.request(texts))

    def close(self) -> None:
        """Give the memory back."""
        self._passages.close()
        self.context.close()
        self.model.close()


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="SmolLM2 alone, and fewer of everything")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--answers", type=Path, help="write all answers side by side to this file (Markdown)")
    parser.add_argument("--only", choices=("speed", "loss"), help="one half")
    parser.add_argument("--model", choices=("small", "large"), help="one model")
    parser.add_argument("--runs", type=int, default=6, help="first tokens of each side")
    chosen = parser.parse_args()
    found: list[Row] = []
    for subject in subjects("small" if chosen.quick else chosen.model):
        with tempfile.TemporaryDirectory() as folder:
            if chosen.only != "loss":
                found += speed(subject, Path(folder), runs=min(3, chosen.runs) if chosen.quick else chosen.runs)
            if chosen.only != "speed":
                found += loss(subject, most=12 if chosen.quick else None, answers=chosen.answers)
    return rows.report(found, chosen.json)


def subjects(only: str | None) -> Iterator[Subject]:
    """Yield the models that are measured."""
    if only != "large":
        yield Subject("SmolLM2-135M", material.smollm2(), 1 / 5, None)
    if only != "small":
        yield Subject("Qwen2.5-1.5B", material.qwen(), 1 / 10, 1.0)


def speed(subject: Subject, folder: Path, runs: int) -> Iterator[Row]:
    """Yield the rows on time and disk."""
    kiosk = Kiosk(subject.path, folder)
    texts = passages(kiosk.model, runs + 1)
    begun = time.perf_counter()
    for text in texts:
        kiosk.keep(text)
    filling = (time.perf_counter() - begun) / len(texts)
    pairs = list(itertools.permutations(range(len(texts)), 2))[:: len(texts) - 1][:runs]
    asked = [[texts[one], texts[other]] for one, other in pairs]
    kiosk.first_token(asked[-1])
    ours, anew, whole, peer = [], [], [], []
    with passage_peers.server(subject.path, CONTEXT) as ask:
        for pair in asked:
            ours.append(kiosk.first_token(pair))
            anew.append(kiosk.first_token(pair, "recomputed"))
            whole.append(kiosk.first_token(pair, "exact"))
            if ask:
                peer.append(ask(kiosk.prompt(pair).tokens))
    name = f"{subject.name}: first token, 2 passages of {PASSAGE_TOKENS} tokens"
    yield rows.against(name, "s", ours, "all read", whole, subject.share, paired=True)
    if peer:
        yield rows.against(name, "s", ours, "llama-server", peer, subject.share, paired=True)
    else:
        yield rows.missing(f"{name}, beside llama-server", "python benchmarks/peers.py builds it", "s", ours)
    if subject.seconds:
        yield rows.at_most(name, "s", ours, subject.seconds)
    yield rows.beside(f"{name}, {RECOMPUTED_TOKENS} recomputed", "s", anew, "all read", whole, paired=True)
    yield rows.beside(f"{subject.name}: reading one passage ahead", "s", [filling], None, ())
    yield from disk(subject, kiosk, texts)
    yield from interrupted(subject, kiosk, texts, runs)
    kiosk.close()


def disk(subject: Subject, kiosk: Kiosk, texts: Sequence[str]) -> Iterator[Row]:
    """Yield what the states take, beside the same in 16-bit floats."""
    packed = [file.stat().st_size for file in files(kiosk.folder) if file.stem != file.parent.name]
    with tempfile.TemporaryDirectory() as folder:
        plain = Kiosk(subject.path, Path(folder), compress=False)
        for text in texts:
            plain.keep(text)
        whole = [file.stat().st_size for file in files(Path(folder)) if file.stem != file.parent.name]
        plain.close()
    scale = 1000 * 250 / (PASSAGE_TOKENS * 1e6)
    ours, theirs = ([size * scale for size in sizes] for sizes in (packed, whole))
    yield rows.against(f"{subject.name}: disk for 1,000 passages of 250 tokens", "MB", ours, "f16", theirs, 0.5)


def interrupted(subject: Subject, kiosk: Kiosk, texts: Sequence[str], runs: int) -> Iterator[Row]:
    """Yield a patron's first token when he comes while a passage is read ahead, beside one who comes when none is."""
    quiet, busy = [], []
    for run in range(runs):
        pair = [texts[run], texts[run + 1]]
        quiet.append(kiosk.first_token(pair))
        kiosk.composer.keep(kiosk.prompt([f" Number {run}. {texts[run]}"]))
        arrives = time.perf_counter() + 0.05
        late = 0.0
        while kiosk.composer.keeping and not late:
            kiosk.composer.read_piece(lambda: time.perf_counter() >= arrives)
            late = max(0.0, time.perf_counter() - arrives)
        busy.append(late + kiosk.first_token(pair))
        kiosk.composer.give_up()
    name = f"{subject.name}: first token while a passage is read ahead"
    yield rows.against(name, "s", busy, "while none is", quiet, 1.05, paired=True)


def loss(subject: Subject, most: int | None, answers: Path | None) -> Iterator[Row]:
    """Yield the rows on what putting passages together loses."""
    asked = passage_questions.questions()
    if not asked:
        yield rows.missing(f"{subject.name}: what is lost", "apt has no debian-faq 11.1 here", "")
        return
    asked = asked[:: max(1, len(asked) // most)] if most else asked
    with tempfile.TemporaryDirectory() as folder:
        found = reading.measure(
            subject.path, asked, COMPOSITIONS, context=CONTEXT, max_tokens=ANSWER, tuning=Tuning(), kept=Path(folder),
            progress=Silent(),
        )  # fmt: skip
    exact, shifted, recomputed = found
    if answers:
        write_answers(subject, found, answers)
    kl = [[answer.kl for answer in item.answers] for item in (shifted, recomputed)]
    means = [[sum(values) / len(values)] for values in kl]
    yield rows.beside(f"{subject.name}: mean KL along the answer, shifted", "nats", means[0], None, ())
    yield rows.against(
        f"{subject.name}: mean KL, first {RECOMPUTED_TOKENS} recomputed", "nats", means[1], "shifted", means[0], 0.5
    )
    right = [item.facts for item in found]
    for item, facts in zip(found[1:], right[1:], strict=True):
        lost = 100 * (right[0] - facts) / len(asked)
        low, high = interval(exact, item)
        name = (
            f"{subject.name}: facts lost, {item.composition} ({right[0]} of {len(asked)} read, {low:.0f} .. {high:.0f})"
        )
        yield rows.at_most(name, "points", [lost], 2)


def rounding(subject: Subject, asked: Sequence[Question]) -> float:
    """Return the mean KL along answers whose whole prompt was read twice, in pieces of other lengths.

    Nothing is lost there: sums are added up in another order. No loss below that says anything.
    """
    model = LlamaModel(subject.path)
    chat = ChatFormat(model)
    context = LlamaContext(model, n_ctx=CONTEXT, n_seq=1, threads=physical_cores())

    def along(tokens: Sequence[int], step: int, answer: Sequence[int] = ()) -> list[NDArray[np.float32]]:
        """Return the logits before each token of an answer and after its last; without one, of the likeliest."""
        context.clear(0)
        for start in range(0, len(tokens), step):
            piece = tokens[start : start + step]
            context.decode(piece, sequence=0, position=start, logits=start + step >= len(tokens))
        found = [context.logits(len(piece) - 1).copy()]
        for place in range(len(answer) if answer else ANSWER):
            token = answer[place] if answer else int(found[-1].argmax())
            if model.ends(token):
                break
            context.decode([token], sequence=0, position=len(tokens) + place, logits=True)
            found.append(context.logits(0).copy())
        return found

    kl = []
    for question in asked:
        turns = [ChatMessage("system", question.system), ChatMessage("user", question.user, question.passages)]
        tokens = chat.encode(turns).tokens
        right = along(tokens, context.n_batch)
        other = along(tokens, 64, [int(row.argmax()) for row in right[:-1]])
        kl.append(sum(compare(*pair)[0] for pair in zip(right, other, strict=True)) / len(right))
    context.close()
    model.close()
    return sum(kl) / len(kl)


def interval(exact: reading.Reading, other: reading.Reading) -> tuple[float, float]:
    """Return the 95 % interval of facts lost, in points: a bootstrap over the questions."""
    from publicai_edge.evaluate.statistics import bootstrap_mean

    pairs = zip(exact.answers, other.answers, strict=True)
    found = bootstrap_mean(np.array([100.0 * (sum(one.found) - sum(two.found)) for one, two in pairs]))
    return found.low, found.high


def passages(model: LlamaModel, count: int) -> list[str]:
    """Return texts of as many tokens as are wanted, no two alike."""
    words = " ".join(document.text for document in material.declaration(["en"]).documents).split()
    found, at = [], 0
    for number in range(count):
        size = PASSAGE_TOKENS // 2
        while len(model.tokenize(" ".join(words[at : at + size]), special=False)) < PASSAGE_TOKENS - 4:
            size += 1
        found.append(f" Part {number}\n{' '.join(words[at : at + size])}")
        at = (at + size) % (len(words) - PASSAGE_TOKENS)
    return found


def drop_cache(folder: Path) -> None:
    """Have the system forget what it has of the files in memory."""
    for path in files(folder):
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_answers(subject: Subject, found: Sequence[reading.Reading], target: Path) -> None:
    """Write all answers side by side; added to the file, one section a model."""
    lines = [f"# {subject.name}", ""]
    for each in zip(*(item.answers for item in found), strict=True):
        lines += [f"## {each[0].question} ({each[0].language})", ""]
        for item, answer in zip(found, each, strict=True):
            sign = "right" if all(answer.found) else "wrong"
            lines.append(f"- {item.composition}, KL {answer.kl:.4f}, {sign}: {' '.join(answer.text.split())}")
        lines.append("")
    with target.open("a", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
