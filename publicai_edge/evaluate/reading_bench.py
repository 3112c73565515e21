"""A model that answers the same questions with its passages read, and put together: in a child process.

Source of what is compared: :mod:`publicai_edge.evaluate.reading`.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from publicai_edge import atomic, digest
from publicai_edge.engine.chat import ChatFormat, Prompt
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.passages.ahead import alone
from publicai_edge.engine.passages.composer import Composer
from publicai_edge.engine.passages.context import CANNOT_SHIFT, PassageContext, cannot_compose
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.passages.store import StateStore
from publicai_edge.engine.protocol import ChatMessage
from publicai_edge.errors import ModelError
from publicai_edge.evaluate.questions import states
from publicai_edge.evaluate.reading import Answered
from publicai_edge.host import physical_cores
from publicai_edge.progress import Progress
from publicai_edge.tuning import Tuning

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT = PassageSettings("exact")
_FINGERPRINT = "0" * 64  # of a store that no other process sees
_DISK_BYTES = 1 << 40
_MARGIN = 2


def measure(payload: dict[str, Any], progress: Progress) -> list[dict[str, Any]]:
    """Do what :func:`publicai_edge.evaluate.reading.measure` asks of its child."""
    compositions = [PassageSettings(**item) for item in payload["compositions"]]
    questions, kept = payload["questions"], _KeptAnswers(Path(payload["kept"]))
    with tempfile.TemporaryDirectory() as folder:
        bench = None  # loads the model, which takes long for nothing where all answers are there
        with progress.task("Reading passages both ways", total=len(questions), unit="items") as task:
            for question in questions:
                missing = [how for how in compositions if not kept.has(question, how)]
                if missing or not kept.has(question, EXACT):
                    bench = bench or _Bench(payload, Path(folder))
                    for how, answer in zip([EXACT, *missing], bench.answers(question, missing), strict=True):
                        kept.add(question, how, asdict(answer))
                task.advance(1)
    return [
        {
            "composition": how.composition,
            "recomputed": how.fresh,
            "answers": [kept.get(question, how) for question in questions],
        }
        for how in (EXACT, *compositions)
    ]


class _KeptAnswers:
    """The answers there are, a file for each question and composition: it is there whole, or it is not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, dict[str, Any]] = {}

    def has(self, question: dict[str, Any], how: PassageSettings) -> bool:
        name = _name(question, how)
        if name not in self._seen:
            with contextlib.suppress(OSError, ValueError):  # there is none, or it is damaged
                self._seen[name] = json.loads((self._folder / name).read_text("utf-8"))
        return name in self._seen

    def add(self, question: dict[str, Any], how: PassageSettings, answer: dict[str, Any]) -> None:
        name = _name(question, how)
        atomic.write_bytes(self._folder / name, json.dumps(answer).encode())
        self._seen[name] = answer

    def get(self, question: dict[str, Any], how: PassageSettings) -> dict[str, Any]:
        """Return one that :meth:`has` or :meth:`add` saw."""
        return self._seen[_name(question, how)]


def _name(question: dict[str, Any], how: PassageSettings) -> str:
    return f"{digest.of_json([question, how.composition, how.fresh])}.json"


class _Bench:
    """A model, and the two contexts that a kiosk's worker has."""

    def __init__(self, payload: dict[str, Any], folder: Path) -> None:
        tuning, cells, threads = Tuning(**payload["tuning"]), payload["context"], physical_cores()
        self._model = LlamaModel(Path(payload["model"]))
        if why := cannot_compose(self._model):
            raise self._refusal(why)
        self._chat = ChatFormat(self._model)
        self._patron = LlamaContext(self._model, n_ctx=cells, n_seq=1, threads=threads, tuning=tuning)
        self._passages = PassageContext(self._model, n_ctx=cells, threads=threads, tuning=tuning)
        if not self._passages.can_shift:
            raise self._refusal(CANNOT_SHIFT)
        self._folder = folder
        self._most = payload["max_tokens"]
        self._limit = cells

    def _refusal(self, why: str) -> ModelError:
        return ModelError(
            f"Passages of {self._model.path.name} cannot be put together: {why}.",
            hint='Set knowledge.reading.composition to "exact" in the recipe.',
            cannot_compose=why,
        )

    def answers(self, question: dict[str, Any], compositions: Sequence[PassageSettings]) -> Iterator[Answered]:
        """Yield the answer with all passages read, then those with the passages put together."""
        prompt = self._prompt(question)
        self._keep(question)
        tokens, right = self._say(self._begin_exactly(prompt), prompt)
        yield self._answered(question, tokens, 0.0, 1.0, len(prompt.tokens))
        for how in compositions:
            composer = self._composer(how)
            logits, read = self._begin_composed(composer, prompt)
            rows = list(self._along(logits, tokens, prompt))
            pairs = [compare(one, other) for one, other in zip(right, rows, strict=True)]
            free, _ = self._say(self._begin_composed(composer, prompt)[0], prompt)
            kl = sum(kl for kl, _ in pairs) / len(pairs)
            yield self._answered(question, free, kl, sum(same for _, same in pairs) / len(pairs), read)

    def _prompt(self, question: dict[str, Any], index: int | None = None) -> Prompt:
        """Return a question's tokens; with ``index``, those of that passage alone, in the place of the first."""
        turns = [ChatMessage("system", question["system"])] if question["system"] else []
        turn = ChatMessage("user", question["user"], tuple(map(tuple, question["passages"])))
        return self._chat.encode([*turns, turn if index is None else alone(turn, index)])

    def _keep(self, question: dict[str, Any]) -> None:
        """Compute the states of a question's passages, each behind what stands before the first."""
        composer = self._composer(PassageSettings("shifted"))
        for index in range(len(question["passages"])):
            composer.keep(self._prompt(question, index))
            while composer.read_piece() is None:
                pass

    def _composer(self, how: PassageSettings) -> Composer:
        return Composer(self._passages, StateStore(self._folder, _FINGERPRINT, _DISK_BYTES), how)

    def _begin_exactly(self, prompt: Prompt) -> "NDArray[np.float32]":
        self._patron.clear(0)
        return self._read(prompt, 0)

    def _begin_composed(self, composer: Composer, prompt: Prompt) -> tuple["NDArray[np.float32]", int]:
        """Return the first logits, and how many tokens were read for them."""
        found = composer.compose(prompt)
        if found is None or not self._patron.restore(0, self._patron.fitted(found.state)):
            return self._begin_exactly(prompt), len(prompt.tokens)
        return self._read(prompt, found.tokens), len(prompt.tokens) - found.reused

    def _read(self, prompt: Prompt, begin: int) -> "NDArray[np.float32]":
        step = self._patron.n_batch
        for start in range(begin, len(prompt.tokens), step):
            piece = prompt.tokens[start : start + step]
            self._patron.decode(piece, sequence=0, position=start, logits=start + step >= len(prompt.tokens))
        return self._patron.logits(len(piece) - 1).copy()

    def _say(self, logits: "NDArray[np.float32]", prompt: Prompt) -> tuple[list[int], list["NDArray[np.float32]"]]:
        """Answer greedily; return the tokens, and the logits before each of them and after the last."""
        tokens: list[int] = []
        rows = [logits]
        room = min(self._most, self._limit - len(prompt.tokens) - _MARGIN)
        while len(tokens) < room and not self._model.ends(token := int(rows[-1].argmax())):
            tokens.append(token)
            rows += self._along(None, [token], prompt, len(tokens) - 1)
        return tokens, rows

    def _along(
        self, first: "NDArray[np.float32] | None", tokens: Sequence[int], prompt: Prompt, said: int = 0
    ) -> Iterator["NDArray[np.float32]"]:
        """Yield ``first``, and the logits after each of ``tokens``."""
        if first is not None:
            yield first
        for place, token in enumerate(tokens, len(prompt.tokens) + said):
            self._patron.decode([token], sequence=0, position=place, logits=True)
            yield self._patron.logits(0).copy()

    def _answered(
        self, question: dict[str, Any], tokens: Sequence[int], kl: float, agreement: float, read: int
    ) -> Answered:
        text = b"".join(map(self._model.piece, tokens)).decode("utf-8", "replace").strip()
        found = tuple(states(text, spellings) for spellings in question["facts"])
        return Answered(question["question"], question["language"], kl, agreement, text, found, read)


def compare(right: "NDArray[np.float32]", other: "NDArray[np.float32]") -> tuple[float, bool]:
    """Return the KL divergence of one row of logits to another, and whether both think the same token likeliest."""

    def logarithms(row: "NDArray[np.float32]") -> "NDArray[np.float64]":
        shifted = row.astype(np.float64) - row.max()
        return np.asarray(shifted - np.log(np.exp(shifted).sum()))

    one, two = logarithms(right), logarithms(other)
    return max(0.0, float((np.exp(one) * (one - two)).sum())), bool(right.argmax() == other.argmax())
